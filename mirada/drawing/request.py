"""Requests for drawings: queue the job that has a picture drawn, and end it with its image."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from mirada.db.idempotency import Requested, once
from mirada.db.models import ApiKey, Job, User, utc_now
from mirada.jobs import attempts, ledger
from mirada.kernel.drawing import checked_size
from mirada.kernel.errors import InvalidInput, NotAllowed, NotFound
from mirada.kernel.user_text import checked_text
from mirada.people.access import KeyState, key_state
from mirada.pictures.quota import UNLIMITED, Quota, require_room

GENERATE_IMAGE = "generate_image_task"
DRAWN = "drawn"
"""Folder of the store for drawings that are paid for and are no images yet."""


@dataclass(frozen=True, slots=True)
class WantedDrawing:
    """A drawing that a user asks for, and the image that it becomes.

    Attributes:
        owner_id: the image's owner.
        prompt: the words that it is made from.
        size: "1024x1024" and the like; None for GENERATION_SIZE.
        caption: the owner's caption; None for none.
        auto_caption: whether a model may write a missing caption.
        is_public: whether anyone may see the image.
    """

    owner_id: int
    prompt: str
    size: str | None = None
    caption: str | None = None
    auto_caption: bool = True
    is_public: bool = False


def request_drawing(
    session: Session,
    wanted: WantedDrawing,
    *,
    api_key_id: int | None = None,
    request_id: str | None = None,
    idempotency_key: str | None = None,
    quota: Quota = UNLIMITED,
) -> Requested:
    """Queue a job that has a picture drawn; ring for it after the commit.

    Args:
        session: a transaction.
        wanted: the drawing, not checked yet.
        api_key_id: the key of the request: nothing is paid for a key that is revoked before the job.
        request_id: follows the work into the worker's log.
        idempotency_key: the request's; one key queues one job.
        quota: of owners who have none of their own. Who has no room is refused here: the job takes in
            what it paid for, also where the room is gone by then.

    Raises:
        InvalidInput: no prompt, a text that is too long, a size that is none, or a key that cannot
            be one or belongs to another request.
        QuotaReached: the owner keeps as many images as they may.
        Conflict: the key's first request is still under way.
    """
    arguments = _checked(wanted)
    request = once(wanted.owner_id, idempotency_key, GENERATE_IMAGE, arguments)
    earlier = request.earlier(session)
    if earlier is not None:
        return Requested(earlier, was_replayed=True)
    require_room(session, session.get_one(User, wanted.owner_id), quota, 0)
    job = ledger.enqueue(
        session,
        GENERATE_IMAGE,
        arguments={**arguments, ledger.ASKED_WITH: api_key_id},
        owner_id=wanted.owner_id,
        request_id=request_id,
        # The same words asked for twice are two pictures.
        same_work=f"{GENERATE_IMAGE}:{secrets.token_hex(16)}",
    )
    request.keep(session, job.id)
    return Requested(job.id)


def _checked(wanted: WantedDrawing) -> dict[str, Any]:
    """Return a drawing as the arguments of its job. Raises InvalidInput."""
    if checked_text("prompt", wanted.prompt) is None:
        raise InvalidInput(
            "There is no prompt: say what to draw.", fields={"prompt": ["It must not be blank."]}
        )
    if wanted.size is not None:
        checked_size(wanted.size)
    return {
        "prompt": wanted.prompt,
        "size": wanted.size,
        "caption": checked_text("caption", wanted.caption),
        "auto_caption": wanted.auto_caption,
        "is_public": wanted.is_public,
    }


def wanted_drawing(job: Job) -> WantedDrawing:
    """Return the drawing that a job asks for. Raises NotFound where its arguments are gone."""
    asked = job.arguments
    if job.owner_id is None or not asked.get("prompt"):
        raise NotFound("The job does not say what to draw, or for whom.")
    return WantedDrawing(
        owner_id=job.owner_id,
        prompt=str(asked["prompt"]),
        size=asked.get("size"),
        caption=asked.get("caption"),
        auto_caption=bool(asked.get("auto_caption", True)),
        is_public=bool(asked.get("is_public", False)),
    )


def drawn_key(job: Job) -> str:
    """Return the store's key under which a job keeps its drawing."""
    # Not by the job's number: a database that is restored gives numbers a second time.
    return f"{DRAWN}/{job.same_work.rpartition(':')[2]}"


def require_asker(session: Session, job: Job) -> None:
    """Check that the job's owner may still have something paid for.

    Raises:
        NotFound: the user is gone.
        NotAllowed: the key was revoked since.
    """
    owner = session.get(User, job.owner_id)
    if owner is None or owner.ended_at is not None:
        raise NotFound("Whoever wanted this picture is no user any more.")
    key_id = job.arguments.get(ledger.ASKED_WITH)
    if key_id is None:
        return
    key = session.get(ApiKey, key_id)
    # One that has merely expired was good when it was used.
    if key is None or key_state(None, key.revoked_at, utc_now()) is KeyState.REVOKED:
        raise NotAllowed(
            "The API key that this was asked for with has been revoked since, so nothing is paid "
            "for it. Retry the job to have it drawn all the same."
        )


def finish(session: Session, job_id: int, token: str, image_id: int) -> None:
    """End the job with its image, in the transaction that registers it. Raises LeaseLost."""
    attempts.finish(session, job_id, token)
    # What was asked for is the image's now, and goes with it when its owner deletes it.
    session.execute(
        update(Job).where(Job.id == job_id).values(subject_id=image_id, arguments={}),
        execution_options={"synchronize_session": False},
    )
