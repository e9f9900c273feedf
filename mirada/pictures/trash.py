"""The trash: a deleted image is seen by nobody, and can be taken back for TRASH_DAYS days.

Nothing of it is changed meanwhile: likes, comments, verdicts, labels, words, its vector and its place in
groups stay, so that it comes back with all of them. `visibility.may_see` keeps it from everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mirada.captions.wording import recipe_in_force
from mirada.captions.writing import request_caption
from mirada.db import audit
from mirada.db.deadlocks import in_transaction
from mirada.db.models import Image, Job, utc_now
from mirada.db.session import count_changed
from mirada.db.visibility import (
    EMPTIED,
    is_due_to_go,
    is_in_trash_of,
    may_change,
    may_see,
    may_take_back,
)
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.audience import Audience
from mirada.kernel.audit import Action
from mirada.kernel.errors import NotFound
from mirada.pictures.derivatives import remove_picture
from mirada.pictures.images import (
    checked_reason,
    committed_change,
    delete_image,
    erase,
    lock_image,
    touch_image,
)
from mirada.runtime import Runtime
from mirada.webhooks import telling

ERASE_TRASH = "erase_trash_task"
PAGE_ROWS = 200
"""Images that are looked up at once; each is erased in a transaction of its own."""


@dataclass(frozen=True, slots=True)
class Asker:
    """A person who deletes an image, or takes one back.

    Attributes:
        user_id: whose rights count.
        is_administrator: may do so to what everybody sees, or saw before it was hidden.
    """

    user_id: int
    is_administrator: bool = False


def gone_at(trashed_at: datetime, trash_days: int) -> datetime:
    """Return when an image in the trash is erased, at the earliest."""
    return trashed_at + timedelta(days=trash_days)


def remove(
    runtime: Runtime,
    image_id: int,
    asker: Asker,
    *,
    expected_version: int | None = None,
    is_now: bool = False,
    reason: str | None = None,
) -> int | None:
    """Put an image into its owner's trash, or erase it, and return the number of the change.

    Args:
        runtime: where; with TRASH_DAYS=0 there is no trash, and it is erased.
        image_id: which image.
        asker: who asks.
        expected_version: what If-Match named; None for any version.
        is_now: erase it, also from the trash.
        reason: why an administrator deletes somebody else's image; its owner is told.

    Raises:
        NotFound: there is none of theirs to delete.
        NotAllowed: a reason was given for one's own.
        PreconditionFailed: it is another version by now.
    """
    is_administrator = asker.is_administrator
    storage_key = None
    with runtime.transaction() as session:
        if is_now or not runtime.settings.trash_days:
            storage_key = delete_image(
                session,
                image_id,
                asker.user_id,
                expected_version=expected_version,
                is_administrator=is_administrator,
                reason=reason,
            )
        else:
            put_away(session, image_id, asker, expected_version=expected_version, reason=reason)
    if storage_key is not None:
        remove_picture(runtime, storage_key)
    return committed_change(session)


def put_away(
    session: Session,
    image_id: int,
    asker: Asker,
    *,
    expected_version: int | None = None,
    reason: str | None = None,
) -> Image:
    """Put an image into its owner's trash and return it; an administrator hides somebody else's as well.

    So its owner may take it back, and shows it to nobody; they read the reason, if one is given.

    Raises:
        NotFound: there is none of theirs to delete.
        NotAllowed: a reason was given for one's own.
        PreconditionFailed: it is another version by now.
    """
    changeable = may_change(asker.user_id, is_administrator=asker.is_administrator)
    image = lock_image(session, image_id, changeable, expected_version)
    # Whole seconds: pages of the trash go on by them.
    image.trashed_at = utc_now().replace(microsecond=0)
    reason = checked_reason(reason, is_owner=image.owner_id == asker.user_id)
    if image.owner_id != asker.user_id:
        image.is_public, image.is_hidden = False, True
        # One that was hidden before keeps its reason where no other is given.
        image.hidden_reason = reason or image.hidden_reason
    audit.record_of_others(session, Action.IMAGE_DELETE, image.id, image.owner_id, asker.user_id)
    touch_image(session, image)
    telling.deleted(session, {image.id: image.owner_id})
    session.flush()
    return image


def take_back(session: Session, image_id: int, asker: Asker) -> Image:
    """Take an image out of the trash and return it: as it was, with a new token for its addresses.

    Raises:
        NotFound: there is none of theirs in the trash.
    """
    theirs = may_take_back(asker.user_id, is_administrator=asker.is_administrator)
    image = lock_image(session, image_id, theirs, None)
    image.trashed_at = None
    audit.record_of_others(session, Action.IMAGE_RESTORE, image.id, image.owner_id, asker.user_id)
    touch_image(session, image)
    session.flush()
    return image


def erase_trashed(session: Session, image_id: int, owner_id: int) -> str | None:
    """Erase an image in its owner's trash, as `images.delete_image` does.

    Raises:
        NotFound: it is not there.
    """
    return erase(session, lock_image(session, image_id, is_in_trash_of(owner_id), None))


def erase_own(runtime: Runtime, image_id: int, owner_id: int) -> None:
    """Erase an image in its owner's trash, and its file; one that was taken back meanwhile stays.

    Raises:
        NotFound: it is not there.
    """
    with runtime.transaction() as session:
        storage_key = erase_trashed(session, image_id, owner_id)
    if storage_key is not None:
        remove_picture(runtime, storage_key)


def restore(
    runtime: Runtime, image_id: int, asker: Asker, request_id: str | None = None
) -> tuple[Image, int | None]:
    """Take an image out of the trash; return it and the number of the change.

    What a model was to write of it is asked for now: nothing in the trash is sent to one.

    Raises:
        NotFound: there is none of theirs in the trash.
    """
    job: Job | None = None
    with runtime.transaction() as session:
        image = take_back(session, image_id, asker)
        is_asked = image.auto_caption and recipe_in_force(runtime.settings) is not None
        if image.description is None and is_asked:
            job = request_caption(session, image.content_id, image.owner_id, request_id)
    if job is not None:
        runtime.doorbell.ring(job.id, job.kind)
    return image, committed_change(session)


def empty(runtime: Runtime, owner_id: int, request_id: str | None = None) -> int:
    """Empty somebody's trash and return how many images were in it; a job erases them.

    They are nowhere to be seen at once, and cannot be taken back.
    """
    images = Image.__table__.c
    with runtime.transaction() as session:
        emptied = update(Image).where(may_see(Audience(owner_id).own_trash()))
        emptied = emptied.values(trashed_at=EMPTIED, updated_at=images.updated_at)
        count = count_changed(session, emptied.execution_options(synchronize_session=False))
        job = ledger.enqueue(session, ERASE_TRASH, same_work=ERASE_TRASH, request_id=request_id)
    runtime.doorbell.ring(job.id, job.kind)
    return count


def queue_due_erasing(runtime: Runtime) -> None:
    """Queue the job that erases what was long enough in the trash, if there is anything."""
    due = select(Image.id).where(is_due_to_go(_until(runtime)))
    with runtime.reading() as session:
        if session.execute(due.limit(1)).first() is None:
            return
    with runtime.transaction() as session:
        job = ledger.enqueue(session, ERASE_TRASH, same_work=ERASE_TRASH)
    runtime.doorbell.ring(job.id, job.kind)


def erase_trash(runtime: Runtime, attempt: Attempt) -> None:
    """Erase what was long enough in the trash, each image in a transaction and its file after it."""
    until, done, last = _until(runtime), 0, 0
    is_due = is_due_to_go(until)
    while True:
        query = select(Image.id).where(is_due, Image.id > last).order_by(Image.id)
        with runtime.reading() as session:
            page = session.execute(query.limit(PAGE_ROWS)).scalars().all()
        if not page:
            break
        for image_id in page:
            attempt.report(done, None)
            _erase_one(runtime, image_id, until)
            done += 1
        last = page[-1]
    attempts.finish_alone(runtime, attempt)


def _erase_one(runtime: Runtime, image_id: int, until: datetime) -> None:
    def erased(session: Session) -> str | None:
        # Asked again under its lock: it may have been taken back.
        return erase(session, lock_image(session, image_id, is_due_to_go(until), None))

    try:
        storage_key = in_transaction(runtime.database, erased)
    except NotFound:
        return
    if storage_key is not None:
        remove_picture(runtime, storage_key)


def _until(runtime: Runtime) -> datetime:
    return utc_now() - timedelta(days=runtime.settings.trash_days)


KIND = Kind(ERASE_TRASH, erase_trash, title="Erase what was deleted before")
