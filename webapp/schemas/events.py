"""Events of a page's stream: which topics there are, and what is told of each."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.events.feed import Topic
from mirada.events.listening import WORDS, Event, ImageState, IndexState, Notice
from mirada.jobs.reports import JobReport
from webapp.schemas.jobs import JobSchema, JobUrls, job_body

TOPICS = tuple(str(topic) for topic in Topic)
_TOPIC = f"(?:{'|'.join(TOPICS)})"
LATEST_ID = 10**15
EVENTS_EXAMPLE = (
    "id: 1767323045000\n\n"
    "event: job\n"
    'data: {"id": 4, "state": "done", "finished_at": "2026-01-02T03:04:05+00:00"}\n'
    "id: 1767323046000\n\n"
    "event: image\n"
    'data: {"id": 17, "status": "READY", "version": 1, "gone": false, "url": "/api/v1/images/17"}\n'
    "id: 1767323046000\n\n"
)


class EventsQuerySchema(ma.Schema):
    """The topics to listen to, and since when."""

    topics = ma.fields.String(
        load_default=",".join(TOPICS),
        validate=validate.Regexp(
            f"^{_TOPIC}(?:,{_TOPIC})*$", error="Name topics: jobs,images,index."
        ),
        metadata={
            "description": "One or several, with commas between them; notices come with each.",
            "pattern": f"^{_TOPIC}(?:,{_TOPIC})*$",
        },
    )
    since = ma.fields.Integer(
        load_default=None,
        validate=validate.Range(0, LATEST_ID),
        metadata={
            "description": "The id of an event, at most ten minutes old: what has changed since comes "
            "first. Last-Event-ID says the same and comes before it. Without either, from now on."
        },
    )


def topics_of(text: str) -> frozenset[Topic]:
    """Return the topics of a validated text."""
    return frozenset(Topic(name) for name in text.split(","))


def event_of(event: Event, urls: JobUrls) -> tuple[str, dict[str, Any]]:
    """Return an event's name and its data."""
    match event:
        case JobReport():
            return "job", JobSchema().dump(job_body(event, urls))
        case ImageState():
            return "image", {
                "id": event.id,
                "status": event.status,
                "version": event.version,
                "gone": event.status is None,
                "url": f"{urls.images}/{event.id}",
            }
        case IndexState():
            return "index", {"change_seq": event.change_seq, "snapshot": event.snapshot}
        case Notice():
            return "notice", {"code": event.code, "text": WORDS[event.code]}
