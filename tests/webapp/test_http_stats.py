"""Counts over time: images by month, and calls of language models by day or month."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, update

from mirada.db.models import Image
from mirada.db.spending_models import CallState, LanguageModelCall
from mirada.language_model.spending import CAPTION, EXPANSION
from mirada.people import users
from mirada.pictures.stats import library_stats
from testing.gallery import Gallery, assert_problem

KeyOf = Callable[..., dict[str, str]]
STATS = "/api/v1/stats"
SERIES = "/api/v1/usage/series"
JANUARY_1 = 20_454
"""2026-01-01, in days since 1970."""


def came_in(gallery: Gallery, image_id: int, *day: int) -> None:
    with gallery.runtime.transaction() as session:
        at = datetime(*day, 23, 59, tzinfo=UTC)  # type: ignore[arg-type]
        session.execute(update(Image).where(Image.id == image_id).values(created_at=at))


def test_one_s_own_images_are_counted_and_nobody_else_s(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben, root = key_of("ana"), key_of("ben"), key_of("root", is_administrator=True)
    first = guarded.upload(headers=ana, seed=1, degrees=0)
    again = guarded.upload(headers=ana, seed=1, is_public=True)
    third = guarded.upload(headers=ana, seed=2)
    of_ben = guarded.upload(headers=ben, seed=3, is_public=True)
    came_in(guarded, first["id"], 2025, 12, 31)
    came_in(guarded, again["id"], 2026, 1, 1)
    came_in(guarded, third["id"], 2026, 1, 31)
    came_in(guarded, of_ben["id"], 2025, 2, 1)

    assert guarded.get(STATS, ana).get_json() == {
        "images": 3,
        "public": 1,
        "by_status": {"READY": 2, "PENDING": 1},
        # The same file twice is one file.
        "bytes": first["byte_size"] + third["byte_size"],
        "by_month": [{"month": "2025-12", "count": 1}, {"month": "2026-01", "count": 2}],
    }
    assert guarded.get(STATS, root).get_json()["images"] == 0
    everybody = guarded.get(f"{STATS}?everybody=true", root).get_json()
    assert (everybody["images"], everybody["public"]) == (4, 2)
    assert [each["month"] for each in everybody["by_month"]] == ["2025-02", "2025-12", "2026-01"]
    assert_problem(guarded.get(f"{STATS}?everybody=true", ben), 403, "not_allowed")
    assert guarded.get(STATS).status_code == 401


def test_an_empty_library_is_all_zeros(gallery: Gallery) -> None:
    assert gallery.get(STATS).get_json() == {
        "images": 0,
        "public": 0,
        "by_status": {},
        "bytes": 0,
        "by_month": [],
    }


def test_months_are_counted_to_their_last_moment_over_many_years(gallery: Gallery) -> None:
    days = [(2019, 12, 31), (2020, 1, 1), (2020, 2, 29), (2026, 11, 30), (2026, 11, 1)]
    for day in days:
        came_in(gallery, gallery.upload()["id"], *day)
    months = {each["month"]: each["count"] for each in gallery.get(STATS).get_json()["by_month"]}
    assert months == {"2019-12": 1, "2020-01": 1, "2020-02": 1, "2026-11": 2}
    assert list(months) == sorted(months)


@pytest.mark.parametrize("everybody", [False, True])
def test_counting_reads_no_row_of_an_image(gallery: Gallery, everybody: bool) -> None:
    # Rows hold prompts and captions of any length: they were most of the time that counting took.
    image = gallery.upload()
    engine = gallery.runtime.database.engine
    asked: list[tuple[str, Any]] = []

    def keep(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", keep)
    with gallery.runtime.reading() as session:
        library_stats(session, None if everybody else image["owner"]["id"])
    event.remove(engine, "before_cursor_execute", keep)
    counting = [each for each in asked if "mirada_images" in each[0]]
    assert len(counting) == 5
    with engine.connect() as connection:
        for statement, values in counting:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            steps = [row.detail for row in plan if "mirada_images" in row.detail]
            assert steps
            assert all("COVERING INDEX" in step for step in steps), steps


def called(
    gallery: Gallery, day: int, purpose: str, micros: int | None, user_id: int | None, **more: Any
) -> None:
    values = {"model": "gpt-6-luna", "state": CallState.PAID, "reserved_micros": 9_000, **more}
    with gallery.runtime.transaction() as session:
        session.add(
            LanguageModelCall(
                purpose=purpose,
                cost_micros=micros,
                user_id=user_id,
                utc_day=JANUARY_1 + day,
                created_at_ms=1,
                **values,
            )
        )


def id_of(gallery: Gallery, name: str) -> int:
    with gallery.runtime.reading() as session:
        return users.user_named(session, name).id


@pytest.fixture
def ana(guarded: Gallery, key_of: KeyOf) -> dict[str, str]:
    """Someone with calls in two months, beside whom somebody else had one too."""
    headers = key_of("ana")
    key_of("ben")
    of_ana = id_of(guarded, "ana")
    called(guarded, 0, CAPTION, 500, of_ana)
    called(guarded, 0, CAPTION, 250, of_ana)
    called(guarded, 2, EXPANSION, None, of_ana, state=CallState.UNKNOWN, model="old")
    called(guarded, 31, CAPTION, 125, of_ana)
    called(guarded, 2, CAPTION, 7_000_000, id_of(guarded, "ben"))
    return headers


def test_calls_are_told_by_day_and_kind_with_the_days_between(
    guarded: Gallery, ana: dict[str, str]
) -> None:
    body = guarded.get(f"{SERIES}?from=2026-01-01&to=2026-01-03", ana).get_json()
    assert body == {
        "user_id": id_of(guarded, "ana"),
        "step": "day",
        "days": ["2026-01-01", "2026-01-02", "2026-01-03"],
        "series": {CAPTION: [2, 0, 0], EXPANSION: [0, 0, 1]},
        # Nobody saw the end of the last one, so it counts with the most it may have cost.
        "cost_usd": [0.00075, 0, 0.009],
    }


def test_they_are_told_by_month_and_model(guarded: Gallery, ana: dict[str, str]) -> None:
    body = guarded.get(
        f"{SERIES}?from=2026-01-02&to=2026-02-28&step=month&by=model", ana
    ).get_json()
    assert body["days"] == ["2026-01-01", "2026-02-01"]
    assert body["series"] == {"gpt-6-luna": [0, 1], "old": [1, 0]}


def test_an_administrator_is_told_of_everybody_or_of_one(
    guarded: Gallery, ana: dict[str, str], key_of: KeyOf
) -> None:
    root = key_of("root", is_administrator=True)
    asked = f"{SERIES}?from=2026-01-03&to=2026-01-03"
    assert guarded.get(asked, root).get_json()["cost_usd"] == [7.009]
    of_ben = guarded.get(f"{asked}&user={id_of(guarded, 'ben')}", root).get_json()
    assert (of_ben["user_id"], of_ben["cost_usd"]) == (id_of(guarded, "ben"), [7])
    assert_problem(guarded.get(f"{asked}&user={id_of(guarded, 'ben')}", ana), 404, "not_found")


@pytest.mark.parametrize("query", ["", "to=2026-06-30"])
def test_thirty_days_are_told_unless_they_are_named(gallery: Gallery, query: str) -> None:
    body = gallery.get(f"{SERIES}?{query}").get_json()
    assert len(body["days"]) == len(body["cost_usd"]) == 30
    assert body["days"][-1] == (query[3:] or datetime.now(UTC).date().isoformat())


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-01-02&to=2026-01-01",
        "from=2024-01-01&to=2026-01-01",
        "from=0001-01-01&to=9999-12-31",
        "from=x",
        "step=week",
        "by=user",
    ],
)
def test_days_that_are_none_are_refused(gallery: Gallery, query: str) -> None:
    assert_problem(gallery.get(f"{SERIES}?{query}"), 422, "invalid_input")


@pytest.mark.parametrize("query", ["to=0001-01-01", "from=9999-12-31"])
def test_the_ends_of_the_calendar_are_days_too(gallery: Gallery, query: str) -> None:
    assert gallery.get(f"{SERIES}?{query}").status_code == 200
