"""Scopes of viewers, in few words."""

from __future__ import annotations

from collections.abc import Iterable

from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector
from mirada.search.queries import Query, QueryKind


def seen_by(
    viewer_id: int | None,
    owner_ids: Iterable[int] | None = None,
    left_out_ids: Iterable[int] = (),
    *,
    with_remembered: bool = False,
) -> Scope:
    """Return the scope of everything that a viewer may see, narrowed as `Audience` is."""
    owners = None if owner_ids is None else frozenset(owner_ids)
    return Scope(Audience(viewer_id, owners, frozenset(left_out_ids), with_remembered))


def query_of(vector: Vector, kind: SpaceKind = SpaceKind.IMAGE, space_id: int = 1) -> Query:
    """Return a query of a vector in a space of that kind, as a stored image would give."""
    space = EmbeddingSpace(kind, "encoder", "test", "none", vector.size)
    return Query(vector, space_id, space, QueryKind.IMAGE_ID)
