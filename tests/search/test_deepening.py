"""Reading deeper: as long as something is withheld, never further than is of use."""

from __future__ import annotations

from collections.abc import Callable

from mirada.search.deepening import Reading, deepen


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
