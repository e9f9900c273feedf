"""Some images of a batch: changed and written down in one transaction, and undone in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from mirada.batches.actions import ACTIONS, Asker, Name, locked
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


def apply(session: Session, batch: Batch, ids: Sequence[int], asker: Asker) -> None:
    """Do a batch's action to some images; write down what they were, and which were left alone why.

    Args:
        session: a transaction in which the batch's row is locked.
        batch: counts them.
        ids: each once; not done before.
        asker: what is not theirs to change does not exist.
    """
    action = ACTIONS[Name(batch.action)]
    images = locked(session, list(ids), asker.may)
    after: dict[int, Any] = {}
    failures = [_failure(each, absent(each)) for each in ids if each not in images]
    done = 0
    for image_id, image in images.items():
        try:
            state = action.after(image, batch.value, asker)
        except MiradaError as error:
            failures.append(_failure(image_id, error))
            continue
        done += 1
        if state != action.state(image):
            after[image_id] = state
    if after:
        before = [
            {
                "batch_id": batch.id,
                "image_id": image_id,
                "before": action.state(images[image_id]),
                "after": state,
            }
            for image_id, state in after.items()
        ]
        action.write(session, images, after)
        session.execute(insert(BatchChange), before)
    keep_failures(session, batch, failures, of_undo=False)
    batch.done += done
    batch.failed += len(failures)
    session.flush()


def undo_some(session: Session, batch: Batch, asker: Asker, most: int) -> int:
    """Undo a batch's next changes, at most so many, and return how many there were.

    An image that is not as the batch has left it is left as it is, and told.
    """
    action = ACTIONS[Name(batch.action)]
    query = select(BatchChange.image_id, BatchChange.before, BatchChange.after)
    query = query.where(BatchChange.batch_id == batch.id).order_by(BatchChange.image_id)
    rows = {row.image_id: row for row in session.execute(query.limit(most))}
    if not rows:
        return 0
    images = locked(session, list(rows), asker.may)
    before: dict[int, Any] = {}
    failures = []
    for image_id, row in rows.items():
        if image_id not in images:
            failures.append(_failure(image_id, absent(image_id)))
        elif action.state(images[image_id]) != row.after:
            detail = f"Image {image_id} was changed since, so it stays as it is."
            failures.append(Failure(image_id, CHANGED_SINCE, detail))
        else:
            before[image_id] = row.before
    if before:
        action.write(session, images, before)
    these = BatchChange.batch_id == batch.id, BatchChange.image_id.in_(list(rows))
    session.execute(delete(BatchChange).where(*these))
    keep_failures(session, batch, failures, of_undo=True)
    batch.undone += len(before)
    session.flush()
    return len(rows)


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
