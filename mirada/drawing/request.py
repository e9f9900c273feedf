"""Pictures made from words: queue the job that has one drawn, and end it together with its image."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.orm import Session

from mirada.db.idempotency import Requested, once
from mirada.db.models import ApiKey, Job, User, utc_now
from mirada.jobs import attempts, ledger
from mirada.kernel.drawing import checked_size
from mirada.kernel.errors import InvalidInput, NotAllowed, NotFound
from mirada.kernel.user_text import checked_text
from mirada.people.access import KeyState, key_state

GENERATE_IMAGE = "generate_image_task"
DRAWN = "drawn"
"""Folder of the store for what was paid for and is no image yet."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to have drawn, and how the image is to be registered.

    Attributes:
        owner_id: whose image it becomes.
        prompt: what it is made from.
        size: "1024x1024" and the like; None takes the server's own.
        caption: what its owner says of it; None for nothing.
        auto_caption: whether a model may write a missing caption.
        is_public: anyone may see it.
    """

    owner_id: int
    prompt: str
    size: str | None = None
    caption: str | None = None
    auto_caption: bool = True
    is_public: bool = False


def request_generation(
    session: Session,
    wanted: Wanted,
    *,
    api_key_id: int | None = None,
    request_id: str | None = None,
    idempotency_key: str | None = None,
) -> Requested:
    """Queue a job that has a picture drawn; ring after the commit.

    Args:
        session: a transaction.
        wanted: as it was sent.
        api_key_id: what it was sent with: nothing is paid for a key that was revoked meanwhile.
        request_id: follows the work into the worker's log.
        idempotency_key: the request's; one key queues one job.

    Raises:
        InvalidInput: no prompt, a text that is too long, a size that is none, or a key that cannot
            be one or belongs to another request.
        Conflict: the key's first request is still under way.
    """
    if checked_text("prompt", wanted.prompt) is None:
        raise InvalidInput(
            "There is no prompt: say what to draw.", fields={"prompt": ["It must not be blank."]}
        )
    if wanted.size is not None:
        checked_size(wanted.size)
    arguments = {
        "prompt": wanted.prompt,
        "size": wanted.size,
        "caption": checked_text("caption", wanted.caption),
        "auto_caption": wanted.auto_caption,
        "is_public": wanted.is_public,
    }
    request = once(wanted.owner_id, idempotency_key, GENERATE_IMAGE, arguments)
    earlier = request.earlier(session)
    if earlier is not None:
        return Requested(earlier, was_replayed=True)
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


def wanted_by(job: Job) -> Wanted:
    """Return what a job is to have drawn. Raises NotFound for one that does not say."""
    asked = job.arguments
    if job.owner_id is None or not asked.get("prompt"):
        raise NotFound("The job does not say what to draw, or for whom.")
    return Wanted(
        owner_id=job.owner_id,
        prompt=str(asked["prompt"]),
        size=asked.get("size"),
        caption=asked.get("caption"),
        auto_caption=bool(asked.get("auto_caption", True)),
        is_public=bool(asked.get("is_public", False)),
    )


def drawn_key(job: Job) -> str:
    """Return the key in the store under which a job keeps what it was sent."""
    # Not by the job's number: a database that is restored gives numbers a second time.
    return f"{DRAWN}/{job.same_work.rpartition(':')[2]}"


def require_asker(session: Session, job: Job) -> None:
    """Check that whoever asked may still have something paid for.

    Raises:
        NotFound: the user is gone.
        NotAllowed: the key was revoked since.
    """
    if session.get(User, job.owner_id) is None:
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
