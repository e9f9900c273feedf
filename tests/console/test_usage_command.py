"""`mirada usage show` on a real app."""

from __future__ import annotations

from collections.abc import Callable

from mirada.kernel.model_requests import Reply
from mirada.kernel.prices import PriceTable, TokenBound
from mirada.language_model import spending
from mirada.language_model.spending import Order
from mirada.people import users
from mirada.runtime import Runtime
from testing.console import run_command


def run(runtime: Runtime, *arguments: str, code: int = 0) -> str:
    result = run_command(runtime, "usage", "show", *arguments)
    assert result.exit_code == code, result.output
    return str(result.output)


def pay(runtime: Runtime, user_id: int | None) -> None:
    with runtime.transaction() as session:
        order = Order(spending.CAPTION, None, user_id)
        bound = TokenBound(1_000, 100)
        call_id = spending.reserve(session, order, "gpt-4o-mini", bound, runtime.budgets)
        prices = PriceTable()
        reply = Reply("a cat", input_tokens=1_000, output_tokens=100)
        spending.settle(session, call_id, prices, reply)


def test_usage_is_shown_for_everybody_and_for_one(make_runtime: Callable[..., Runtime]) -> None:
    runtime = make_runtime(llm_daily_budget_usd=2)
    nothing = run(runtime)
    assert "OPENAI_API_KEY is unset." in nothing
    assert "No calls in 30 days." in nothing
    with runtime.transaction() as session:
        ana_id = users.create_user(session, "ana").id
    pay(runtime, ana_id)
    pay(runtime, None)

    everybody, ana = run(runtime), run(runtime, "--user", "ana", "--days", "1")

    assert "$0.0004 spent of $2.0000; $1.9996 left." in everybody
    assert "0.000420" in everybody
    assert "$0.0002 spent; no limit." in ana
    assert "0.000210" in ana
    assert "There is no user 'ben'" in run(runtime, "--user", "ben", code=1)


def test_a_reached_budget_is_said(make_runtime: Callable[..., Runtime]) -> None:
    runtime = make_runtime(llm_daily_budget_usd=0.00021)
    pay(runtime, None)
    assert "budget is reached" in run(runtime)
