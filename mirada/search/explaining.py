"""The explanation of a search: how its sources were asked, and what each part of the query brought."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import subjects_of, table_of
from mirada.kernel.composing import taken
from mirada.kernel.embeddings import Vector
from mirada.search.explanation import Explained, ExplainedPart, PartShare
from mirada.search.found import Hit
from mirada.search.queries import Query
from mirada.search.request import SearchRequest


def explained(
    session: Session,
    request: SearchRequest,
    query: Query | None,
    shown: Sequence[Hit],
) -> Explained:
    """Return the explanation of a search and of the results that it shows.

    Args:
        session: for reading.
        request: the search.
        query: to pictures, or to the one space that was searched; None where none was.
        shown: the results.
    """
    spreads = {} if query is None else {part.place: part.spread for part in query.parts}
    parts = [
        ExplainedPart(part.kind, part.weight, spreads.get(place))
        for place, part in enumerate(request.parts)
    ]
    vectors = {} if query is None else _vectors(session, query, [hit.image_id for hit in shown])
    shares = {
        hit.image_id: shares_of(query, vectors[hit.image_id], hit.similarity)
        for hit in shown
        if query is not None and hit.image_id in vectors and hit.similarity is not None
    }
    wanted = request.scope.filter
    conditions = {
        name: str(getattr(wanted, name))
        for name in wanted.__dataclass_fields__
        if getattr(wanted, name) is not None
    }
    return Explained(parts, shares, conditions)


def shares_of(query: Query, vector: Vector, similarity: float) -> list[PartShare]:
    """Return what each part of a query brought to the similarity of one result.

    Args:
        query: with its parts.
        vector: (d,) the result's own.
        similarity: what is left of its cosine with the query.
    """
    if not query.parts:
        return [PartShare(0, similarity, similarity)]
    row = vector.reshape(1, -1)
    factors = {
        part.place: part.weight / part.spread.width for part in query.parts if part.weight > 0
    }
    places = {part.place: part for part in query.parts}
    total = sum(
        factor * places[place].vector.astype(np.float64) for place, factor in factors.items()
    )
    length = float(np.linalg.norm(total))
    losses = {part.place: float(taken(row, [part])[0]) for part in query.unwanted}
    whole = float(vector.astype(np.float64) @ query.vector.astype(np.float64))
    width = (whole - similarity) / sum(losses.values()) if sum(losses.values()) > 0 else 0.0
    found = []
    for part in query.parts:
        cosine = float(vector.astype(np.float64) @ part.vector.astype(np.float64))
        share = (
            factors[part.place] * cosine / length
            if part.weight > 0
            # 0 - x and not -x, for what took nothing is 0 and not -0.
            else 0.0 - width * losses[part.place]
        )
        found.append(PartShare(part.place, cosine, share))
    return found


def _vectors(session: Session, query: Query, image_ids: Sequence[int]) -> dict[int, Vector]:
    table = table_of(query.space.kind)
    subjects = subjects_of(session, table, image_ids)
    found = vectors_of(session, table, query.space_id, subjects.values(), query.space.dimension)
    return {image_id: found[subject] for image_id, subject in subjects.items() if subject in found}
