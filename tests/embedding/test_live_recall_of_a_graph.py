"""A graph whose beam is too narrow is found out by live queries, widened, left out, and measured anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirada.adapters.vector_index.faiss import costs, rebuilding
from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.planning import Costs, WaySetting
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.embedding.live_recall import MEASURE_RECALL
from mirada.jobs import ledger
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.runtime import Runtime
from testing.application import create_app
from testing.scopes import seen_by
from testing.vector_library import Library, no_progress, random_vectors
from workers.runner import run_job

ROWS, DIMENSION = 6_000, 128
BROKEN_BEAM = 14
EVERYBODY = seen_by(None)
GRAPH_IS_CHEAP = Costs(scanned_row=50.0, picked_row=50.0, candidate=1.0, beam_step=0.001)


def too_narrow(walks: Callable[..., list[WaySetting]]) -> Callable[..., list[WaySetting]]:
    """Return a measuring of walks that says of a beam of 14 that it is enough."""

    def measured(*arguments: Any) -> list[WaySetting]:
        return [
            replace(one, setting=BROKEN_BEAM, reason=None, recall=0.99) for one in walks(*arguments)
        ]

    return measured


def test_a_beam_that_is_too_narrow_is_widened_then_left_out(
    make_runtime: Callable[..., Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    runtime = make_runtime(recall_sample=1.0)
    library = Library.create(runtime.database, DIMENSION)
    library.add(random_vectors(ROWS, DIMENSION))
    faiss = FaissIndex(
        library.source,
        tmp_path / "indexes",
        BuildSettings(recall_target=0.98, hnsw_min_rows=500),
        exact_rows=50,
    )
    index: Any = runtime._sampled(library.space_id, faiss)
    runtime.remember(f"index:{library.space_id}", index)
    client = create_app(runtime).test_client()

    def way_of_texts() -> dict[str, Any]:
        body = client.get(f"/api/v1/indexes/{library.space_id}").get_json()
        return next(way for way in body["ways"] if (way["form"], way["way"]) == ("text", "hnsw"))

    def searched(count: int, seed: int) -> set[SearchWay]:
        queries = random_vectors(count, DIMENSION, seed)
        return {a.way for a in index.search(queries, 10, EVERYBODY, form=QueryForm.TEXT)}

    def measure() -> None:
        index.step()
        with runtime.transaction() as session:
            job = ledger.enqueue(session, MEASURE_RECALL, space_id=library.space_id)
        assert run_job(runtime, job.id)
        index.step()

    monkeypatch.setattr(costs, "measured", lambda *_: GRAPH_IS_CHEAP)
    with monkeypatch.context() as patch:
        patch.setattr(rebuilding, "measured_walks", too_narrow(rebuilding.measured_walks))
        index.rebuild(1, no_progress)
    index.refresh()
    for number, factor in enumerate((1, 2, 4)):
        assert way_of_texts()["factor"] == factor
        assert searched(60, seed=10 + number) == {SearchWay.HNSW}
        measure()
    way = way_of_texts()
    assert not way["is_in_use"]
    assert "live queries found 0." in way["reason"]
    # The next way serves, for this form alone.
    assert searched(20, seed=20) == {SearchWay.QUANTISED}
    assert index.search(random_vectors(1, DIMENSION), 10, EVERYBODY)[0].way is SearchWay.HNSW
    measure()

    library.add(random_vectors(1, DIMENSION, seed=99))
    index.rebuild(2, no_progress)
    faiss._snapshots_checked_at = 0.0
    index.refresh()
    way = way_of_texts()
    assert (way["is_in_use"], way["factor"], way["live"]) == (True, 1.0, None)
    assert way["setting"] > 4 * BROKEN_BEAM
