"""Index and Usage: figures for administrators, and what language models cost."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select

from mirada.db import index_days
from mirada.db.models import Job
from mirada.db.recall_models import IndexDay
from mirada.db.session import now_ms
from mirada.db.spending_models import CallState, LanguageModelCall, SpendingDay
from mirada.embedding import index_advice, index_reports
from mirada.embedding.index_advice import Advice
from mirada.embedding.live_recall import LiveRecall, Recall
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import WayStatus
from mirada.language_model.spending import DAY_MS
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery
from webapp.pages import charts
from webapp.pages.indexes import ADVICE

KeyOf = Callable[..., dict[str, str]]
HTML = {"Accept": "text/html"}


def text_of(gallery: Gallery, path: str, headers: dict[str, str] | None = None) -> str:
    reply = gallery.get(path, {**HTML, **(headers or {})})
    assert reply.status_code == 200, reply.text
    return " ".join(html.unescape(reply.text).split())


def test_without_a_picture_there_is_no_index_and_the_page_says_so(client: Any) -> None:
    text = client.get("/ui/index", headers=HTML).text
    assert "There is no index yet" in text


def test_an_index_tells_size_recall_freshness_and_snapshot(gallery: Gallery) -> None:
    for degrees in (0, 40, 80):
        gallery.upload(degrees=degrees)
    text = text_of(gallery, "/ui/index")
    assert "All is well." in text
    for name, figure in (
        ("Vectors", "3"),
        ("Recall of searches", "1.000<small>all vectors are compared"),
        ("Searches show", "every change up to now"),
        ("Snapshot", "none: it is read from the database"),
    ):
        shown = re.search(rf"<dt>{name}</dt> ?<dd[^>]*>(.*?)</dd>", text)
        assert shown is not None, name
        assert shown[1].startswith(figure), name


def test_figures_are_written_as_the_reader_s_language_does(gallery: Gallery) -> None:
    gallery.upload(degrees=0)
    assert ">1.000<" in text_of(gallery, "/ui/index")
    assert ">1,000<" in text_of(gallery, "/ui/index", {"Accept-Language": "pt"})


def test_changes_that_searches_do_not_show_yet_are_counted(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.upload(degrees=0)
    source = gallery.runtime.vector_source(gallery.space_id)
    status = gallery.runtime.index(gallery.space_id).status()
    monkeypatch.setattr(type(source), "current_seq", lambda _: status.change_seq + 3)
    assert "all but the last 3 changes" in text_of(gallery, "/ui/index")


def test_measured_recall_is_shown_with_its_floor_history_and_ways(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.upload(degrees=0)
    with gallery.runtime.transaction() as session:
        today = index_days.today(session)
        for age, found in ((2, 18), (1, 19), (0, 20)):
            row = {"utc_day": today - age, "size": 7, "queries": 2, "wanted": 20, "found": found}
            session.execute(insert(IndexDay).values(space_id=gallery.space_id, **row))
    (report,) = index_reports.index_reports(gallery.runtime)
    ways = (WayStatus(QueryForm.TEXT, SearchWay.HNSW, is_in_use=False, reason="too slow"),)
    low, high = (Recall(queries, share, 0.9, 1.0) for queries, share in ((100, 0.95), (300, 0.99)))
    live = [
        LiveRecall(QueryForm.TEXT, SearchWay.HNSW, low, {}),
        LiveRecall(QueryForm.PICTURE, SearchWay.HNSW, high, {}),
    ]
    shown = replace(report, live=live, status=replace(report.status, ways=ways))
    monkeypatch.setattr(index_reports, "index_reports", lambda _: [shown])
    text = text_of(gallery, "/ui/index")
    floor = gallery.runtime.settings.index_recall_target
    assert "0.980<small>at least" in text
    assert f"at least {floor:.2f} is wanted" in text
    assert 'aria-label="Recall by day; the last is 1.000"' in text
    assert 'aria-label="Vectors by day; the last count is 7"' in text
    assert "style=" not in text
    assert "too slow" in text


def test_advice_is_in_words_in_three_languages(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.upload(degrees=0)
    (report,) = index_reports.index_reports(gallery.runtime)
    told = [Advice("recall_low", "The way hnsw found 0.9 <of>."), Advice("new_code", "Anything.")]
    shown = replace(report, advice=told)
    monkeypatch.setattr(index_reports, "index_reports", lambda _: [shown])
    text = text_of(gallery, "/ui/index")
    assert "There is something to do." in text
    assert "Searches find less than they should" in text
    assert "found 0.9 <of>." in text
    assert "Anything." in text
    spanish = text_of(gallery, "/ui/index", {"Accept-Language": "es"})
    assert "encuentran menos de lo debido" in spanish


def test_every_code_of_advice_has_words() -> None:
    source = inspect.getsource(index_advice)
    assert set(re.findall(r'Advice\("(\w+)"', source)) == set(ADVICE)


def test_a_rebuild_is_asked_for_once_and_shows_as_work(gallery: Gallery) -> None:
    gallery.upload(degrees=0)
    address = f"/ui/index/{gallery.space_id}/rebuild"
    assert f'action="{address}"' in text_of(gallery, "/ui/index")
    for _ in range(2):
        reply = gallery.client.post(address, data={"back": "/ui/index"})
        assert (reply.status_code, reply.headers["Location"]) == (303, "/ui/index")
    with gallery.runtime.reading() as session:
        (job_id,) = session.execute(select(Job.id).where(Job.kind == "rebuild_index")).scalars()
    text = text_of(gallery, "/ui/index")
    assert f'id="job-{job_id}"' in text
    assert f"/ui/activity/jobs/{job_id}/cancel" in text
    assert f'action="{address}"' not in text
    assert "An index is being built anew" in text
    assert gallery.client.post("/ui/index/999/rebuild", headers=HTML).status_code == 404


def test_the_index_is_for_administrators(guarded: Gallery, key_of: KeyOf) -> None:
    ana = {**HTML, **key_of("ana")}
    guarded.upload(headers=ana, degrees=0)
    refused = guarded.get("/ui/index", ana)
    assert (refused.status_code, refused.mimetype) == (403, "text/html")
    assert "This is not allowed" in refused.text
    rebuild = guarded.client.post(f"/ui/index/{guarded.space_id}/rebuild", headers=ana)
    assert rebuild.status_code == 403
    assert 'href="/ui/index"' not in guarded.get("/ui", ana).text
    root = {**HTML, **key_of("root", is_administrator=True)}
    assert guarded.get("/ui/index", root).status_code == 200
    assert 'href="/ui/index"' in guarded.get("/ui", root).text


@pytest.mark.parametrize(
    ("values", "floor", "expected"),
    [
        ([], None, None),
        ([None, None], 0.9, None),
        # Equal values are a line in the middle.
        ([1.0, 1.0], None, ("M0.0 28.0L240.0 28.0", "M240.0 28.0h.01")),
        # A gap ends the line, and a lonely day is a dot.
        ([0.5, None, 1.0], None, ("M0.0 52.0M240.0 4.0", "M0.0 52.0h.01M240.0 4.0h.01")),
    ],
)
def test_a_line_shows_gaps_and_does_not_exaggerate(
    values: list[float | None], floor: float | None, expected: tuple[str, str] | None
) -> None:
    found = charts.line(values, floor)
    assert (None if found is None else (found.path, found.dots)) == expected


def test_bars_are_as_high_as_the_chart_and_a_little_is_seen() -> None:
    high, none, low = charts.bars([100.0, 0.0, 0.001])
    assert (high.height, none.height, low.height) == (charts.HEIGHT, 0, 1)
    assert charts.bars([]) == []


def spend(gallery: Gallery, user_id: int, micros: int) -> None:
    """Keep a call of today that was paid."""
    with gallery.runtime.transaction() as session:
        today = int(session.execute(select(now_ms())).scalar_one()) // DAY_MS
        session.add(
            LanguageModelCall(
                utc_day=today,
                purpose="caption",
                model="some-model",
                user_id=user_id,
                state=CallState.PAID,
                reserved_micros=micros,
                cost_micros=micros,
                created_at_ms=today * DAY_MS,
            )
        )
        session.add(SpendingDay(utc_day=today, user_id=user_id, committed_micros=micros))
        session.flush()


def test_usage_without_a_model_says_that_nothing_is_spent(gallery: Gallery) -> None:
    text = text_of(gallery, "/ui/usage")
    assert "No language model is set up" in text
    assert "$0.00 spent; there is no limit" in text
    assert "Nothing was asked of a language model." in text


def test_usage_tells_each_user_their_own(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    ana_id = guarded.get("/api/v1/session", ana).get_json()["user"]["id"]
    spend(guarded, ana_id, 2_500_000)
    text = text_of(guarded, "/ui/usage", ana)
    assert "$2.50 spent; there is no limit" in text
    assert "Cost by day; $2.50 in all" in text
    assert "Describing pictures" in text
    assert "Nothing was asked of a language model." in text_of(guarded, "/ui/usage", ben)
    root = text_of(guarded, "/ui/usage", key_of("root", is_administrator=True))
    assert "everybody's calls" in root
    assert "Cost by day; $2.50 in all" in root


def test_usage_shows_the_budget_as_a_meter(
    make_runtime: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make_runtime(llm_daily_budget_usd=4.0)
    gallery = Gallery(runtime, create_app(runtime).test_client())
    spend(gallery, 0, 1_000_000)
    text = text_of(gallery, "/ui/usage")
    assert "$1.00 of $4.00 spent" in text
    assert '<meter min="0" max="4.0" value="1.0"' in text
