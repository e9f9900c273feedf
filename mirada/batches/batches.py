"""Change many images by one request: at once up to AT_ONCE, else by a job; and undo exactly that.

An undoing is held to the one who asked for the batch, and to what the batch has really changed.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.batches.actions import ACTIONS
from mirada.batches.applying import Failure, apply, doing_of, failures_of, undo_some
from mirada.batches.doing import Asker, Means, Name
from mirada.batches.merging import merged_ids
from mirada.batches.wanted import Wanted
from mirada.db.batch_models import Batch, BatchChange
from mirada.db.changes import committed_seq
from mirada.db.deadlocks import in_transaction
from mirada.db.filters import in_scope
from mirada.db.models import Image, Job, utc_now
from mirada.jobs import ledger
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.conditions import filter_of, read_conditions
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.kernel.filters import ImageFilter
from mirada.pictures.image_lists import COUNTED_IMAGES
from mirada.runtime import Runtime

CHANGE_IMAGES, UNDO_CHANGES = "change_images_task", "undo_changes_task"
AT_ONCE = 500
"""Images of one request; more are changed by a job."""
TOLD_FAILURES = 500
"""Images left alone that a reply names; it counts all."""
KEPT_FOR = timedelta(days=30)
"""How long a batch can be undone, and is told."""
PURGED_TOGETHER = 20
"""Batches that are forgotten in one transaction."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch.

    Attributes:
        action: what is done.
        value: with which value, as `checked_value` returns it.
        done: images that are as they were to be, changed or not.
        failed_count: images that were left alone.
        failed: the first of them.
        undo: names the batch, for its owner alone; None where nothing was changed.
        job_id: of the job that does or did it; None where the request did.
        is_ended: nothing more is done.
        is_undone: its undoing was asked for.
        undone: images that were set back.
        left: images that were not, because they were changed or went since.
        to_undo: changes that are not undone.
        change_seq: the change number of what was just done; None for nothing, or a job's.
    """

    action: str
    value: Any
    done: int
    failed_count: int
    failed: list[Failure]
    undo: str | None
    job_id: int | None
    is_ended: bool
    is_undone: bool
    undone: int
    left: list[Failure]
    to_undo: int
    change_seq: int | None = None


def change_many(
    runtime: Runtime, wanted: Wanted, asker: Asker, request_id: str | None = None
) -> Outcome:
    """Change images, and return what became of each; of more than AT_ONCE queue a job.

    Raises:
        InvalidInput: more than AT_ONCE ids, unless they are merged.
        Conflict: it cannot be done here, or the pack fills itself.
        NotFound: there is no such pack of theirs.
    """
    means = Means(runtime.settings, request_id)
    is_many = wanted.ids is not None and len(wanted.ids) > AT_ONCE
    if is_many and wanted.action is not Name.MERGE:
        raise InvalidInput(f"At most {AT_ONCE} ids at once; send a filter for more.")
    token = secrets.token_urlsafe(32)

    def begun(session: Session) -> tuple[Batch, Job | None]:
        batch = Batch(owner_id=asker.user_id, token=token, action=wanted.action, value=wanted.value)
        action = doing_of(session, batch, asker, means)
        action.check()
        action.begin()
        session.add(batch)
        ids = wanted.ids
        if ids is None:
            batch.conditions = list(wanted.conditions)
            query = select(Image.id).where(in_scope(scope_of(runtime, batch)))
            ids = tuple(session.execute(query.order_by(Image.id).limit(AT_ONCE + 1)).scalars())
        if len(ids) > AT_ONCE:
            if batch.conditions is None:
                batch.total, batch.last_id = len(ids), max(ids)
            else:
                _count(session, batch, scope_of(runtime, batch))
            return batch, _queued(session, batch, request_id)
        session.flush()
        apply(session, batch, ids, asker, means)
        batch.is_ended = True
        session.flush()
        return batch, None

    return _ringing(runtime, begun, is_new=True)


def read(runtime: Runtime, token: str, owner_id: int) -> Outcome:
    """Return what became of somebody's batch. Raises NotFound: they have none of that name."""
    with runtime.reading() as session:
        return _outcome(session, _named(session, token, owner_id))


def undo(runtime: Runtime, token: str, asker: Asker, request_id: str | None = None) -> Outcome:
    """Set back what a batch has changed, as far as nobody has changed it since; once.

    A job that is under way stops. Of more than AT_ONCE images a job sets them back.

    Raises:
        NotFound: they have no batch of that name, or its time is over.
        Conflict: images were restored, and there is no trash any more to put them back into.
    """

    def undone(session: Session) -> tuple[Batch, Job | None]:
        batch = _named(session, token, asker.user_id, lock=True)
        means = Means(runtime.settings, request_id)
        doing_of(session, batch, asker, means).check_undoing()
        if batch.undone_at is None:
            batch.undone_at, batch.is_ended = utc_now(), True
        if count_changes(session, batch) > AT_ONCE:
            job = ledger.enqueue(
                session,
                UNDO_CHANGES,
                arguments={"batch_id": batch.id},
                owner_id=batch.owner_id,
                request_id=request_id,
                same_work=f"{UNDO_CHANGES}:{batch.id}",
            )
            batch.job_id = job.id
            session.flush()
            return batch, job
        undo_some(session, batch, asker, means, AT_ONCE)
        return batch, None

    return _ringing(runtime, undone)


