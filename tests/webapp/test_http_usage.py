"""What language models cost, over HTTP: one's own for a user, everybody's for an administrator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirada.kernel.errors import BudgetReached, KeyRefused, NoAnswer, TooManyRequests, Unavailable
from mirada.kernel.model_requests import Reply
from mirada.kernel.prices import PriceTable, TokenBound
from mirada.language_model import spending
from mirada.language_model.spending import Order
from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery, assert_problem
from testing.openai_server import KEY

USAGE = "/api/v1/usage"
BOUND = TokenBound(1_000, 100)
DOWN = Unavailable("The language model answered 500; it is asked again later.")
REFUSED = KeyRefused("The language model refuses OPENAI_API_KEY (401 invalid_api_key).")

Calling = Callable[..., None]


@pytest.fixture
def keyed(make_runtime: Callable[..., Runtime]) -> Gallery:
    """A gallery behind AUTH_MODE=keys with a language model's key and budgets."""
    runtime = make_runtime(
        auth_mode="keys",
        openai_api_key=KEY,
        openai_base_url="http://127.0.0.1:9/v1",
        llm_daily_budget_usd=0.001,
        llm_user_daily_budget_usd=0.0005,
    )
    return Gallery(runtime, create_app(runtime).test_client())


def headers_of(gallery: Gallery, name: str, *, is_administrator: bool = False) -> dict[str, str]:
    """Make a user and return the headers of its key."""
    with gallery.runtime.transaction() as session:
        user = users.create_user(session, name, is_administrator=is_administrator)
        return {"Authorization": f"Bearer {issue_key(session, user).key}"}


def id_of(gallery: Gallery, name: str) -> int:
    with gallery.runtime.reading() as session:
        return users.user_named(session, name).id


def call(
    gallery: Gallery,
    user_id: int | None = None,
    error: Any = None,
    *,
    subject: str = "9f86",
    model: str = "gpt-4o-mini",
) -> None:
    """Record a call that ended."""
    runtime = gallery.runtime
    with runtime.transaction() as session:
        order = Order(spending.CAPTION, subject, user_id)
        call_id = spending.reserve(session, order, model, BOUND, runtime.budgets)
    with runtime.transaction() as session:
        end = error or Reply("a cat", input_tokens=400, output_tokens=50)
        spending.settle(session, call_id, PriceTable(), end)


def read(gallery: Gallery, headers: dict[str, str], query: str = "") -> dict[str, Any]:
    response = gallery.get(USAGE + query, headers=headers)
    assert response.status_code == 200, response.get_json()
    body: dict[str, Any] = response.get_json()
    return body


def test_a_user_reads_their_own_calls_and_nothing_of_others(keyed: Gallery) -> None:
    ana, ben = headers_of(keyed, "ana"), headers_of(keyed, "ben")
    call(keyed, id_of(keyed, "ana"), subject="of-ana")
    call(keyed, id_of(keyed, "ben"), subject="secret-of-ben")
    call(keyed, None, subject="of-nobody")

    response = keyed.get(USAGE, headers=ana)

    body = response.get_json()
    assert "of-ana" in response.text
    assert "secret-of-ben" not in response.text
    assert "of-nobody" not in response.text
    assert body["user_id"] == id_of(keyed, "ana")
    assert body["budget"] == {"daily_usd": 0.0005, "spent_usd": 0.00009, "left_usd": 0.00041}
    (total,) = body["totals"]
    assert (total["calls"], total["paid"], total["cost_usd"]) == (1, 1, 0.00009)
    assert (total["input_tokens"], total["output_tokens"]) == (400, 50)
    (listed,) = body["calls"]
    assert (listed["purpose"], listed["state"], listed["cost_usd"]) == ("caption", "paid", 0.00009)
    assert read(keyed, ben)["calls"][0]["subject"] == "secret-of-ben"


def test_an_administrator_reads_everybodys_or_one_users(keyed: Gallery) -> None:
    root, _ = headers_of(keyed, "root", is_administrator=True), headers_of(keyed, "ana")
    ana_id = id_of(keyed, "ana")
    call(keyed, ana_id)
    call(keyed, None, NoAnswer("It did not answer in time."))
    call(keyed, None, DOWN)

    body = read(keyed, root)
    assert body["user_id"] is None
    assert body["budget"] == {"daily_usd": 0.001, "spent_usd": 0.0003, "left_usd": 0.0007}
    (total,) = body["totals"]
    counted = {name: total[name] for name in ("calls", "paid", "free", "unseen", "under_way")}
    assert counted == {"calls": 3, "paid": 1, "free": 1, "unseen": 1, "under_way": 0}
    assert total["cost_usd"] == 0.0003
    assert [listed["cost_usd"] for listed in body["calls"]] == [0, 0.00021, 0.00009]

    theirs = read(keyed, root, f"?user={ana_id}&limit=0")
    assert (theirs["user_id"], theirs["calls"]) == (ana_id, [])
    assert theirs["budget"]["daily_usd"] == 0.0005


