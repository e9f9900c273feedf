"""Reading deeper: as long as something is withheld, never further than is of use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirada.db.session import Database
from mirada.db.spaces import pin_space
from mirada.db.vector_rows import DatabaseVectors
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, l2_normalise
from mirada.search.deepening import DEEP_SCAN_ROWS, Reading, deepen, nearest
from mirada.search.found import MAX_K
from mirada.search.pager import MOST_RANKED
from mirada.search.queries import Query, QueryKind
from testing.exact_index import ExactIndex
from testing.scopes import seen_by

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "test", "v1", "none", 8)


class Ranking:
    """Items of which every other one is withheld; notes the depths it was read to."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.depths: list[int] = []

    def reader(self, k: int) -> Callable[[int], Reading[list[int]]]:
        def read(depth: int) -> Reading[list[int]]:
            self.depths.append(depth)
            items = list(range(self.size))[:depth]
            shown = items[1::2]
            return Reading(shown[:k], len(shown) >= k or len(items) < depth, not items)

        return read


def test_it_reads_deeper_until_enough_may_be_shown() -> None:
    ranking = Ranking(100)

    assert deepen(ranking.reader(5), 5) == [1, 3, 5, 7, 9]
    assert ranking.depths == [5, 10]


def test_it_ends_where_the_ranking_does_and_at_the_greatest_depth() -> None:
    short, long = Ranking(6), Ranking(1_000)

    assert deepen(short.reader(5), 5) == [1, 3, 5]
    assert short.depths == [5, 10]
    assert len(deepen(long.reader(500), 10, factor=4, most=40)) == 20
    assert long.depths == [10, 40]


def test_a_source_that_proposes_nothing_is_asked_again_once_after_it_caught_up() -> None:
    ranking = Ranking(0)

    def catch_up() -> None:
        ranking.size = 4

    assert deepen(ranking.reader(1), 2, confirm=catch_up) == [1]
    assert ranking.depths == [2, 2]

    empty = Ranking(0)
    confirmed: list[bool] = []
    assert deepen(empty.reader(1), 2, confirm=lambda: confirmed.append(True)) == []
    assert (empty.depths, confirmed) == ([2, 2], [True])


@pytest.mark.parametrize(("k", "is_exact"), [(10, False), (MAX_K + 1, True), (MOST_RANKED, True)])
def test_a_ranking_for_several_pages_is_exact(database: Database, k: int, is_exact: bool) -> None:
    asked: list[int | None] = []

    class Noting(ExactIndex):
        def search(self, *positional: Any, scan_rows: int | None = None, **named: Any) -> Any:
            asked.append(scan_rows)
            return super().search(*positional, **named)

    with database.transaction() as session:
        space_id = pin_space(session, SPACE).id
    index = Noting(DatabaseVectors(database, space_id))
    query = Query(l2_normalise([1.0] * 8), space_id, SPACE, QueryKind.VECTOR)
    with database.reading() as session:
        nearest(session, index, query, seen_by(1), k=k, threshold=None, shown=list, spare=0)
    assert set(asked) == {DEEP_SCAN_ROWS if is_exact else None}