def forget_old(runtime: Runtime) -> int:
    """Forget batches that can no longer be undone, and return how many."""
    query = select(Batch).where(Batch.created_at < utc_now() - KEPT_FOR)

    def some(session: Session) -> int:
        rows = session.execute(query.order_by(Batch.id).limit(PURGED_TOGETHER)).scalars().all()
        for row in rows:
            session.delete(row)
        return len(rows)

    with runtime.reading() as session:
        if session.execute(query.limit(1)).first() is None:
            return 0
    return in_transaction(runtime.database, some)


def _ringing(runtime: Runtime, work: Any, *, is_new: bool = False) -> Outcome:
    """Do it in a transaction, ring for the job that it queues, and return what became of the batch."""
    seen: dict[str, Any] = {}

    def told(session: Session) -> Session:
        batch, job = work(session)
        seen["outcome"] = _outcome(session, batch)
        if is_new and job is None and not seen["outcome"].to_undo:
            # Nothing was changed, so there is nothing to name.
            seen["outcome"] = replace(seen["outcome"], undo=None)
            session.delete(batch)
        seen["job"] = None if job is None else (job.id, job.kind)
        return session

    session = in_transaction(runtime.database, told)
    if seen["job"] is not None:
        runtime.doorbell.ring(*seen["job"])
    outcome: Outcome = seen["outcome"]
    return replace(outcome, change_seq=committed_seq(session))


def _count(session: Session, batch: Batch, scope: Scope) -> None:
    """Say of how many images a batch with conditions is: of those that there are now."""
    some = select(Image.id).where(in_scope(scope)).limit(COUNTED_IMAGES + 1).subquery()
    total = session.execute(select(func.count()).select_from(some)).scalar_one()
    batch.total = total if total <= COUNTED_IMAGES else None
    batch.last_id = session.execute(
        select(func.max(Image.id)).where(Image.owner_id == batch.owner_id)
    ).scalar_one()


def _queued(session: Session, batch: Batch, request_id: str | None) -> Job:
    session.flush()
    job = ledger.enqueue(
        session,
        CHANGE_IMAGES,
        arguments={"batch_id": batch.id},
        owner_id=batch.owner_id,
        request_id=request_id,
        same_work=f"{CHANGE_IMAGES}:{batch.id}",
    )
    batch.job_id = job.id
    session.flush()
    return job


def scope_of(runtime: Runtime, batch: Batch) -> Scope:
    """Return which images a batch with conditions is about: of its owner's own, or in their trash."""
    fields = read_conditions(batch.conditions or ())
    asked: ImageFilter = filter_of(fields, runtime.settings.nsfw_threshold)
    audience = Audience(batch.owner_id)
    in_trash = is_of_trash(Name(batch.action))
    return Scope(audience.own_trash() if in_trash else audience.own_alone(), asked)


def next_ids(runtime: Runtime, session: Session, batch: Batch, most: int) -> Sequence[int]:
    """Return the images that a job does next, by id, at most so many."""
    if batch.conditions is None:
        return merged_ids(batch.value, batch.cursor_id, most)
    later = Image.id > batch.cursor_id, Image.id <= batch.last_id
    query = select(Image.id).where(in_scope(scope_of(runtime, batch)), *later)
    return session.execute(query.order_by(Image.id).limit(most)).scalars().all()


def is_of_trash(action: Name) -> bool:
    """Return whether an action is done to images in the trash."""
    return ACTIONS[action].is_of_trash


def _named(session: Session, token: str, owner_id: int, *, lock: bool = False) -> Batch:
    query = select(Batch).where(Batch.token == token, Batch.owner_id == owner_id)
    found = session.execute(query.with_for_update() if lock else query).scalar_one_or_none()
    # MySQL finds it in any case of its letters.
    if found is None or found.token != token:
        raise NotFound("You have nothing of that name to undo, or its time is over.")
    return found


def count_changes(session: Session, batch: Batch) -> int:
    """Return how many changes of a batch are not undone."""
    query = select(func.count()).select_from(BatchChange).where(BatchChange.batch_id == batch.id)
    return session.execute(query).scalar_one()


def _outcome(session: Session, batch: Batch) -> Outcome:
    return Outcome(
        action=batch.action,
        value=batch.value,
        done=batch.done,
        failed_count=batch.failed,
        failed=failures_of(session, batch, of_undo=False, most=TOLD_FAILURES),
        undo=batch.token,
        job_id=batch.job_id,
        is_ended=batch.is_ended,
        is_undone=batch.undone_at is not None,
        undone=batch.undone,
        left=failures_of(session, batch, of_undo=True, most=TOLD_FAILURES),
        to_undo=count_changes(session, batch),
    )
