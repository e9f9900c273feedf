"""The explanation of a search, as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mirada.kernel.composing import Spread


@dataclass(frozen=True, slots=True)
class PartShare:
    """One part's share of a result.

    Attributes:
        part: its place in the query, from 0.
        similarity: its own cosine with the result.
        share: of the result's similarity; those of all parts add up to it. Below 0 where it took some.
    """

    part: int
    similarity: float
    share: float


@dataclass(frozen=True, slots=True)
class ExplainedPart:
    """One part of the query.

    Attributes:
        kind: text, picture, id or vector.
        weight: as it was sent.
        background: of its cosines; None for the only part.
    """

    kind: str
    weight: float
    background: Spread | None


@dataclass(frozen=True, slots=True)
class Explained:
    """How an answer came about.

    Attributes:
        parts: of the query, in their order.
        shares: image id -> what each part brought, in the space that shows it; empty where the
            result has no vector there.
        filter: the conditions of the search's filter, as text, by their names.
    """

    parts: Sequence[ExplainedPart]
    shares: Mapping[int, Sequence[PartShare]]
    filter: Mapping[str, str]
