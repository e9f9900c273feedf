"""Money is reserved before it is spent: a budget holds, and nothing that may be owed is forgotten."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import event, func, select, update

from mirada.classify.expansions import EXPAND_LABEL
from mirada.db.models import Job, JobState
from mirada.db.session import Database, now_ms
from mirada.db.spending_models import CallState, LanguageModelCall, SpendingDay
from mirada.jobs import attempts, ledger, sweep
from mirada.kernel.errors import (
    BudgetReached,
    CircuitOpen,
    GarbledReply,
    KeyRefused,
    LanguageModelRefused,
    MiradaError,
    NoAnswer,
    TooManyRequests,
    Unavailable,
    UnusableReply,
)
from mirada.kernel.model_requests import Reply
from mirada.kernel.prices import Budgets, PriceTable, TokenBound
from mirada.language_model import spending
from mirada.language_model.spending import Order

MODEL = "gpt-4o-mini"
BOUND = TokenBound(1_000, 100)
MOST = 210
"""Millionths of a dollar: 1,000 x 0.15 + 100 x 0.60."""
NO_LIMIT = Budgets(None, None, PriceTable())
ANA, BEN = 7, 8


def reserve(
    database: Database,
    budgets: Budgets = NO_LIMIT,
    *,
    model: str = MODEL,
    bound: TokenBound = BOUND,
    **order: Any,
) -> int:
    with database.transaction() as session:
        return spending.reserve(session, Order(spending.CAPTION, **order), model, bound, budgets)


def settle(
    database: Database,
    call_id: int,
    tokens: tuple[int | None, int | None] = (400, 50),
    error: MiradaError | None = None,
) -> None:
    with database.transaction() as session:
        end = error or Reply("a cat", input_tokens=tokens[0], output_tokens=tokens[1])
        spending.settle(session, call_id, PriceTable(), end)


def call_of(database: Database, call_id: int) -> LanguageModelCall:
    with database.reading() as session:
        return session.get_one(LanguageModelCall, call_id)


def committed(database: Database, user_id: int = 0) -> int:
    """Return what counts."""
    with database.reading() as session:
        query = select(func.sum(SpendingDay.committed_micros)).where(SpendingDay.user_id == user_id)
        return int(session.execute(query).scalar_one() or 0)


def limited(daily: int | None = None, user_daily: int | None = None) -> Budgets:
    return Budgets(daily, user_daily, PriceTable())


def test_a_call_counts_at_its_most_and_then_at_what_it_cost(database: Database) -> None:
    call_id = reserve(database, user_id=ANA, subject="9f86d0", job_id=3, lease_token="t")
    call = call_of(database, call_id)
    assert (call.state, call.reserved_micros, call.cost_micros) == (CallState.RESERVED, MOST, None)
    assert (call.purpose, call.subject, call.user_id, call.job_id) == ("caption", "9f86d0", ANA, 3)
    assert committed(database) == committed(database, ANA) == MOST

    settle(database, call_id)

    call = call_of(database, call_id)
    assert (call.state, call.cost_micros) == (CallState.PAID, 90)
    assert (call.input_tokens, call.output_tokens) == (400, 50)
    assert call.finished_at_ms is not None
    assert call.finished_at_ms >= call.created_at_ms
    assert committed(database) == committed(database, ANA) == 90


def test_settling_again_changes_nothing(database: Database) -> None:
    call_id = reserve(database)
    settle(database, call_id)
    settle(database, call_id, (9_999, 9_999))
    settle(database, call_id, error=Unavailable("500"))
    assert call_of(database, call_id).cost_micros == committed(database) == 90


def test_what_a_server_does_not_count_costs_the_most(database: Database) -> None:
    for tokens in ((None, None), (400, None), (None, 50)):
        settle(database, reserve(database), tokens)
    assert committed(database) == 3 * MOST


def test_a_server_that_bills_more_than_the_most_is_written_down(database: Database) -> None:
    settle(database, reserve(database), (10_000, 1_000))
    assert committed(database) == 2_100


@pytest.mark.parametrize(
    ("error", "state", "counts"),
    [
        (Unavailable("500"), CallState.FREE, 0),
        (TooManyRequests("429"), CallState.FREE, 0),
        (LanguageModelRefused("404"), CallState.FREE, 0),
        (KeyRefused("401"), CallState.FREE, 0),
        (NoAnswer("late"), CallState.UNKNOWN, MOST),
        (GarbledReply("HTML"), CallState.PAID, MOST),
        (UnusableReply("declined", input_tokens=400, output_tokens=50), CallState.PAID, 90),
    ],
    ids=lambda it: type(it).__name__ if isinstance(it, Exception) else None,
)
def test_how_a_call_fails_decides_what_it_counts_with(
    database: Database, error: MiradaError, state: CallState, counts: int
) -> None:
    call_id = reserve(database, user_id=ANA)

    settle(database, call_id, error=error)

    call = call_of(database, call_id)
    assert (call.state, call.failure, call.detail) == (state, error.code, error.detail)
    assert committed(database) == committed(database, ANA) == counts


def test_a_call_that_the_breaker_kept_back_is_no_call(database: Database) -> None:
    call_id = reserve(database)
    settle(database, call_id, error=CircuitOpen("It rests."))
    with database.reading() as session:
        assert session.get(LanguageModelCall, call_id) is None
    assert committed(database) == 0


def test_a_budget_is_never_passed_and_says_until_when_to_wait(database: Database) -> None:
    budgets = limited(daily=3 * MOST)
    for _ in range(3):
        reserve(database, budgets)

    with pytest.raises(BudgetReached, match="next UTC day") as caught:
        reserve(database, budgets)

    with database.reading() as session:
        now = session.execute(select(now_ms())).scalar_one()
    left_s = (spending.DAY_MS - now % spending.DAY_MS) / 1000
    assert left_s - 1 <= caught.value.retry_after_s <= left_s + 2 + spending.SPREAD_S
    assert committed(database) == 3 * MOST
    reserve(database, limited(daily=4 * MOST))


def test_what_a_call_did_not_use_can_be_spent(database: Database) -> None:
    budgets = limited(daily=2 * MOST)
    for _ in range(3):
        settle(database, reserve(database, budgets))
    assert committed(database) == 270
    settle(database, reserve(database, limited(daily=270 + MOST)), error=Unavailable("500"))
    assert committed(database) == 270


def test_one_users_budget_leaves_others_theirs(database: Database) -> None:
    budgets = limited(user_daily=MOST)
    reserve(database, budgets, user_id=ANA)

    with pytest.raises(BudgetReached, match="LLM_USER_DAILY_BUDGET_USD"):
        reserve(database, budgets, user_id=ANA)

    reserve(database, budgets, user_id=BEN)
    reserve(database, budgets)
    assert [committed(database, user_id) for user_id in (0, ANA, BEN)] == [3 * MOST, MOST, MOST]


def test_a_refused_reservation_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(BudgetReached):
        reserve(database, limited(daily=10 * MOST, user_daily=MOST - 1), user_id=ANA)
    with database.reading() as session:
        assert session.execute(select(LanguageModelCall)).all() == []
        assert session.execute(select(SpendingDay)).all() == []


def test_a_budget_that_no_call_fits_in_says_so(database: Database) -> None:
    with pytest.raises(BudgetReached, match="raise it"):
        reserve(database, limited(daily=MOST - 1))


def test_another_day_has_money_of_its_own(database: Database) -> None:
    budgets = limited(daily=MOST)
    first = reserve(database, budgets)
    with database.transaction() as session:
        session.execute(update(SpendingDay).values(utc_day=SpendingDay.utc_day - 1))
        session.execute(update(LanguageModelCall).values(utc_day=LanguageModelCall.utc_day - 1))

    reserve(database, budgets)

    settle(database, first)
    with database.reading() as session:
        query = select(SpendingDay.committed_micros).order_by(SpendingDay.utc_day)
        assert session.execute(query).scalars().all() == [90, MOST]


def test_a_model_without_a_price_is_called_only_where_nothing_is_limited(
    database: Database,
) -> None:
    for budgets in (limited(daily=10**9), limited(user_daily=10**9)):
        with pytest.raises(LanguageModelRefused, match="LLM_PRICES_USD"):
            reserve(database, budgets, model="llava")

    call_id = reserve(database, model="llava")
    settle(database, call_id)

    call = call_of(database, call_id)
    assert (call.state, call.reserved_micros, call.cost_micros) == (CallState.PAID, 0, None)
    assert call.input_tokens == 400


def test_many_at_once_never_pass_a_budget(database: Database) -> None:
    budgets, found = limited(daily=10 * MOST, user_daily=6 * MOST), []
    barrier = threading.Barrier(12)
    lock = threading.Lock()
    # The day's row is there, and whoever has read it takes a moment to think.
    settle(database, reserve(database), error=Unavailable("500"))

    def think(*arguments: Any) -> None:
        if "FROM mirada_spending_days" in arguments[2]:
            time.sleep(0.01)

    event.listen(database.engine, "after_cursor_execute", think)

    def spend(user_id: int) -> None:
        barrier.wait()
        for _ in range(4):
            try:
                call_id = reserve(database, budgets, user_id=user_id)
            except BudgetReached:
                continue
            with lock:
                found.append((user_id, call_id))

    threads = [threading.Thread(target=spend, args=(ANA + n % 2,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 10
    assert committed(database) == 10 * MOST
    for user_id in (ANA, BEN):
        theirs = [call_id for owner, call_id in found if owner == user_id]
        assert len(theirs) <= 6
        assert committed(database, user_id) == len(theirs) * MOST


def test_reserving_and_settling_at_once_ends_with_the_right_sum(database: Database) -> None:
    def spend() -> None:
        for _ in range(5):
            settle(database, reserve(database, user_id=ANA))

    threads = [threading.Thread(target=spend) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert committed(database) == committed(database, ANA) == 30 * 90


# Workers that died.


def running_job(database: Database) -> Job:
    with database.transaction() as session:
        job_id = ledger.enqueue(session, EXPAND_LABEL, same_work="one").id
    with database.transaction() as session:
        job = attempts.claim(session, job_id)
    assert job is not None
    return job


def give_up(database: Database) -> int:
    with database.transaction() as session:
        return sweep.give_up_lost_calls(session)


def test_a_call_under_way_is_left_alone(database: Database) -> None:
    job = running_job(database)
    reserve(database, job_id=job.id, lease_token=job.lease_token)
    reserve(database)
    assert give_up(database) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"lease_until_ms": 1},
        {"lease_token": "another"},
        {"state": JobState.QUEUED, "lease_token": None, "lease_until_ms": None},
        {"state": JobState.DONE, "lease_token": None, "lease_until_ms": None},
    ],
    ids=["lease over", "taken over", "given back", "done"],
)
def test_a_call_whose_attempt_is_over_is_unknown_and_goes_on_counting(
    database: Database, changes: dict[str, Any]
) -> None:
    job = running_job(database)
    call_id = reserve(database, job_id=job.id, lease_token=job.lease_token)
    with database.transaction() as session:
        session.execute(update(Job).values(**changes))

    assert give_up(database) == 1
    assert give_up(database) == 0

    call = call_of(database, call_id)
    assert (call.state, call.failure, call.cost_micros) == (CallState.UNKNOWN, "worker_lost", None)
    assert committed(database) == MOST


def test_a_worker_that_comes_back_knows_better(database: Database) -> None:
    call_id = reserve(database, job_id=99, lease_token="gone")
    assert give_up(database) == 1

    settle(database, call_id)

    assert call_of(database, call_id).state == CallState.PAID
    assert committed(database) == 90


def test_a_call_outside_any_job_is_given_up_after_an_hour(database: Database) -> None:
    reserve(database)
    with database.transaction() as session:
        session.execute(update(LanguageModelCall).values(created_at_ms=now_ms() - 3_700_000))
    assert give_up(database) == 1
