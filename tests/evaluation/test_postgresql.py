"""An evaluation on PostgreSQL gives the figures that it gives on SQLite."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirada.evaluation.evaluating import Measured, compare, evaluate
from mirada.evaluation.judged_queries import judged_queries
from mirada.runtime import Runtime
from tests.evaluation.test_evaluating import Shelf, second_space


@pytest.mark.postgresql
def test_figures_are_the_same_on_postgresql(
    make_runtime: Callable[..., Runtime], postgresql_url: str
) -> None:
    found = []
    for settings in ({}, {"database_url": postgresql_url}):
        shelf = Shelf(make_runtime(**settings))
        for owner in shelf.owners:
            shelf.judge(owner)
        with shelf.runtime.reading() as session:
            queries = judged_queries(session)
        other = second_space(shelf, shelf.vectors[::-1].copy(), {1, 2})
        compared = compare(shelf.runtime, shelf.measured, other, queries)
        whole = evaluate(shelf.runtime, Measured(shelf.library.space_id, shelf.encoder), queries)
        found.append((whole.overall, whole.counted, compared.after.overall, compared.ndcg_change))
    assert found[0] == found[1]
