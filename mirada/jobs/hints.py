"""Hints: what the owner of a job can do about its error, or when it is tried again, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mirada.db.models import Job, JobState

CANCELLED = "cancelled"
"""The error code of a job that somebody cancelled."""
UNKNOWN = "unknown"
"""The code of an error of before codes were kept."""


@dataclass(frozen=True, slots=True)
class JobError:
    """The last error of a job.

    Attributes:
        code: for machines; see HINTS.
        detail: what happened.
        hint: what to do, or when the work is tried again.
    """

    code: str
    detail: str
    hint: str


TELL = "ask an administrator to look at it"
HINTS = {
    "corrupt_image": ("The picture could not be read", "The picture is damaged: upload it again."),
    "unsupported_image": (
        "The picture could not be read",
        "The file is no picture of a known format: save it as PNG, JPEG or WebP and upload that.",
    ),
    "image_too_large": (
        "The picture is too large",
        "The picture is too large: make it smaller and upload it again.",
    ),
    "address_refused": (
        "The address is not called from here",
        "The address is not called from here: use another one, or upload the picture itself.",
    ),
    "unfit_answer": (
        "The server at the address did not send the picture",
        "The server at the address did not send the picture: look at the address in a browser, "
        "or upload the picture itself.",
    ),
    "call_failed": (
        "The server at the address could not be reached",
        "The server at the address could not be reached: try it again later.",
    ),
    "invalid_input": (
        "What was asked for is wrong",
        "It would fail again: ask for it anew, in another way.",
    ),
    "not_found": (
        "What the work was about is gone",
        "What the work was about is gone. There is nothing to do.",
    ),
    "not_allowed": ("It is not permitted any more", f"It is not permitted any more: {TELL}."),
    "budget_reached": (
        "Today's budget for language models is spent",
        f"Today's budget for language models is spent: try again tomorrow, or {TELL}.",
    ),
    "key_refused": (
        "The model server refuses this server's key",
        "The model server refuses this server's key: ask an administrator to set another one.",
    ),
    "model_unusable": (
        "The model server does not have the model",
        "The model server does not have the model: ask an administrator to set another one.",
    ),
    "language_model_refused": (
        "The model server refused the request",
        f"The model server refused the request, and would again: {TELL}.",
    ),
    "unusable_reply": (
        "The model's answer could not be used",
        "The model's answer could not be used: try it again, it may answer otherwise.",
    ),
    "no_answer": (
        "The model server did not answer",
        "The model server did not answer: try it again later.",
    ),
    "too_many_requests": (
        "The model server asked for fewer requests",
        "The model server asked for fewer requests: try it again later.",
    ),
    "circuit_open": (
        "The model server failed too often and rests",
        "The model server failed too often: try it again later.",
    ),
    "encoder_unavailable": (
        "The model that reads pictures cannot be loaded",
        f"The model that reads pictures cannot be loaded: {TELL}, then try it again.",
    ),
    "storage_full": ("The disk is full", f"The disk is full: {TELL}, then try it again."),
    "timed_out": (
        "It took too long",
        "It took too long: try it again when less is going on.",
    ),
    "no_free_slot": (
        "Others of its kind are being worked on",
        "Others of its kind are being worked on: its turn comes by itself.",
    ),
    "worker_died": (
        "The worker died three times while doing this",
        f"The worker died three times while doing this: {TELL} before it is tried again.",
    ),
    CANCELLED: ("It was cancelled", "It was cancelled. Try it again if it is wanted after all."),
    "unavailable": (
        "Something that the work needs was away",
        f"Something that the work needs was away: try it again; if it fails again, {TELL}.",
    ),
}
"""By code: why the work waits, without a full stop; and what to do about it once it is given up."""
ALIKE = {"garbled_reply": "unusable_reply", "out_of_tokens": "unusable_reply"}
OTHERWISE = (
    "Something unexpected happened",
    f"Try it again; if it fails again, {TELL}, by the number of this job.",
)


def words_of(code: str) -> tuple[str, str]:
    """Return why work with an error of this code waits, and what to do once it is given up."""
    return HINTS.get(ALIKE.get(code, code), OTHERWISE)


def error_of(job: Job, now: int) -> JobError | None:
    """Return the last error of a job in words; None where there was none.

    Args:
        job: the row.
        now: the database's clock, Unix milliseconds.
    """
    if job.last_error is None:
        return None
    code = job.error_code or UNKNOWN
    why, what_to_do = words_of(code)
    match job.state:
        case JobState.QUEUED:
            hint = f"{why}: it is tried again {_when(job.next_run_at_ms, now)}."
        case JobState.RUNNING:
            hint = f"{why}: it is being tried again now."
        case _:
            hint = what_to_do
    return JobError(code, job.last_error, hint)


def _when(at_ms: int, now: int) -> str:
    """Return a time in UTC as people say it; the day is named unless it is today's."""
    if at_ms <= now:
        return "as soon as a worker is free"
    at, today = (datetime.fromtimestamp(each / 1000, UTC) for each in (at_ms, now))
    day = "" if at.date() == today.date() else f" on {at:%Y-%m-%d}"
    return f"at {at:%H:%M} UTC{day}"
