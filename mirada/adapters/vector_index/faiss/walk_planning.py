"""The choice between an exact scan of the permitted vectors and a graph search, and its ef_search."""

from __future__ import annotations

import math
from dataclasses import dataclass

EXACT_ROWS = 20_000
"""Scanning this many 512-d vectors takes 3 to 4 ms on one core (docs/decisions/0003)."""
ROWS_PER_BEAM_STEP = 80
"""One more in the beam costs the graph as much time as this many rows cost a scan: 12 us / 0.15 us."""
RECALL_RANK = 10
"""ef_search is measured as recall among the first ten; deeper ranks need a beam in proportion."""
WIDENING = 4
"""How much wider the second beam is; past that a scan is as cheap, and certain."""


@dataclass(frozen=True, slots=True)
class GraphWalk:
    """A walk through an HNSW graph of all rows, permitted or not.

    The walk is never told who may see what. A graph that skips forbidden rows near the query finds
    others of the permitted ones than the nearest, and looks fine: recall 0.26 where the caller
    owned a clustered tenth. Instead the nearest of all are found and the permitted among
    them counted, which shows when it went wrong.

    Attributes:
        beam: ef_search of this walk, >= 1.
        ef_search: the beam whose recall among the first RECALL_RANK was measured as sufficient.
    """

    beam: int
    ef_search: int

    def reaches(self, rank: int) -> bool:
        """Tell whether what this walk finds up to that rank (1 is the nearest) can be trusted."""
        return rank * self.ef_search <= self.beam * RECALL_RANK

    def wider(self) -> GraphWalk:
        """Return the walk to try when this one did not reach far enough."""
        return GraphWalk(self.beam * WIDENING, self.ef_search)

    def is_cheaper_than_scanning(self, rows: int) -> bool:
        """Tell whether a scan of so many rows would take longer."""
        return self.beam * ROWS_PER_BEAM_STEP <= rows


def plan_walk(
    permitted: int, total: int, k: int, ef_search: int | None, exact_rows: int = EXACT_ROWS
) -> GraphWalk | None:
    """Return the graph walk to try first; None says scan the permitted rows.

    Args:
        permitted: how many rows the caller may get, <= total.
        total: rows in the graph.
        k: matches wanted, >= 1.
        ef_search: what the build measured; None where there is no graph that can be trusted.
        exact_rows: up to how many permitted rows are always scanned.
    """
    if ef_search is None or permitted <= exact_rows:
        return None
    expected_rank = min(k, permitted) * total / permitted
    beam = math.ceil(ef_search * max(1.0, expected_rank / RECALL_RANK))
    walk = GraphWalk(beam, ef_search)
    return walk if walk.is_cheaper_than_scanning(permitted) else None
