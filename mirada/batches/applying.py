"""Some images of a batch: changed and written down in one transaction, and undone in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from mirada.batches.actions import ACTIONS
from mirada.batches.doing import Asker, Doing, Means, Name, locked
from mirada.db.batch_models import Batch, BatchChange, BatchFailure
from mirada.kernel.errors import MiradaError
from mirada.pictures.images import absent

TOGETHER = 200
"""Images of one transaction of a job: its locks are held for a fraction of a second."""
MAX_DETAIL_CHARS = 500
CHANGED_SINCE = "changed_since"
"""The code of an image that somebody has changed after the batch: its undoing leaves it alone."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that was left alone, and why."""

    image_id: int
    code: str
    detail: str


def doing_of(session: Session, batch: Batch, asker: Asker, means: Means) -> Doing:
    """Return a batch's action, as a transaction does it."""
    return ACTIONS[Name(batch.action)](session, batch.value, asker, means)


def apply(session: Session, batch: Batch, ids: Sequence[int], asker: Asker, means: Means) -> None:
    """Do a batch's action to some images; write down what they were, and which were left alone why.

    Args:
        session: a transaction in which the batch's row is locked.
        batch: counts them.
        ids: each once; not done before.
        asker: what is not theirs to change does not exist.
        means: what the action works with.
    """
    action = doing_of(session, batch, asker, means)
    try:
        action.check()
        action.begin()
    except MiradaError as error:
        # A job finds that its pack went meanwhile, say.
        done, failures = 0, [_failure(each, error) for each in ids]
    else:
        done, failures = _do(session, batch, action, ids)
    keep_failures(session, batch, failures, of_undo=False)
    batch.done += done
    batch.failed += len(failures)
    session.flush()


def _do(
    session: Session, batch: Batch, action: Doing, ids: Sequence[int]
) -> tuple[int, list[Failure]]:
    """Do an action to some images; return how many are as they were to be, and why others are not."""
    action.hold(ids)
    images = locked(session, {*ids, *action.beside(ids)}, action.may())
    before = action.states(images)
    after: dict[int, Any] = {}
    failures = [_failure(each, absent(each)) for each in ids if each not in images]
    done = []
    for image in (images[each] for each in ids if each in images):
        try:
            state = action.after(image, before[image.id])
        except MiradaError as error:
            failures.append(_failure(image.id, error))
            continue
        done.append(image)
        if state != before[image.id]:
            after[image.id] = state
    if after:
        action.write(images, after)
        action.tell(images, after)
        rows = [
            {"batch_id": batch.id, "image_id": each, "before": before[each], "after": state}
            for each, state in after.items()
        ]
        session.execute(insert(BatchChange), rows)
    if done:
        action.follow(done)
    return len(done), failures


def undo_some(session: Session, batch: Batch, asker: Asker, means: Means, most: int) -> int:
    """Undo a batch's next changes, at most so many, and return how many there were.

    An image that is not as the batch has left it is left as it is, and told.
    """
    query = select(BatchChange.image_id, BatchChange.before, BatchChange.after)
    query = query.where(BatchChange.batch_id == batch.id).order_by(BatchChange.image_id)
    rows = {row.image_id: row for row in session.execute(query.limit(most))}
    if not rows:
        return 0
    action = doing_of(session, batch, asker, means)
    before: dict[int, Any] = {}
    try:
        action.check_undoing()
        action.begin()
    except MiradaError as error:
        failures = [_failure(image_id, error) for image_id in rows]
    else:
        before, failures = _set_back(session, action, rows)
    these = BatchChange.batch_id == batch.id, BatchChange.image_id.in_(list(rows))
    session.execute(delete(BatchChange).where(*these))
    keep_failures(session, batch, failures, of_undo=True)
    batch.undone += len(before)
    session.flush()
    return len(rows)


def _set_back(
    session: Session, action: Doing, rows: Mapping[int, Any]
) -> tuple[dict[int, Any], list[Failure]]:
    """Set images back that are as the batch left them; return their states, and why others stay."""
    action.hold(rows.keys())
    ids = {*rows, *action.beside(rows.keys())}
    images = locked(session, ids, action.may(is_undoing=True))
    now = action.states(images)
    before: dict[int, Any] = {}
    failures = []
    for image_id, row in rows.items():
        if image_id not in images:
            failures.append(_failure(image_id, absent(image_id)))
        elif not action.is_same(now[image_id], row.after):
            detail = f"Image {image_id} was changed since, so it stays as it is."
            failures.append(Failure(image_id, CHANGED_SINCE, detail))
        else:
            before[image_id] = row.before
    if before:
        action.set_back(images, before, {each: rows[each].after for each in before})
        action.tell(images, before)
    return before, failures


def keep_failures(
    session: Session, batch: Batch, failures: Sequence[Failure], *, of_undo: bool
) -> None:
    """Write down which images were left alone, and why."""
    if failures:
        rows: list[Mapping[str, Any]] = [
            {
                "batch_id": batch.id,
                "of_undo": of_undo,
                "image_id": each.image_id,
                "code": each.code,
                "detail": each.detail[:MAX_DETAIL_CHARS],
            }
            for each in failures
        ]
        session.execute(insert(BatchFailure), rows)


def failures_of(session: Session, batch: Batch, *, of_undo: bool, most: int) -> list[Failure]:
    """Return the first images that a batch, or its undoing, has left alone, by id."""
    query = select(BatchFailure.image_id, BatchFailure.code, BatchFailure.detail)
    query = query.where(BatchFailure.batch_id == batch.id, BatchFailure.of_undo == of_undo)
    query = query.order_by(BatchFailure.image_id).limit(most)
    return [Failure(*row) for row in session.execute(query)]


def _failure(image_id: int, error: MiradaError) -> Failure:
    return Failure(image_id, error.code, error.detail)
