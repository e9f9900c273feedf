"""Recall while serving, from a search to what it teaches every process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.adapters.vector_index.sampled import MOST_IN_MEMORY, SampledIndex
from mirada.db import recall_rows
from mirada.db.models import Job, User, utc_now
from mirada.db.recall_models import RecallSample
from mirada.embedding.live_recall import MEASURE_RECALL, live_recall, queue_measurements
from mirada.jobs import ledger
from mirada.kernel.live_recall import PermittedShare
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import MEASURED
from mirada.metrics.instruments import INSTRUMENTS
from mirada.runtime import Runtime
from testing.application import create_app
from testing.forgetful_index import ForgetfulIndex
from testing.scopes import seen_by
from testing.vector_library import Library, random_vectors
from testing.worksite import SPACE, Site
from workers.runner import run_job

DIMENSION = SPACE.dimension
TEXT_HNSW = QueryForm.TEXT, SearchWay.HNSW


@dataclass
class Served:
    """A runtime that searches by an index that misses some."""

    runtime: Runtime
    library: Library
    forgetful: ForgetfulIndex
    index: SampledIndex

    def search(self, count: int, k: int = 10, **scope: Any) -> None:
        """Ask for texts, by way of two processes' worth of memory if there are many."""
        seed = count * 1_000 + k
        for start in range(0, count, MOST_IN_MEMORY):
            some = min(MOST_IN_MEMORY, count - start)
            queries = random_vectors(some, DIMENSION, seed + start)
            asked = seen_by(self.library.owners[0], **scope)
            self.index.search(queries, k, asked, form=QueryForm.TEXT)
            self.index.step()

    def samples(self) -> int:
        with self.runtime.reading() as session:
            return session.execute(select(func.count(RecallSample.id))).scalar_one()

    def measure(self) -> None:
        """Have a worker compare what waits, and this process follow what it learned."""
        with self.runtime.transaction() as session:
            job = ledger.enqueue(session, MEASURE_RECALL, space_id=self.library.space_id)
        assert run_job(self.runtime, job.id)
        self.index.step()

    def live(self) -> Any:
        with self.runtime.reading() as session:
            found = live_recall(session, self.library.space_id, self.forgetful.snapshot)
        return found[0] if found else None


MARIADB = pytest.param("mariadb", marks=pytest.mark.mariadb)
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.postgresql)


@pytest.fixture(params=["sqlite", MARIADB])
def engine_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "sqlite":
        return {}
    name = "migrated_mariadb_url" if request.param == "mariadb" else "postgresql_url"
    return {"database_url": request.getfixturevalue(name)}


@pytest.fixture
def serve(make_site: Callable[..., Site], engine_settings: dict[str, Any]) -> Callable[..., Served]:
    def make(recall_sample: float = 1.0, rows: int = 60) -> Served:
        site = make_site(auth_mode="open", recall_sample=recall_sample, **engine_settings)
        runtime = site.runtime
        library = Library(runtime.database, site.space_id, DIMENSION, [site.owner_id])
        library.add(random_vectors(rows, DIMENSION))
        forgetful = ForgetfulIndex(runtime.vector_source(site.space_id))
        index = runtime._sampled(site.space_id, forgetful)
        runtime.remember(f"index:{site.space_id}", index)
        index.refresh()
        return Served(runtime, library, forgetful, index)  # type: ignore[arg-type]

    return make


def test_a_right_way_is_measured_and_left_as_it_is(serve: Callable[..., Served]):
    served = serve()
    served.search(40)
    assert served.samples() == 40
    served.measure()
    assert served.samples() == 0
    live = served.live()
    assert (live.form, live.way) == TEXT_HNSW
    assert (live.whole.queries, live.whole.share, live.whole.at_most) == (40, 1.0, 1.0)
    assert 0.9 < live.whole.at_least < 0.95
    assert list(live.by_share) == [PermittedShare.ALL]
    assert served.forgetful.trust == MEASURED


