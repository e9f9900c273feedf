"""Requests for pictures by address: queue the jobs that fetch them, and end each with its image."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from mirada.config import Settings
from mirada.db.idempotency import Requested, once
from mirada.db.models import Job, User
from mirada.jobs import attempts, ledger
from mirada.kernel.errors import AddressRefused, Conflict, InvalidInput, NotFound
from mirada.kernel.user_text import checked_text
from mirada.outgoing.target import target_of

FETCH_IMAGE = "fetch_image_task"
TURNED_OFF = (
    "Pictures are not fetched by their addresses here (FETCH_URLS=false). Upload the file itself, "
    "or ask the operator to set FETCH_URLS=true."
)


@dataclass(frozen=True, slots=True)
class WantedPicture:
    """A picture at an address, and the image that it becomes.

    Attributes:
        url: where it is.
        prompt, caption: the owner's texts; None for none.
        asset_id: what the owner calls it elsewhere.
        tags: as `kernel.tags.distinct_tags` returns them.
        auto_caption: whether a model may write a missing caption.
        is_public: whether anyone may see the image.
        read_metadata: whether to read what an image generator wrote into the file.
        is_once_per_owner: whether the owner's image of the same bytes, if there is one, is meant.
    """

    url: str
    prompt: str | None = None
    caption: str | None = None
    asset_id: str | None = None
    auto_caption: bool = True
    is_public: bool = False
    read_metadata: bool = True
    is_once_per_owner: bool = False
    tags: tuple[str, ...] = ()


def request_picture(
    session: Session,
    settings: Settings,
    owner_id: int,
    wanted: WantedPicture,
    *,
    request_id: str | None = None,
    idempotency_key: str | None = None,
) -> Requested:
    """Queue a job that fetches a picture; ring for it after the commit.

    Args:
        session: a transaction.
        settings: with FETCH_URLS and FETCH_WAITING.
        owner_id: of the image.
        wanted: the picture, not checked yet.
        request_id: follows the work into the worker's log.
        idempotency_key: the request's; one key queues one job.

    Raises:
        InvalidInput: the address or a text cannot be used, or the key belongs to another request.
        Conflict: nothing is fetched here, too many wait, or the key's first request is under way.
    """
    _require_switched_on(settings)
    arguments = _checked(wanted)
    request = once(owner_id, idempotency_key, FETCH_IMAGE, arguments)
    earlier = request.earlier(session)
    if earlier is not None:
        return Requested(earlier, was_replayed=True)
    _require_room(session, settings, owner_id, 1)
    job = _queued(session, owner_id, arguments, request_id)
    request.keep(session, job.id)
    return Requested(job.id)


def request_pictures(
    session: Session,
    settings: Settings,
    owner_id: int,
    wanted: Sequence[WantedPicture],
    *,
    request_id: str | None = None,
) -> list[int | InvalidInput]:
    """Queue a job for each picture that can be asked for; ring for them after the commit.

    Returns:
        The job of each, or why there is none, in their order.

    Raises:
        Conflict: nothing is fetched here, or too many wait; then none is queued.
    """
    _require_switched_on(settings)
    checked = [_checked_or_not(each) for each in wanted]
    good = [each for each in checked if isinstance(each, dict)]
    _require_room(session, settings, owner_id, len(good))
    return [
        _queued(session, owner_id, each, request_id).id if isinstance(each, dict) else each
        for each in checked
    ]


def _require_switched_on(settings: Settings) -> None:
    if not settings.fetch_urls:
        raise Conflict(TURNED_OFF)


def _require_room(session: Session, settings: Settings, owner_id: int, more: int) -> None:
    # Whoever asks twice at once takes turns here.
    session.execute(select(User.id).where(User.id == owner_id).with_for_update())
    waiting = session.execute(
        select(func.count()).where(
            Job.owner_id == owner_id, Job.kind == FETCH_IMAGE, Job.state.in_(ledger.UNFINISHED)
        )
    ).scalar_one()
    if waiting + more > settings.fetch_waiting:
        raise Conflict(
            f"{waiting:,} addresses of yours wait to be fetched, and {settings.fetch_waiting:,} may "
            "(FETCH_WAITING). Send these once others are done."
        )


def _queued(
    session: Session, owner_id: int, arguments: dict[str, Any], request_id: str | None
) -> Job:
    return ledger.enqueue(
        session,
        FETCH_IMAGE,
        arguments=arguments,
        owner_id=owner_id,
        request_id=request_id,
        # The same address asked for twice is two pictures: it may show another one by then.
        same_work=f"{FETCH_IMAGE}:{secrets.token_hex(16)}",
    )


def _checked(wanted: WantedPicture) -> dict[str, Any]:
    """Return a picture as the arguments of its job. Raises InvalidInput."""
    try:
        url = target_of(wanted.url).url
    except AddressRefused as error:
        raise AddressRefused(error.detail, fields={"url": [error.detail]}) from error
    return {
        "url": url,
        "prompt": checked_text("prompt", wanted.prompt),
        "caption": checked_text("caption", wanted.caption),
        "asset_id": wanted.asset_id,
        "auto_caption": wanted.auto_caption,
        "is_public": wanted.is_public,
        "read_metadata": wanted.read_metadata,
        "is_once_per_owner": wanted.is_once_per_owner,
        "tags": list(wanted.tags),
    }


def _checked_or_not(wanted: WantedPicture) -> dict[str, Any] | InvalidInput:
    try:
        return _checked(wanted)
    except InvalidInput as error:
        return error


def wanted_picture(session: Session, job: Job) -> WantedPicture:
    """Return the picture that a job fetches.

    Raises:
        NotFound: its arguments are gone, or its owner is no user any more.
    """
    if job.owner_id is None or not job.arguments.get("url"):
        raise NotFound("The job does not say what to fetch, or for whom.")
    owner = session.get(User, job.owner_id)
    if owner is None or owner.ended_at is not None:
        raise NotFound("Whoever wanted this picture is no user any more.")
    asked = job.arguments
    return WantedPicture(
        url=asked["url"],
        prompt=asked["prompt"],
        caption=asked["caption"],
        asset_id=asked["asset_id"],
        auto_caption=asked["auto_caption"],
        is_public=asked["is_public"],
        read_metadata=asked["read_metadata"],
        is_once_per_owner=asked["is_once_per_owner"],
        tags=tuple(asked["tags"]),
    )


def finish(session: Session, job_id: int, token: str, image_id: int) -> None:
    """End the job with its image, in the transaction that registers it. Raises LeaseLost."""
    attempts.finish(session, job_id, token)
    # What was asked for is the image's now, and goes with it when its owner deletes it.
    session.execute(
        update(Job).where(Job.id == job_id).values(subject_id=image_id, arguments={}),
        execution_options={"synchronize_session": False},
    )
