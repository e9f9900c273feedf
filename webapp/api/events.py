"""Events: one stream of changes for a page."""

from __future__ import annotations

import json
from typing import Any

from flask import request

from mirada.events.feed import feed_of
from mirada.events.listening import Listener, Listening
from mirada.jobs.reports import JobReport
from mirada.kernel.errors import MiradaError
from webapp.callers.auth import current_caller, require_user
from webapp.http import streams
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint, request_header
from webapp.schemas.events import (
    EVENTS_EXAMPLE,
    LATEST_ID,
    EventsQuerySchema,
    event_of,
    topics_of,
)
from webapp.schemas.jobs import JobUrls
from workers.kinds import KINDS

blueprint = ApiBlueprint(
    "events", __name__, url_prefix="/api/v1/events", description="Changes as they happen"
)
LAST_EVENT_ID = request_header(
    "Last-Event-ID",
    "As browsers send it when they come back; see `since`. What is no id is ignored.",
)


@blueprint.get("")
@blueprint.operation(
    "streamEvents", "Follow what changes", refusals=(422,), parameters=[LAST_EVENT_ID]
)
@blueprint.arguments(EventsQuerySchema, location="query")
@blueprint.response(
    200,
    {
        "description": "Events: `job` (a Job when it is told first, then its changed fields and id), "
        "`image` (id, status, version, url, and `gone` for one that was told of and is not to be seen "
        "any more), `index` (change_seq, and for administrators the newest snapshot), `notice` (code "
        "and text: `events_lost`: read the lists anew, `worker_away`, `worker_back`). Data are JSON. "
        "The same state may be told twice."
    },
    content_type="text/event-stream",
    example=EVENTS_EXAMPLE,
)
def stream_events(query: dict[str, Any]) -> Any:
    """Server-sent events about what the caller may see, within about a second, for a minute at most.

    The caller's own jobs (an administrator's stream tells of all), images that they may see at the
    moment of telling, and the state of the index. A beat with an id comes every 10 s. The stream ends
    with the caller's key or session. A caller follows two streams at a time, and all callers
    together half of the server's threads: one more is 503 with Retry-After.
    """
    user, runtime = require_user(), current_runtime()
    credential = current_caller().credential
    assert credential is not None
    listening = Listening(
        user, credential, topics_of(query["topics"]), KINDS, _last_id() or query["since"]
    )
    listener = Listener(runtime, feed_of(runtime), listening)
    events = _Events(listener, JobUrls.of_request())
    response = streams.stream(user.id, events.next, events.beat)
    response.call_on_close(listener.close)
    return response


def _last_id() -> int | None:
    given = request.headers.get("Last-Event-ID", "")
    if not (given.isascii() and given.isdecimal() and len(given) <= len(str(LATEST_ID))):
        return None
    return int(given)


class _Events:
    """A listener's events as text."""

    def __init__(self, listener: Listener, urls: JobUrls) -> None:
        """Begin with the listener's first."""
        self._listener = listener
        self._urls = urls
        self._has_begun = False
        self._is_over = False
        self._jobs: dict[int, dict[str, Any]] = {}

    def next(self) -> str | None:
        """Return new events, "" for none, None after the last; the first ones begin with an id."""
        if self._is_over:
            return None
        try:
            events = self._listener.next()
        except MiradaError as error:
            # The status is sent already; the client comes back and gets a proper answer.
            self._is_over = True
            return f": {error.code}\n\n"
        if events is None:
            return None
        told = []
        for event in events:
            name, data = event_of(event, self._urls)
            changed = self._news(data) if isinstance(event, JobReport) else data
            if changed is not None:
                told.append(f"event: {name}\ndata: {json.dumps(changed)}\n{self._id()}")
        if not self._has_begun:
            self._has_begun = True
            told.insert(0, self._id())
        return "".join(told)

    def beat(self) -> str:
        """Return what keeps the connection awake, with the id to come back with."""
        return f": beat\n{self._id()}"

    def _id(self) -> str:
        return f"id: {self._listener.at_ms}\n\n"

    def _news(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """Return the fields of a job that are not as they were told last, and its id."""
        before = self._jobs.get(job["id"], {})
        self._jobs[job["id"]] = job
        news = {name: value for name, value in job.items() if before.get(name, ...) != value}
        return {"id": job["id"], **news} if news else None