@pytest.mark.parametrize("engine_settings", ["sqlite", MARIADB, POSTGRESQL], indirect=True)
def test_a_way_that_misses_is_widened_then_left_out_and_begins_anew(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
):
    served = serve()
    served.forgetful.missed = 8
    space_id = served.library.space_id
    client = create_app(served.runtime).test_client()
    for factor, recall in ((1, 0.2), (2, 0.6), (4, 0.8)):
        assert served.forgetful.trust.factor(*TEXT_HNSW) == factor
        served.search(30)
        served.measure()
        counted = _counts(served)
        assert counted[factor] == pytest.approx(recall)
    assert TEXT_HNSW in served.forgetful.trust.left_out
    served.search(5)
    assert served.samples() == 0  # answered exactly now

    body = client.get(f"/api/v1/indexes/{space_id}").get_json()
    (way,) = body["ways"]
    assert (way["form"], way["way"], way["is_in_use"]) == ("text", "hnsw", False)
    assert "live queries found 0.800 of their ten nearest" in way["reason"]
    said = [
        record.getMessage() for record in caplog.records if "queries of the form" in record.message
    ]
    assert ["2 times" in said[0], "4 times" in said[1], "is left out" in said[2]] == [True] * 3
    assert len(said) == 3

    # What was taught is of one snapshot.
    served.forgetful.snapshot = "s2"
    served.index.step()
    assert served.forgetful.trust == MEASURED
    served.forgetful.missed = 0
    served.search(25)
    served.measure()
    assert served.live().whole.share == 1.0
    (way,) = client.get(f"/api/v1/indexes/{space_id}").get_json()["ways"]
    assert (way["is_in_use"], way["reason"], way["factor"]) == (True, None, 1.0)
    assert way["live"]["by_share"]["all"]["queries"] == way["live"]["queries"] == 25


def _counts(served: Served) -> dict[int, float]:
    with served.runtime.reading() as session:
        rows = recall_rows.measured(session, served.library.space_id, "s1")
    return {row.factor: row.found / row.wanted for row in rows}


def test_a_lesson_reaches_a_process_that_measured_nothing(serve: Callable[..., Served]):
    served = serve()
    other = ForgetfulIndex(served.runtime.vector_source(served.library.space_id))
    following = served.runtime._sampled(served.library.space_id, other)
    other.refresh()
    served.forgetful.missed = 8
    served.search(25)
    served.measure()
    following.step()  # type: ignore[attr-defined]
    assert other.trust.factor(*TEXT_HNSW) == 2


def test_an_index_that_forgets_its_lessons_is_told_again(serve: Callable[..., Served]):
    served = serve()
    served.forgetful.missed = 8
    served.search(25)
    served.measure()
    served.forgetful.trust = MEASURED  # as after loading its snapshot anew
    served.index.step()
    assert served.forgetful.trust.factor(*TEXT_HNSW) == 2


def test_deep_searches_keep_their_beginning_alone(serve: Callable[..., Served]):
    served = serve(rows=90)
    served.search(2, k=80)
    with served.runtime.reading() as session:
        rows = session.execute(select(RecallSample.k, RecallSample.found)).all()
    assert [(k, len(found)) for k, found in rows] == [(40, 40)] * 2
    served.measure()
    assert served.live().whole.share == 1.0


def test_few_queries_teach_nothing(serve: Callable[..., Served]):
    served = serve()
    served.forgetful.missed = 10
    served.search(19)
    served.measure()
    assert served.live().whole.queries == 19
    assert served.forgetful.trust == MEASURED


def test_a_share_that_misses_is_not_hidden_by_the_others(serve: Callable[..., Served]):
    served = serve(rows=100)
    with served.runtime.transaction() as session:
        ana = User(username="ana")
        session.add(ana)
        session.flush()
        ana_id = ana.id
    served.library.add(random_vectors(20, DIMENSION, 5), [ana_id] * 20, True)
    served.index.refresh()
    served.search(400)
    served.measure()
    served.forgetful.missed = 4
    served.search(40, owner_ids={ana_id})
    served.measure()
    assert served.live() is None  # As wide as it is searched now, nothing was measured yet.
    assert served.forgetful.trust.factor(*TEXT_HNSW) == 2
    with served.runtime.reading() as session:
        rows = recall_rows.measured(session, served.library.space_id, "s1")
    shares = {row.share: row.found / row.wanted for row in rows}
    assert shares == {PermittedShare.ALL: 1.0, PermittedShare.MUCH: pytest.approx(0.6)}


