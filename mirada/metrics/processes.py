"""One set of numbers for several web processes: the folder through which they share what they count.

Prometheus's client library keeps counts in files there when PROMETHEUS_MULTIPROC_DIR is set at its
import, so `share` comes before any import of it, and this module imports it only where it is needed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "mirada-metrics-"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a name nobody can guess, for us alone
"""Preferred: who writes to a mapped file on a disk that is full is killed by the kernel."""
YOUNG_S = 60.0
"""A folder so new may not be locked yet by whoever makes it."""

_shared: Path | None = None


def share() -> None:
    """Make a fresh folder for this process and its children; a second call changes nothing.

    Folders of servers that were killed are removed.
    """
    global _shared
    if _shared is not None:
        # Gunicorn reads its configuration again on SIGHUP.
        return
    parent = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    _sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    # Held by every child as well, until the last of them ends.
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    os.environ[VARIABLE] = str(folder)
    _shared = folder


def forget_others() -> None:
    """Take no folder that was meant for other programs, or does not exist."""
    if _shared is None:
        os.environ.pop(VARIABLE, None)
        os.environ.pop(VARIABLE.lower(), None)


def is_shared() -> bool:
    """Return whether several processes count together."""
    return _shared is not None


def begin_child() -> None:
    """Have the folder, though somebody may have cleaned up; call it in each child."""
    if _shared is not None:
        _shared.mkdir(mode=0o700, exist_ok=True)


def end_child(pid: int) -> None:
    """Let what a child was go, and keep what it did; call it in the parent."""
    if _shared is not None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, str(_shared))  # type: ignore[no-untyped-call]


def end() -> None:
    """Remove the folder."""
    if _shared is not None:
        shutil.rmtree(_shared, ignore_errors=True)


def gather() -> Iterable[Metric]:
    """Return what the instruments of all processes say together."""
    from prometheus_client.multiprocess import MultiProcessCollector

    assert _shared is not None
    # One that was created this very moment is still empty, which the library does not expect.
    files = [str(file) for file in _shared.glob("*.db") if _has_begun(file)]
    merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
    return merged


def _has_begun(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < YOUNG_S:
                continue
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
