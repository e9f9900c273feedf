"""Queries with their judged images, as evaluations read them from the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.evaluation_models import EvaluationJudgement, EvaluationQuery, EvaluationSet

MOST_QUERIES = 5_000
"""Queries of one evaluation of everybody's sets, the oldest first: a few minutes' work."""


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query with the images that its owner judged, whether or not these are still there.

    Attributes:
        id: of the query.
        owner_id: whose it is: what they may see is what is searched.
        text: what is searched for.
        language: such as "pt"; None where nobody said.
        good: ids of images that belong among the results.
        bad: ids of images that do not.
    """

    id: int
    owner_id: int
    text: str
    language: str | None
    good: frozenset[int]
    bad: frozenset[int]


def judged_queries(
    session: Session, set_id: int | None = None, *, limit: int = MOST_QUERIES
) -> list[JudgedQuery]:
    """Return the queries of one set, or of everybody's, by id.

    Args:
        session: for reading.
        set_id: which set; None for all.
        limit: of queries.
    """
    query = (
        select(
            EvaluationQuery.id,
            EvaluationSet.owner_id,
            EvaluationQuery.text,
            EvaluationQuery.language,
        )
        .join(EvaluationSet, EvaluationSet.id == EvaluationQuery.set_id)
        .order_by(EvaluationQuery.id)
        .limit(limit)
    )
    if set_id is not None:
        query = query.where(EvaluationQuery.set_id == set_id)
    rows = session.execute(query).all()
    judged = judgements_of(session, [row.id for row in rows])
    return [
        JudgedQuery(
            row.id,
            row.owner_id,
            row.text,
            row.language,
            frozenset(image for image, is_good in judged[row.id].items() if is_good),
            frozenset(image for image, is_good in judged[row.id].items() if not is_good),
        )
        for row in rows
    ]


def judgements_of(session: Session, query_ids: Sequence[int]) -> dict[int, dict[int, bool]]:
    """Return by query id whether each judged image is good, by image id; {} for unjudged queries."""
    found: dict[int, dict[int, bool]] = defaultdict(dict)
    rows = select(
        EvaluationJudgement.query_id, EvaluationJudgement.image_id, EvaluationJudgement.is_good
    )
    for row in rows_in(session, rows, EvaluationJudgement.query_id, query_ids):
        found[row.query_id][row.image_id] = row.is_good
    return found
