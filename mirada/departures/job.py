"""The job that clears away, or hands over, what an ended user had. Running it twice is harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mirada.classify.remembered import forget
from mirada.db import recall_rows
from mirada.db.batch_models import Batch
from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.deadlocks import in_transaction
from mirada.db.evaluation_models import EvaluationSet
from mirada.db.memory_models import Comment, Like
from mirada.db.models import Image
from mirada.db.pack_models import Pack
from mirada.db.query_models import QueryPicture
from mirada.db.recent_models import RecentSearch
from mirada.db.visibility import is_in_trash_of
from mirada.departures.ending import END_USER, heir_of
from mirada.evaluation.sets import forget_set
from mirada.feedback.verdicts import delete_feedback
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.errors import NotFound
from mirada.packs.packs import forget_pack
from mirada.pictures.derivatives import remove_picture
from mirada.pictures.handing_over import forget_marks_of, hand_over
from mirada.pictures.images import delete_image
from mirada.pictures.trash import erase_trashed
from mirada.runtime import Runtime
from mirada.search import kept
from mirada.search.query_pictures import forget_all_of
from mirada.suggestions import recent
from mirada.webhooks import hooks

Column = InstrumentedAttribute[int]
PAGE_ROWS = 200
"""Things that are looked up at once; each is cleared away in a transaction of its own."""


Step = tuple[Column, ColumnElement[bool], Callable[[Session, int], str | None]]
"""A column of ids, which of them, and what is done for each; a storage key's files go after it."""


def clear_away(runtime: Runtime, attempt: Attempt) -> None:
    """Delete or hand over the images of the job's subject, then delete what else was theirs."""
    user_id = attempt.job.subject_id
    assert user_id is not None
    done = 0
    for column, condition, step in _steps(user_id, attempt.job.arguments["heir_id"]):
        for each in _each(runtime, column, condition):
            attempt.report(done, None)
            # Somebody else has cleared it away.
            with suppress(NotFound):
                _do(runtime, step, each)
            done += 1
    with runtime.transaction() as session:
        recall_rows.forget_viewer(session, user_id)
        kept.forget_viewer(session, user_id)
        hooks.forget_all_of(session, user_id)
    runtime.exports.remove_all_of(user_id)
    attempts.finish_alone(runtime, attempt)


def _do(runtime: Runtime, step: Callable[[Session, int], str | None], each: int) -> None:
    storage_key = in_transaction(runtime.database, lambda session: step(session, each))
    if storage_key is not None:
        remove_picture(runtime, storage_key)


def _steps(user_id: int, heir_id: int | None) -> tuple[Step, ...]:
    def end_image(session: Session, each: int) -> str | None:
        if heir_id is None:
            return delete_image(session, each, user_id, expected_version=None)
        hand_over(session, each, user_id, heir_of(session, heir_id))
        return None

    def forget_classified(session: Session, each: int) -> None:
        row = session.get(ClassifiedPicture, each)
        if row is not None:
            forget(session, user_id, row.content.sha256)

    def take_back_verdict(session: Session, each: int) -> None:
        delete_feedback(session, each, user_id)

    def forget_marks(session: Session, each: int) -> None:
        forget_marks_of(session, each, user_id)

    def end_trashed(session: Session, each: int) -> str | None:
        return erase_trashed(session, each, user_id)

    def forget_batch(session: Session, each: int) -> None:
        session.execute(delete(Batch).where(Batch.id == each))

    images: Step = (Image.id, Image.owner_id == user_id, end_image)
    return (
        (Image.id, is_in_trash_of(user_id), end_trashed),
        images,
        (Pack.id, Pack.owner_id == user_id, forget_pack),
        (ClassifiedPicture.id, ClassifiedPicture.owner_id == user_id, forget_classified),
        (Feedback.id, Feedback.user_id == user_id, take_back_verdict),
        (Like.image_id, Like.user_id == user_id, forget_marks),
        (Comment.image_id, Comment.user_id == user_id, forget_marks),
        (EvaluationSet.id, EvaluationSet.owner_id == user_id, forget_set),
        (QueryPicture.owner_id, QueryPicture.owner_id == user_id, forget_all_of),
        (RecentSearch.owner_id, RecentSearch.owner_id == user_id, recent.forget_all_of),
        (Batch.id, Batch.owner_id == user_id, forget_batch),
        # What a request that began before the end has brought meanwhile.
        images,
    )


def _each(runtime: Runtime, column: Column, condition: ColumnElement[bool]) -> Iterator[int]:
    """Yield the values of a column, lowest first and each once, read by pages as it goes."""
    last = 0
    while True:
        query = select(column).where(condition, column > last).distinct().order_by(column)
        with runtime.reading() as session:
            page = session.execute(query.limit(PAGE_ROWS)).scalars().all()
        if not page:
            return
        yield from page
        last = page[-1]


KIND = Kind(
    END_USER,
    clear_away,
    title="Clear away what an ended user had",
    why_not_cancelled="The user has ended already, so what was theirs is cleared away to the end.",
)