def test_changes_between_a_search_and_its_measuring_are_no_misses(serve: Callable[..., Served]):
    served = serve(rows=80)
    served.search(30)
    ids = served.library.source.passing(seen_by(None)).tolist()
    served.library.delete(ids[:8])
    served.library.publish(ids[10], False)
    served.library.replace(ids[20], random_vectors(1, DIMENSION, 77)[0])
    served.library.add(random_vectors(25, DIMENSION, 78))
    served.measure()
    live = served.live()
    assert live.whole.queries > 25
    assert live.whole.share == 1.0


def test_nothing_is_sampled_when_the_share_is_zero(serve: Callable[..., Served]):
    runtime = serve(recall_sample=0.0)
    assert isinstance(runtime.index, ForgetfulIndex)


def test_about_the_share_is_sampled(serve: Callable[..., Served]):
    served = serve(recall_sample=0.1)
    served.index._random.seed(4)
    served.search(400)
    assert 20 < served.samples() < 60


def test_samples_are_bounded_in_number_and_time(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
):
    served = serve()
    monkeypatch.setattr(recall_rows, "MOST_SAMPLES", 70)
    served.search(64)
    served.search(63)
    assert served.samples() == 70
    queries = random_vectors(200, DIMENSION, 1)
    served.index.search(queries, 3, seen_by(None), form=QueryForm.TEXT)
    assert len(served.index._samples) == MOST_IN_MEMORY
    with served.runtime.transaction() as session:
        old = utc_now() - recall_rows.KEPT_FOR - timedelta(seconds=1)
        session.execute(update(RecallSample).values(created_at=old))
    served.index.step()
    assert served.samples() == MOST_IN_MEMORY
    with served.runtime.transaction() as session:
        session.execute(update(RecallSample).values(created_at=old))
    served.measure()
    assert served.samples() == 0
    assert served.live() is None


def test_what_cannot_be_stored_is_lost_and_stops_nothing(serve: Callable[..., Served]):
    served = serve()

    def fail(samples: Any) -> None:
        raise OSError("away")

    served.index._keep = fail
    (answer,) = served.index.search(
        random_vectors(1, DIMENSION), 3, seen_by(None), form=QueryForm.TEXT
    )
    assert len(answer.matches) == 3
    with pytest.raises(OSError, match="away"):
        served.index.step()
    assert not served.index._samples


def test_searches_of_those_who_left_are_not_stored(serve: Callable[..., Served]):
    served = serve()
    with served.runtime.transaction() as session:
        gone = User(username="ended:7", ended_at=utc_now())
        session.add(gone)
        session.flush()
        gone_id = gone.id
    one = random_vectors(1, DIMENSION)
    served.index.search(one, 3, seen_by(gone_id), form=QueryForm.TEXT)
    served.index.step()
    assert served.samples() == 0
    served.index.search(one, 3, seen_by(served.library.owners[0]), form=QueryForm.TEXT)
    served.index.step()
    assert served.samples() == 1
    with served.runtime.transaction() as session:
        recall_rows.forget_viewer(session, served.library.owners[0])
    assert served.samples() == 0


def test_samples_are_queued_for_a_worker(serve: Callable[..., Served]):
    served = serve()

    def queued() -> int:
        with served.runtime.reading() as session:
            return session.execute(
                select(func.count(Job.id)).where(Job.kind == MEASURE_RECALL)
            ).scalar_one()

    queue_measurements(served.runtime)
    assert queued() == 0
    served.search(3)
    queue_measurements(served.runtime)
    queue_measurements(served.runtime)
    assert queued() == 1


def test_recall_is_a_metric(serve: Callable[..., Served]):
    served = serve()
    labels = {
        "space": served.runtime.vector_source(served.library.space_id).space.name,
        "form": "text",
        "way": "hnsw",
        "share": "all",
    }

    def read(outcome: str) -> float:
        name = "mirada_live_recall_neighbours_total"
        return INSTRUMENTS.get_sample_value(name, labels | {"outcome": outcome}) or 0.0

    before = read("found"), read("missed")
    served.forgetful.missed = 2
    served.search(10)
    served.measure()
    assert (read("found") - before[0], read("missed") - before[1]) == (80, 20)
