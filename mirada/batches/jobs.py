"""The jobs that change many images, and that undo it: some images in each transaction, then a rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.batches.applying import TOGETHER, apply, undo_some
from mirada.batches.batches import CHANGE_IMAGES, UNDO_CHANGES, count_changes, next_ids
from mirada.batches.doing import Asker, Means
from mirada.db.batch_models import Batch
from mirada.db.deadlocks import in_transaction
from mirada.db.models import User
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.errors import NotFound
from mirada.runtime import Runtime

REST = 1.5
"""Of the time that some images took, a job rests before the next ones: searches and uploads come between."""
MOST_REST_S = 0.5


def change_images(runtime: Runtime, attempt: Attempt) -> None:
    """Change the job's images, some in each transaction; what a stop interrupts goes on behind them."""
    _in_steps(runtime, attempt, partial(_change_some, runtime))


def undo_changes(runtime: Runtime, attempt: Attempt) -> None:
    """Undo the job's batch, some images in each transaction."""
    _in_steps(runtime, attempt, partial(_undo_some, runtime))


def _in_steps(runtime: Runtime, attempt: Attempt, step: Callable[[Attempt, Session], bool]) -> None:
    is_left = True
    while is_left:
        attempt.check_long()
        began = time.monotonic()
        is_left = in_transaction(runtime.database, partial(step, attempt))
        time.sleep(min(MOST_REST_S, REST * (time.monotonic() - began)))


def _change_some(runtime: Runtime, attempt: Attempt, session: Session) -> bool:
    """Change the next images of a job's batch; return whether any were left."""
    if _is_ended(session, attempt):
        return False
    batch = _of_job(session, attempt)
    ids: Sequence[int] = ()
    if batch.undone_at is None:
        ids = next_ids(runtime, session, batch, TOGETHER)
    job_id, token = attempt.job.id, attempt.token
    if not ids:
        batch.is_ended = True
        session.flush()
        attempts.finish(session, job_id, token)
        return False
    apply(session, batch, ids, Asker(batch.owner_id), _means(runtime, attempt))
    batch.cursor_id = ids[-1]
    session.flush()
    attempts.report_progress(session, job_id, token, batch.done + batch.failed, batch.total)
    return True


def _undo_some(runtime: Runtime, attempt: Attempt, session: Session) -> bool:
    if _is_ended(session, attempt):
        return False
    batch = _of_job(session, attempt)
    job_id, token = attempt.job.id, attempt.token
    asker, means = Asker(batch.owner_id), _means(runtime, attempt)
    if not undo_some(session, batch, asker, means, TOGETHER):
        attempts.finish(session, job_id, token)
        return False
    left = count_changes(session, batch)
    attempts.report_progress(session, job_id, token, batch.undone, batch.undone + left)
    return True


def _is_ended(session: Session, attempt: Attempt) -> bool:
    """Return whether whoever asked was ended, and end the job then: nothing of theirs is shown any more.

    Their row is held, so that their end comes before some images, or after them.
    """
    asked = select(User.ended_at).where(User.id == attempt.job.owner_id)
    if session.execute(asked.with_for_update(read=True)).scalar_one() is None:
        return False
    attempts.finish(session, attempt.job.id, attempt.token)
    return True


def _means(runtime: Runtime, attempt: Attempt) -> Means:
    return Means(runtime.settings, attempt.job.request_id)


def _of_job(session: Session, attempt: Attempt) -> Batch:
    batch_id = attempt.job.arguments["batch_id"]
    batch = session.get(Batch, batch_id, with_for_update=True, populate_existing=True)
    if batch is None:
        raise NotFound("What was to be done is forgotten: its time is over.")
    return batch


KIND = Kind(CHANGE_IMAGES, change_images, title="Change many pictures")
UNDO_KIND = Kind(UNDO_CHANGES, undo_changes, title="Undo a change of many pictures")
