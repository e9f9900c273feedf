"""Waiting and measuring in a way that does not depend on how busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE_S = 300
"""How long a test waits for what comes within a second. It ends early; only a failure takes so long."""
MOST_STRETCHED = 20
"""How many times its length a limit lasts at most: delays of many threads add up to more than the time."""
RUN_DELAY = 1
"""Field of /proc/*/schedstat: nanoseconds in which a thread could run and no processor was free."""


class Stopwatch:
    """Seconds since it was made, less those in which our threads waited for a processor.

    On an idle machine that is the time on the wall. Beside other work it says how long the same
    would have taken without, so that a limit on it means the same everywhere. Threads of child
    processes count as ours.
    """

    def __init__(self) -> None:
        self._delays_before = _run_delays_s()
        self._began_at_s = time.monotonic()

    @property
    def seconds(self) -> float:
        taken_s = time.monotonic() - self._began_at_s
        before = self._delays_before
        waited_s = sum(delay - before.get(thread, 0) for thread, delay in _run_delays_s().items())
        return max(taken_s / MOST_STRETCHED, taken_s - waited_s)

    def is_over(self, limit_s: float) -> bool:
        """Whether more than so many seconds have gone; asks threads only once the wall clock says so."""
        return time.monotonic() - self._began_at_s > limit_s and self.seconds > limit_s


def wait_until(
    claim: Callable[[], Any], *, timeout_s: float = PATIENCE_S, what: str = "", every_s: float = 0.1
) -> Any:
    """Return the claim's first true value; fail with `what` when it stays false.

    Args:
        claim: asked again and again.
        timeout_s: by a Stopwatch, so it need not allow for a busy machine.
        what: what is waited for, for the message.
        every_s: seconds between two questions.
    """
    watch = Stopwatch()
    while True:
        value = claim()
        if value:
            return value
        if watch.is_over(timeout_s):
            raise AssertionError(f"Not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)


def _run_delays_s() -> dict[str, float]:
    """Return the run delay of every thread of this process and of its descendants, by thread."""
    found = {}
    for process in _family():
        for thread in _listed(process / "task"):
            try:
                fields = (thread / "schedstat").read_text().split()
            except OSError:  # ended meanwhile
                continue
            found[thread.name] = int(fields[RUN_DELAY]) / 1e9
    return found


def _family() -> Iterator[Path]:
    """Yield this process and its descendants."""
    waiting = [Path("/proc/self")]
    while waiting:
        process = waiting.pop()
        yield process
        for thread in _listed(process / "task"):
            try:
                children = (thread / "children").read_text().split()
            except OSError:
                continue
            waiting += [Path("/proc") / child for child in children]


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
