"""Verdicts as evidence: which rows count, and which go with a picture that their givers lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import ColumnElement, Row, delete, false, func, select, true
from sqlalchemy.orm import Session

from mirada.db.changes import IN_LIST_ROWS
from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.models import Embedding, Image


def forget_unseen(session: Session, content_id: int) -> None:
    """Delete the verdicts on a content of those who may no longer see it; lock the content first.

    For whoever deletes an image, or what was remembered of a picture, while the content stays.
    """
    public = select(Image.id).where(Image.content_id == content_id, Image.is_public == true())
    if session.execute(public.limit(1)).first() is not None:
        return
    owners = select(Image.owner_id).where(Image.content_id == content_id)
    senders = select(ClassifiedPicture.owner_id).where(
        ClassifiedPicture.content_id == content_id, ClassifiedPicture.sent_bytes == true()
    )
    session.execute(
        delete(Feedback)
        .where(
            Feedback.content_id == content_id,
            Feedback.user_id.not_in(owners),
            Feedback.user_id.not_in(senders),
        )
        .execution_options(synchronize_session=False)
    )


def evidence_counts(session: Session, themes: Collection[str], space_id: int) -> dict[str, int]:
    """Return how many verdicts on a theme have a vector in a space; themes without any are left out."""
    counts: dict[str, int] = {}
    for chunk in _chunks(sorted(themes)):
        found = session.execute(
            select(Feedback.theme, func.count())
            .join(Embedding, Embedding.content_id == Feedback.content_id)
            .where(Feedback.theme.in_(chunk), *_live(space_id))
            .group_by(Feedback.theme)
        )
        counts |= {row[0]: row[1] for row in found}
    return counts


def evidence_rows(
    session: Session, themes: Collection[str], space_id: int, per_theme: int
) -> Sequence[Row[int, str, int, bool, bytes, int]]:
    """Return (id, theme, user_id, accepted, vector, crc32) of the verdicts that count, by id.

    Of a theme with more than `per_theme` verdicts with a vector, everybody's newest come first, then
    everybody's second: however many verdicts one person gives, they crowd nobody else's out.
    """
    rows: list[Row[int, str, int, bool, bytes, int]] = []
    for chunk in _chunks(sorted(themes)):
        newest = (Feedback.updated_at.desc(), Feedback.id.desc())
        turn = func.row_number().over(
            partition_by=(Feedback.theme, Feedback.user_id), order_by=newest
        )
        given = (
            select(
                Feedback.id,
                Feedback.theme,
                Feedback.updated_at,
                Embedding.id.label("embedding_id"),
                turn.label("turn"),
            )
            .join(Embedding, Embedding.content_id == Feedback.content_id)
            .where(Feedback.theme.in_(chunk), *_live(space_id))
            .subquery()
        )
        place = func.row_number().over(
            partition_by=given.c.theme,
            order_by=(given.c.turn, given.c.updated_at.desc(), given.c.id.desc()),
        )
        placed = select(given.c.id, given.c.embedding_id, place.label("place")).subquery()
        # The vectors are joined last: a sort of the rows must not carry them along.
        rows += session.execute(
            select(
                Feedback.id,
                Feedback.theme,
                Feedback.user_id,
                Feedback.accepted,
                Embedding.vector,
                Embedding.crc32,
            )
            .join(placed, placed.c.id == Feedback.id)
            .join(Embedding, Embedding.id == placed.c.embedding_id)
            .where(placed.c.place <= per_theme)
            .order_by(Feedback.id)
        ).all()
    return rows


def _live(space_id: int) -> tuple[ColumnElement[bool], ...]:
    return Embedding.space_id == space_id, Embedding.is_deleted == false()


def _chunks(themes: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(themes), IN_LIST_ROWS):
        yield themes[start : start + IN_LIST_ROWS]