def test_somebody_elses_usage_looks_like_nobodys(keyed: Gallery) -> None:
    ana, _ = headers_of(keyed, "ana"), headers_of(keyed, "ben")
    ben_id = id_of(keyed, "ben")
    assert_problem(keyed.get(f"{USAGE}?user={ben_id}", headers=ana), 404, "not_found")
    absent = keyed.get(f"{USAGE}?user=999", headers=ana).get_json()["detail"]
    there = keyed.get(f"{USAGE}?user={ben_id}", headers=ana).get_json()["detail"]
    assert there.replace(str(ben_id), "N") == absent.replace("999", "N")
    assert read(keyed, ana, f"?user={id_of(keyed, 'ana')}")["user_id"] == id_of(keyed, "ana")


def test_nobody_is_told_nothing(keyed: Gallery) -> None:
    assert_problem(keyed.get(USAGE), 401, "not_authenticated")


@pytest.mark.parametrize("query", ["?days=0", "?days=91", "?limit=201", "?user=me", "?user=0"])
def test_what_makes_no_sense_is_refused(keyed: Gallery, query: str) -> None:
    root = headers_of(keyed, "root", is_administrator=True)
    assert keyed.get(USAGE + query, headers=root).status_code == 422


def test_a_reached_budget_is_told_to_everybody_as_one_bit(keyed: Gallery) -> None:
    ana = headers_of(keyed, "ana")
    for _ in range(3):
        call(keyed, None, NoAnswer("late"))
        assert not read(keyed, ana)["is_budget_reached"]
    call(keyed, None, NoAnswer("late"))
    with pytest.raises(BudgetReached):
        call(keyed)

    body = read(keyed, ana)

    assert body["is_budget_reached"]
    assert body["budget"]["spent_usd"] == 0
    assert 0 < body["resets_in_s"] <= 86_401


def state_of(gallery: Gallery, headers: dict[str, str]) -> dict[str, Any]:
    state: dict[str, Any] = read(gallery, headers)["language_model"]
    return state


def test_a_refused_key_is_told_in_usage_and_health_until_it_works(keyed: Gallery) -> None:
    ana = headers_of(keyed, "ana")
    assert state_of(keyed, ana) == {"key": "set", "is_resting": False, "reason": None}
    call(keyed, None, REFUSED)

    assert state_of(keyed, ana) == {"key": "refused", "is_resting": True, "reason": REFUSED.detail}
    health = keyed.get("/health").get_json()
    assert health["status"] != "healthy"
    assert health["checks"]["language_model"] == {"ok": False, "detail": REFUSED.detail}

    call(keyed)
    assert state_of(keyed, ana)["key"] == "set"


def test_a_key_that_was_refused_before_the_restart_may_be_another(
    keyed: Gallery, make_runtime: Callable[..., Runtime]
) -> None:
    ana = headers_of(keyed, "ana")
    call(keyed, None, REFUSED)
    settings = keyed.runtime.settings
    again = make_runtime(data_dir=settings.data_dir, auth_mode="keys", openai_api_key=KEY)
    again.started_at_ms += 1_000
    restarted = Gallery(again, create_app(again).test_client())

    assert state_of(restarted, ana)["key"] == "set"


@pytest.mark.parametrize(
    ("ends", "rests"),
    [
        ([DOWN] * 4, False),
        ([DOWN] * 5, True),
        ([DOWN] * 5 + [None], False),
        ([DOWN, TooManyRequests("429")] * 5, True),
        ([TooManyRequests("429")] * 5, True),
        ([NoAnswer("late")] * 2 + [DOWN] * 3, True),
    ],
    ids=["four", "five", "answered since", "told to wait between", "told to wait", "silence"],
)
def test_workers_that_leave_a_server_alone_are_known_by_how_their_calls_ended(
    keyed: Gallery, ends: list[Any], rests: bool
) -> None:
    ana = headers_of(keyed, "ana")
    for end in ends:
        call(keyed, None, end)

    state = state_of(keyed, ana)

    assert (state["key"], state["is_resting"]) == ("set", rests)
    assert state["reason"] == (ends[-1].detail if rests else None)


def test_this_processes_own_breaker_is_told(keyed: Gallery) -> None:
    ana = headers_of(keyed, "ana")
    for _ in range(5):
        keyed.runtime.circuit.failed("It answered 500.")
    assert state_of(keyed, ana) == {
        "key": "set",
        "is_resting": True,
        "reason": "It answered 500.",
    }


def test_without_a_key_all_is_well(gallery: Gallery) -> None:
    body = read(gallery, {})
    assert body["language_model"] == {"key": "unset", "is_resting": False, "reason": None}
    assert body["budget"] == {"daily_usd": None, "spent_usd": 0, "left_usd": None}
    check = gallery.get("/health").get_json()["checks"]["language_model"]
    assert check == {"ok": True, "detail": "no key is set, so none is asked"}
