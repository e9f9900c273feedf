"""Verdicts as evidence: which rows count, and which go with a picture that their givers lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, false, func, not_, or_, select, true
from sqlalchemy.orm import Session

from mirada.db.chunks import chunks, rows_in
from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.models import Embedding, Image
from mirada.db.stored_vectors import vectors_in
from mirada.kernel.embeddings import Vector
from mirada.kernel.images import ImageStatus


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """A verdict whose picture has a vector: who said what of which embedding, with its checksum."""

    id: int
    theme: str
    user_id: int
    content_id: int
    accepted: bool
    embedding_id: int
    crc32: int


def forget_unseen(session: Session, content_id: int) -> None:
    """Delete the verdicts on a content of those who may no longer see it; lock the content first.

    An image in the trash counts as one: it may come back.

    Called when an image, or what was remembered of a picture, goes while the content stays.
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
    """Return how many verdicts on a theme count in a space; themes without any are left out."""
    query = (
        select(Feedback.theme, func.count().label("verdicts"))
        .join(Embedding, Embedding.content_id == Feedback.content_id)
        .where(*_live(space_id), _counts())
        .group_by(Feedback.theme)
    )
    rows = rows_in(session, query, Feedback.theme, themes)
    return {row.theme: row.verdicts for row in rows}


def evidence_rows(
    session: Session, themes: Collection[str], space_id: int, per_theme: int
) -> list[VerdictRow]:
    """Return the verdicts that count, by id; of those who still wait for the picture, none.

    Of a theme with more than `per_theme` verdicts with a vector, everybody's newest come first, then
    everybody's second: however many verdicts one person gives, they crowd nobody else's out.
    """
    waiting = waiting_copies(session, space_id)
    return [
        VerdictRow(*row[:7])
        for chunk in chunks(sorted(themes))
        for row in session.execute(_verdicts_of(chunk, space_id, per_theme))
        if (row.user_id, row.content_id) not in waiting
    ]


def _verdicts_of(themes: Sequence[str], space_id: int, per_theme: int) -> Select[Any]:
    """Return the query for the fields of VerdictRow, the first `per_theme` of each theme, by id."""
    newest = (Feedback.updated_at.desc(), Feedback.id.desc())
    turn = func.row_number().over(partition_by=(Feedback.theme, Feedback.user_id), order_by=newest)
    given = (
        select(
            Feedback.id,
            Feedback.theme,
            Feedback.user_id,
            Feedback.content_id,
            Feedback.accepted,
            Embedding.id.label("embedding_id"),
            Embedding.crc32,
            Feedback.updated_at,
            turn.label("turn"),
        )
        .join(Embedding, Embedding.content_id == Feedback.content_id)
        .where(Feedback.theme.in_(themes), *_live(space_id), _counts())
        .subquery()
    )
    columns = given.c
    place = func.row_number().over(
        partition_by=columns.theme,
        order_by=(columns.turn, columns.updated_at.desc(), columns.id.desc()),
    )
    placed = select(given, place.label("place")).subquery()
    return select(placed).where(placed.c.place <= per_theme).order_by(placed.c.id)


def waiting_copies(session: Session, space_id: int) -> set[tuple[int, int]]:
    """Return who waits for a content's vector although it is there, as (user id, content id).

    Their upload of bytes that somebody else had has not been worked yet. Until then their verdict
    on it counts as little as one on a new picture, or it would tell them of the other.
    """
    waits = (ImageStatus.PENDING, ImageStatus.PROCESSING)
    rows = session.execute(
        select(Image.owner_id, Image.content_id)
        .join(Embedding, Embedding.content_id == Image.content_id)
        .where(Image.status.in_(waits), *_live(space_id))
    )
    return {(row.owner_id, row.content_id) for row in rows}


def vectors_of_embeddings(
    session: Session, embedding_ids: Sequence[int], dimension: int
) -> dict[int, Vector]:
    """Return (d,) float32 unit vectors by embedding id; damaged and deleted ones are left out."""
    query = select(Embedding.id, Embedding.vector, Embedding.crc32).where(
        Embedding.is_deleted == false()
    )
    return vectors_in(session, query, Embedding.id, embedding_ids, dimension)


def is_not_put_away() -> ColumnElement[bool]:
    """Return the condition on `feedback` that its giver did not put its picture into the trash.

    Until it is restored such a verdict is told to nobody, its giver included.
    """
    own = select(Image.id).where(
        Image.content_id == Feedback.content_id,
        Image.owner_id == Feedback.user_id,
        Image.trashed_at.is_not(None),
    )
    return or_(not_(own.correlate_except(Image).exists()), _counts())


def _counts() -> ColumnElement[bool]:
    """Return the condition on `feedback` that its giver sees the picture: it may be in the trash.

    `forget_unseen` deletes the others when the picture goes for good.
    """
    seen = select(Image.id).where(
        Image.content_id == Feedback.content_id,
        Image.trashed_at.is_(None),
        or_(Image.is_public == true(), Image.owner_id == Feedback.user_id),
    )
    sent = select(ClassifiedPicture.id).where(
        ClassifiedPicture.content_id == Feedback.content_id,
        ClassifiedPicture.owner_id == Feedback.user_id,
        ClassifiedPicture.sent_bytes == true(),
    )
    return or_(
        seen.correlate_except(Image).exists(), sent.correlate_except(ClassifiedPicture).exists()
    )


def _live(space_id: int) -> tuple[ColumnElement[bool], ...]:
    return Embedding.space_id == space_id, Embedding.is_deleted == false()
