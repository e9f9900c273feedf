"""What administrators are told of an index over time, and what they are advised to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from mirada.db import index_days
from mirada.db.models import Job, JobState
from mirada.db.recall_models import IndexDay
from mirada.embedding import index_advice
from mirada.embedding.index_advice import advice_on
from mirada.embedding.live_recall import LiveRecall, Recall
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import WayStatus
from testing.gallery import Gallery
from workers.sweeper import Sweeper

KeyOf = Callable[..., dict[str, str]]


def index_of(gallery: Gallery, headers: dict[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = gallery.get("/api/v1/indexes", headers).get_json()["results"][0]
    return found


def test_the_sweeper_keeps_the_size_of_each_day(gallery: Gallery) -> None:
    gallery.upload(degrees=0)
    gallery.upload(degrees=40)
    sweeper = Sweeper(gallery.runtime)
    sweeper.sweep()
    today = datetime.now(UTC).date().isoformat()
    expected = {"day": today, "size": 2, "recall": None, "queries": 0}
    assert index_of(gallery)["history"] == [expected]
    gallery.upload(degrees=80)
    # An hour has not passed.
    sweeper.sweep()
    assert index_of(gallery)["history"] == [expected]
    Sweeper(gallery.runtime).sweep()
    assert index_of(gallery)["history"] == [{**expected, "size": 3}]


def test_what_repeated_searches_found_is_added_up_by_the_day(gallery: Gallery) -> None:
    with gallery.runtime.transaction() as session:
        index_days.add_measured(session, gallery.space_id, 2, 20, 19)
        index_days.add_measured(session, gallery.space_id, 3, 30, 21)
        index_days.keep_size(session, gallery.space_id, 7)
    (day,) = index_of(gallery)["history"]
    assert (day["size"], day["queries"], day["recall"]) == (7, 5, 0.8)


def test_days_older_than_thirty_are_forgotten(gallery: Gallery) -> None:
    with gallery.runtime.transaction() as session:
        today = index_days.today(session)
        for age in (0, 29, 30, 31):
            session.add(IndexDay(space_id=gallery.space_id, utc_day=today - age, size=age))
    told = index_of(gallery)["history"]
    assert [each["size"] for each in told] == [29, 0]
    with gallery.runtime.transaction() as session:
        index_days.keep_size(session, gallery.space_id, 5)
    with gallery.runtime.reading() as session:
        assert [day.size for day in index_days.days(session, gallery.space_id)] == [29, 5]
        kept = session.query(IndexDay).count()
    assert kept == 2


def test_history_and_advice_are_administrators_alone(guarded: Gallery, key_of: KeyOf) -> None:
    ana, root = key_of("ana"), key_of("root", is_administrator=True)
    guarded.upload(headers=ana, degrees=0)
    Sweeper(guarded.runtime).sweep()
    assert (index_of(guarded, ana)["history"], index_of(guarded, ana)["advice"]) == ([], [])
    assert [day["size"] for day in index_of(guarded, root)["history"]] == [1]


def test_an_index_without_trouble_needs_no_advice(gallery: Gallery) -> None:
    gallery.upload(degrees=0)
    assert index_of(gallery)["advice"] == []


def test_a_rebuild_that_failed_is_told_with_its_reason(gallery: Gallery) -> None:
    gallery.upload(degrees=0)
    job = gallery.client.post("/api/v1/indexes/image/rebuild").get_json()
    with gallery.runtime.transaction() as session:
        session.execute(
            update(Job)
            .where(Job.id == job["id"])
            .values(state=JobState.FAILED, last_error="The disk is full.")
        )
    (advice,) = index_of(gallery)["advice"]
    assert advice["code"] == "rebuild_failed"
    assert "The disk is full." in advice["text"]
    assert f"/api/v1/jobs/{job['id']}/retry" in advice["text"]


def test_a_rebuild_that_is_due_is_told(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.upload(degrees=0)
    monkeypatch.setattr("mirada.embedding.index_rebuild.FIRST_SNAPSHOT_ROWS", 1)
    assert [each["code"] for each in index_of(gallery)["advice"]] == ["rebuild_due"]


def test_ways_that_miss_are_told(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.upload(degrees=0)
    status = gallery.runtime.index(gallery.space_id).status()
    ways = (
        WayStatus(QueryForm.TEXT, SearchWay.HNSW, is_in_use=False, reason="it missed too much"),
        WayStatus(QueryForm.PICTURE, SearchWay.HNSW, is_in_use=True),
    )
    low = Recall(queries=400, share=0.9, at_least=0.87, at_most=0.93)
    measured = [LiveRecall(QueryForm.PICTURE, SearchWay.HNSW, low, {})]
    monkeypatch.setattr(index_advice, "live_recall", lambda *_: measured)

    def codes() -> list[str]:
        found = advice_on(gallery.runtime, gallery.space_id, replace(status, ways=ways))
        return [each.code for each in found]

    assert codes() == ["way_left_out", "recall_low"]
    measured[0] = replace(measured[0], whole=replace(low, queries=5))
    assert codes() == ["way_left_out"]
    settings = gallery.runtime.settings.model_copy(update={"recall_sample": 0.0})
    monkeypatch.setattr(gallery.runtime, "settings", settings)
    assert codes() == ["way_left_out", "recall_not_measured"]
