"""Streams of server-sent events: how many there are, and that each ends with its reader."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from flask import Response, request

from mirada.kernel.errors import Unavailable
from mirada.runtime import Runtime
from webapp.http.current import current_runtime

MOST_PER_CALLER = 2
"""A person who follows more than that can ask for lists."""
PERIOD_S = 0.5
"""How often the next event is looked for, and whether the reader is still there."""
BEAT_EVERY_S = 10.0
BEAT = ": beat\n\n"
"""A comment, which readers ignore: proxies close what is silent, and a lost reader is noticed."""
LIMIT_S = 60.0
"""A stream holds a server thread, so it ends after a minute; clients of the standard come back."""


class Streams:
    """The streams of one process. Thread-safe."""

    def __init__(self, most: int) -> None:
        """Permit `most` at once, and MOST_PER_CALLER for each caller."""
        self._most = most
        self._lock = threading.Lock()
        self._of: Counter[int] = Counter()

    def take(self, caller_id: int) -> None:
        """Take a place. Raises Unavailable when the caller, or all together, have none left."""
        with self._lock:
            if self._of[caller_id] >= MOST_PER_CALLER:
                raise Unavailable(
                    f"You follow {MOST_PER_CALLER} streams of events already; end one, or read the "
                    "list of jobs now and then."
                )
            if self._of.total() >= self._most:
                raise Unavailable(
                    "Too many streams of events are open already; ask again, or read the list of "
                    "jobs now and then."
                )
            self._of[caller_id] += 1

    def give_back(self, caller_id: int) -> None:
        """Give a place back."""
        with self._lock:
            self._of[caller_id] -= 1
            self._of += Counter()


def stream(
    caller_id: int, next_event: Callable[[], str | None], beat: Callable[[], str] = lambda: BEAT
) -> Response:
    """Return a reply that sends events until there are no more, the reader is gone, or a minute is over.

    Args:
        caller_id: who reads.
        next_event: returns the next event as it is sent, "" while nothing is new, None at the end. It
            is called every half second, after the request is over, and waits for the database as a
            request does.
        beat: returns what is sent while nothing happens.

    Raises:
        Unavailable: there are too many streams.
    """
    runtime = current_runtime()
    # Half of the threads stay free for everybody else.
    most = max(1, runtime.settings.web_threads // 2)
    streams = runtime.remembered("event_streams", lambda: Streams(most))
    streams.take(caller_id)
    # The server's own socket knows; other servers that run the application do not say.
    is_gone = getattr(request.environ.get("gunicorn.socket"), "is_gone", lambda: False)
    response = Response(_sent(runtime, next_event, is_gone, beat), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    # Proxies that buffer would hold every event back.
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(lambda: streams.give_back(caller_id))
    return response


def _sent(
    runtime: Runtime,
    next_event: Callable[[], str | None],
    is_gone: Callable[[], bool],
    beat: Callable[[], str] = lambda: BEAT,
) -> Iterator[str]:
    ends_at_s = time.monotonic() + LIMIT_S
    sent_at_s = time.monotonic()
    while not is_gone():
        with runtime.as_request():
            event = next_event()
        if event is None:
            return
        now_s = time.monotonic()
        if not event and now_s - sent_at_s >= BEAT_EVERY_S:
            event = beat()
        if event:
            sent_at_s = now_s
            yield event
        if now_s > ends_at_s:
            return
        time.sleep(PERIOD_S)
