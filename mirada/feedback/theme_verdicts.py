"""Themes and the verdicts on them, as one viewer may see them: of others' private pictures, nothing.

What is shown and counted are the viewer's own verdicts and those on public pictures. Scores rest on
everybody's all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, func, or_, select, true
from sqlalchemy.orm import Session, joinedload

from mirada.db.chunks import rows_in
from mirada.db.classifier_models import Feedback
from mirada.db.pages import newest_first
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import PICTURE_VECTORS
from mirada.db.verdicts import is_not_put_away, waiting_copies
from mirada.db.visibility import may_see_verdict
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import Vector
from mirada.kernel.ids import LARGEST_ID
from mirada.kernel.themes import theme_key


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of verdicts that the viewer gave or may see, and of the people who gave them."""

    accepted: int = 0
    rejected: int = 0
    people: int = 0


@dataclass(frozen=True, slots=True)
class JudgedTheme:
    """A theme that the viewer judged, or sees judged; `newest_id` is what its place follows."""

    theme: str
    counts: Counts
    newest_id: int


@dataclass(frozen=True, slots=True)
class SeenVerdict:
    """A verdict on a picture that the viewer may see.

    Attributes:
        feedback: its content loaded.
        vector: (d,) float32 of the picture; None while it has none.
    """

    feedback: Feedback
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class ThemeVerdicts:
    """The verdicts on a theme.

    Attributes:
        theme: its key.
        counts: of the verdicts that the viewer gave or may see.
        seen: one page of those whose picture they may see now, newest first.
    """

    theme: str
    counts: Counts
    seen: Sequence[SeenVerdict]


def list_themes(
    session: Session, audience: Audience, *, cursor: int | None = None, limit: int = 50
) -> list[JudgedTheme]:
    """Return themes the viewer has judged, or of which a public picture was judged.

    A theme that others use for their private pictures alone is theirs: its very name may tell.

    Args:
        session: for reading.
        audience: who asks.
        cursor: `newest_id` of the last theme of the page before; None for the first page.
        limit: >= 1.

    Returns:
        Newest verdict first, among those the viewer gave or may see.
    """
    newest = func.max(Feedback.id)
    query = select(Feedback.theme, newest).where(_concerns(audience)).group_by(Feedback.theme)
    if cursor is not None:
        query = query.having(newest < min(cursor, LARGEST_ID))
    rows = session.execute(query.order_by(newest.desc()).limit(limit)).all()
    themes = [theme for theme, _ in rows]
    counts = _counts(session, Feedback.theme.in_(themes), _concerns(audience))
    return [JudgedTheme(theme, counts.get(theme, Counts()), newest_id) for theme, newest_id in rows]


def verdicts_on(
    session: Session,
    theme: str,
    audience: Audience,
    *,
    space_id: int | None,
    dimension: int = 0,
    cursor: int | None = None,
    limit: int = 50,
) -> ThemeVerdicts:
    """Return what was said of a theme; nothing for one that nobody judged, or not on a public picture.

    Args:
        session: for reading.
        theme: any spelling.
        audience: who asks.
        space_id: whose vectors come along; None for none.
        dimension: of that space.
        cursor: the id of the last verdict of the page before; None for the first page.
        limit: >= 1.

    Raises:
        InvalidInput: the theme cannot be one.
    """
    key = theme_key(theme)
    counts = _counts(session, Feedback.theme == key, _concerns(audience)).get(key, Counts())
    query = select(Feedback).where(Feedback.theme == key, may_see_verdict(audience))
    query = query.options(joinedload(Feedback.content))
    rows = session.execute(newest_first(query, Feedback.id, cursor, limit)).scalars().all()
    contents = {row.content_id for row in rows}
    vectors = vectors_of(session, PICTURE_VECTORS, space_id, contents, dimension)
    waiting = set() if space_id is None else waiting_copies(session, space_id)
    return ThemeVerdicts(
        theme=key,
        counts=counts,
        seen=[
            SeenVerdict(
                row,
                None if (row.user_id, row.content_id) in waiting else vectors.get(row.content_id),
            )
            for row in rows
        ],
    )


def count_concerning(session: Session, feedback_ids: Collection[int], audience: Audience) -> int:
    """Return how many of these verdicts the viewer gave or may see."""
    query = select(func.count()).select_from(Feedback).where(_concerns(audience))
    return sum(count for (count,) in rows_in(session, query, Feedback.id, feedback_ids))


def _concerns(audience: Audience) -> ColumnElement[bool]:
    # One's own counts also while its picture is hidden from one: it may be taken back.
    own = and_(Feedback.user_id == audience.viewer_id, is_not_put_away())
    return or_(own, may_see_verdict(audience))


def _counts(session: Session, *conditions: ColumnElement[bool]) -> dict[str, Counts]:
    rows = session.execute(
        select(
            Feedback.theme,
            func.sum(case((Feedback.accepted == true(), 1), else_=0)),
            func.count(),
            func.count(Feedback.user_id.distinct()),
        )
        .where(*conditions)
        .group_by(Feedback.theme)
    )
    # MySQL sums integers into a Decimal.
    return {
        theme: Counts(int(accepted), count - int(accepted), people)
        for theme, accepted, count, people in rows
    }
