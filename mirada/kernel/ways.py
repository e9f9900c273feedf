"""Ways of searching: what was measured of each for each form of query, and how far each is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from mirada.kernel.similarity import QueryForm, SearchWay


@dataclass(frozen=True, slots=True)
class WayStatus:
    """One way of searching for one form of query, as an index has it.

    Attributes:
        form: of the queries.
        way: exact scan, quantised scan or graph.
        is_in_use: whether the planner may choose it.
        reason: why it may not; None where it may.
        setting: the beam of a graph, the depth of a quantised scan, for ten results; None for a scan
            of every vector.
        recall: share of the true ten nearest that the build's probes found, in [0, 1]; None where
            nothing was measured.
        recall_at_least: the lower end of the interval around it, see `intervals.wilson_low`.
        probes: queries it was measured with.
        factor: how many times wider than measured it searches, >= 1.
    """

    form: QueryForm
    way: SearchWay
    is_in_use: bool
    reason: str | None = None
    setting: int | None = None
    recall: float | None = None
    recall_at_least: float | None = None
    probes: int = 0
    factor: float = 1.0


Which = tuple[QueryForm, SearchWay]


@dataclass(frozen=True, slots=True)
class Trust:
    """The knowledge from serving about the ways, beside what the build measured. Immutable.

    An index takes it by `set_trust`; an exact scan is always trusted. It is about one snapshot: a new
    one is measured anew.

    Attributes:
        factors: how many times wider to search, > 1: the beam of a graph, the depth of a quantised
            scan. Ways that are not named have 1.
        left_out: ways that are not to be chosen, and why.
    """

    factors: Mapping[Which, float] = field(default_factory=dict)
    left_out: Mapping[Which, str] = field(default_factory=dict)

    def factor(self, form: QueryForm, way: SearchWay) -> float:
        """Return how many times wider to search, >= 1."""
        return self.factors.get((form, way), 1.0)

    def widened(self, form: QueryForm, way: SearchWay, factor: float) -> Self:
        """Return the same with one way searched `factor` times as wide as it was measured."""
        return replace(self, factors={**self.factors, (form, way): max(1.0, factor)})

    def without(self, form: QueryForm, way: SearchWay, reason: str) -> Self:
        """Return the same with one way left out for one form of query."""
        return replace(self, left_out={**self.left_out, (form, way): reason})


MEASURED = Trust()
"""Every way as the build measured it."""
