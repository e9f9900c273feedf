"""Queries of a set as its owner sees them now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mirada.db.evaluation_models import EvaluationQuery
from mirada.db.pages import newest_first
from mirada.evaluation.judged_queries import judgements_of
from mirada.evaluation.sets import get_set
from mirada.evaluation.shown_pictures import seen_images
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.errors import NotFound
from mirada.kernel.ids import in_range


@dataclass(frozen=True, slots=True)
class KeptQuery:
    """A query as its owner sees it now.

    Attributes:
        id: of the query.
        set_id: of its set.
        text: what is searched for.
        language: such as "pt"; None where it is not said.
        theme: the theme whose verdicts filled it; None for none.
        good: ids, ascending, of good images that its owner can see.
        bad: ids of bad ones.
        gone: judged images that were deleted, or that the owner cannot see.
        created_at: when it was made.
        updated_at: when it was last changed.
    """

    id: int
    set_id: int
    text: str
    language: str | None
    theme: str | None
    good: Sequence[int]
    bad: Sequence[int]
    gone: int
    created_at: datetime
    updated_at: datetime


def get_query(session: Session, set_id: int, query_id: int, owner_id: int) -> KeptQuery:
    """Return a query of a person's set. Raises NotFound for anything else."""
    get_set(session, set_id, owner_id)
    return _kept(session, [query_row(session, set_id, query_id)], owner_id)[0]


def list_queries(
    session: Session,
    set_id: int,
    owner_id: int,
    *,
    cursor: int | None = None,
    limit: int = 50,
) -> list[KeptQuery]:
    """Return the queries of a person's set, newest first.

    Args:
        session: for reading.
        set_id: which set.
        owner_id: who asks.
        cursor: the id of the last query of the page before; None for the first page.
        limit: >= 1.

    Raises:
        NotFound: there is no such set of theirs.
    """
    get_set(session, set_id, owner_id)
    rows = session.execute(newest_first(of_set(set_id), EvaluationQuery.id, cursor, limit))
    return _kept(session, list(rows.scalars()), owner_id)


def of_set(set_id: int) -> Select[EvaluationQuery]:
    """Return the query for the queries of a set."""
    return select(EvaluationQuery).where(EvaluationQuery.set_id == set_id)


def query_row(session: Session, set_id: int, query_id: int) -> EvaluationQuery:
    """Return the row of a query of a set. Raises NotFound."""
    query = of_set(set_id).where(EvaluationQuery.id == in_range(query_id))
    row = session.execute(query).scalar_one_or_none()
    if row is None:
        raise NotFound(f"There is no query {query_id} in this set.")
    return row


def _kept(session: Session, rows: Sequence[EvaluationQuery], owner_id: int) -> list[KeptQuery]:
    judged = judgements_of(session, [row.id for row in rows])
    mentioned = {image for each in judged.values() for image in each}
    seen = seen_images(session, Scope(Audience(owner_id)), mentioned)
    return [
        KeptQuery(
            row.id,
            row.set_id,
            row.text,
            row.language,
            row.theme,
            sorted(image for image, is_good in judged[row.id].items() if is_good and image in seen),
            sorted(
                image for image, is_good in judged[row.id].items() if not is_good and image in seen
            ),
            len(judged[row.id].keys() - seen),
            row.created_at,
            row.updated_at,
        )
        for row in rows
    ]
