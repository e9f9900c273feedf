"""Spending on language models: reserved before a call, settled after it, never counted too low.

A call reserves the most that it can cost under the lock of the day's row, so calls of many workers
stay within the budget together. The real cost is written afterwards. A call whose end nobody saw
counts at the most that it can have cost.

Nothing here commits or asks a model; `mirada.language_model.paying` does that between two transactions.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from mirada.db.inserts import insert_unless_there
from mirada.db.models import Job, JobState
from mirada.db.session import now_ms
from mirada.db.spending_models import EVERYBODY, CallState, LanguageModelCall, SpendingDay
from mirada.kernel.errors import (
    BudgetReached,
    CircuitOpen,
    MiradaError,
    NoAnswer,
    UnusableReply,
)
from mirada.kernel.model_requests import Counted
from mirada.kernel.prices import Budgets, PriceTable, TokenBound, usd

EXPANSION = "expansion"
CAPTION = "caption"
CAPTION_EMBEDDING = "caption_embedding"
DRAWING = "generation"
PURPOSES = (EXPANSION, CAPTION, CAPTION_EMBEDDING, DRAWING)

DAY_MS = 86_400_000
SPREAD_S = 600
"""Jobs that wait for the next day wake up over ten minutes, and not all at midnight."""


@dataclass(frozen=True, slots=True)
class Order:
    """The purpose of a call, and the user and job that it is made for.

    Attributes:
        purpose: one of PURPOSES.
        subject: a content's SHA-256, or another key of <= 191 characters.
        user_id: the user that it is for; None: the installation.
        job_id: the job that makes the call; None outside any job.
        lease_token: the token of that job's attempt.
    """

    purpose: str
    subject: str | None = None
    user_id: int | None = None
    job_id: int | None = None
    lease_token: str | None = None


def reserve(
    session: Session,
    order: Order,
    model: str,
    bound: TokenBound,
    budgets: Budgets,
    *,
    unless: Callable[[Session], bool] | None = None,
) -> int | None:
    """Reserve the most that a call can cost and return the call's id; commit before the call.

    None where `unless` holds: nothing is reserved.

    Args:
        session: a transaction of its own.
        order: what is to be paid for.
        model: who is asked.
        bound: the most it can cost.
        budgets: in force.
        unless: a claim that the call is not needed, checked where no other can be reserved meanwhile.

    Raises:
        BudgetReached: that would pass the day's budget; wait until the next day begins.
        LanguageModelRefused: there is a budget, and no price for this model.
    """
    most = budgets.most_of(model, bound)
    now = session.execute(select(now_ms())).scalar_one()
    _require_room(session, order, most, budgets, now)
    if unless is not None and unless(session):
        return None
    for user_id in {EVERYBODY, order.user_id or EVERYBODY}:
        _add_to_day(session, now // DAY_MS, user_id, most)
    call = _new_call(order, model, most, now)
    session.add(call)
    session.flush()
    return call.id


def _require_room(session: Session, order: Order, most: int, budgets: Budgets, now: int) -> None:
    """Lock the rows of the day. Raises BudgetReached where a call could pass a limit."""
    for user_id, limit, setting in (
        (EVERYBODY, budgets.daily_micros, "LLM_DAILY_BUDGET_USD"),
        (order.user_id, budgets.user_daily_micros, "LLM_USER_DAILY_BUDGET_USD"),
    ):
        if user_id is None:
            continue
        committed = _locked(session, now // DAY_MS, user_id)
        if limit is not None and committed + most > limit:
            raise _budget_reached(setting, limit, most, now)


def _new_call(order: Order, model: str, most: int, now: int) -> LanguageModelCall:
    """Return the row of a call that begins now, reserved."""
    return LanguageModelCall(
        purpose=order.purpose,
        model=model[:100],
        subject=order.subject,
        user_id=order.user_id,
        job_id=order.job_id,
        lease_token=order.lease_token,
        state=CallState.RESERVED,
        utc_day=now // DAY_MS,
        reserved_micros=most,
        created_at_ms=now,
    )


def settle(session: Session, call_id: int, prices: PriceTable, end: Counted | MiradaError) -> None:
    """Write the end of a call, and its cost; harmless to repeat.

    An error of the server's costs nothing. An unusable answer is paid for. Without any answer the
    call may be paid for: it counts at the most that it can have cost, for good.

    Args:
        session: a transaction of its own.
        call_id: from `reserve`.
        prices: by model.
        end: the reply, or the error. Tokens that are None leave the cost at the most it can be.
    """
    call = _locked_call(session, call_id)
    if call is None:
        return
    if isinstance(end, NoAnswer):
        _end(session, call, CallState.UNKNOWN, 0, end)
    elif isinstance(end, MiradaError) and not isinstance(end, UnusableReply):
        _end(session, call, CallState.FREE, -call.reserved_micros, end)
        if isinstance(end, CircuitOpen):
            # Never sent: the circuit had opened between the look and the call. It is no call at all.
            session.delete(call)
    else:
        used = end.input_tokens, end.output_tokens
        cost = prices.cost_micros(call.model, *used)
        if cost is None and (call.reserved_micros or prices.of(call.model) is not None):
            cost = call.reserved_micros
        call.cost_micros, (call.input_tokens, call.output_tokens) = cost, used
        _end(session, call, CallState.PAID, (cost or 0) - call.reserved_micros, end)


def is_under_way(session: Session, order: Order) -> bool:
    """Return whether a running attempt has a call of the same purpose and subject under way."""
    is_held = exists().where(
        Job.id == LanguageModelCall.job_id,
        Job.state == JobState.RUNNING,
        Job.lease_token == LanguageModelCall.lease_token,
        Job.lease_until_ms >= now_ms(),
    )
    query = select(LanguageModelCall.id).where(
        LanguageModelCall.state == CallState.RESERVED,
        LanguageModelCall.purpose == order.purpose,
        LanguageModelCall.subject == order.subject,
        is_held,
    )
    return session.execute(query.limit(1)).first() is not None


def share(session: Session, order: Order, model: str, bound: TokenBound, budgets: Budgets) -> None:
    """Count an earlier call as this user's, as if it had been made for them.

    Answers are kept and given to everybody who asks the same, and a user's list of calls must not
    tell that somebody else asked before. The call counts for the user alone, for nothing is paid.
    Nothing happens where the user has an answered call of this purpose, subject and model.

    Raises:
        BudgetReached, LanguageModelRefused: as `reserve` does.
    """
    same = (
        LanguageModelCall.purpose == order.purpose,
        LanguageModelCall.subject == order.subject,
        LanguageModelCall.model == model[:100],
    )
    answered = LanguageModelCall.state.in_((CallState.PAID, CallState.SHARED))
    own = select(LanguageModelCall.id).where(
        *same, answered, LanguageModelCall.user_id == order.user_id
    )
    if order.user_id is None or session.execute(own.limit(1)).first() is not None:
        return
    most = budgets.most_of(model, bound)
    now = session.execute(select(now_ms())).scalar_one()
    _require_room(session, order, most, budgets, now)
    paid = session.execute(
        select(LanguageModelCall)
        .where(*same, LanguageModelCall.state == CallState.PAID)
        .order_by(LanguageModelCall.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    call = _new_call(order, model, most, now)
    call.state, call.finished_at_ms = CallState.SHARED, now
    call.cost_micros = most if budgets.prices.of(model) is not None else None
    if paid is not None:
        call.cost_micros = paid.cost_micros
        call.input_tokens, call.output_tokens = paid.input_tokens, paid.output_tokens
        call.failure, call.detail = paid.failure, paid.detail
        call.created_at_ms = now - ((paid.finished_at_ms or now) - paid.created_at_ms)
    session.add(call)
    _add_to_day(session, now // DAY_MS, order.user_id, call.cost_micros or 0)


def _locked(session: Session, day: int, user_id: int) -> int:
    """Return the committed cost of a day, its row locked until the commit."""
    query = (
        select(SpendingDay.committed_micros)
        .where(SpendingDay.utc_day == day, SpendingDay.user_id == user_id)
        .with_for_update()
    )
    found = session.execute(query).scalar_one_or_none()
    if found is None:
        fresh = {"utc_day": day, "user_id": user_id, "committed_micros": 0}
        session.execute(insert_unless_there(session, SpendingDay, fresh))
        found = session.execute(query).scalar_one()
    return int(found)


def _add_to_day(session: Session, day: int, user_id: int, micros: int) -> None:
    """Add to the committed cost of a day; its row is there and locked."""
    session.execute(
        update(SpendingDay)
        .where(SpendingDay.utc_day == day, SpendingDay.user_id == user_id)
        .values(committed_micros=SpendingDay.committed_micros + micros)
        .execution_options(synchronize_session=False)
    )


def _locked_call(session: Session, call_id: int) -> LanguageModelCall | None:
    """Return a call whose end is still to be written, locked; None for one that has ended."""
    return session.execute(
        select(LanguageModelCall)
        .where(
            LanguageModelCall.id == call_id,
            # Given up for lost, its worker came back after all: what it knows is better.
            LanguageModelCall.state.in_((CallState.RESERVED, CallState.UNKNOWN)),
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()


def _end(
    session: Session,
    call: LanguageModelCall,
    state: CallState,
    change_micros: int,
    end: Counted | MiradaError,
) -> None:
    call.state = state
    call.failure = end.code if isinstance(end, MiradaError) else None
    call.detail = end.detail[:255] if isinstance(end, MiradaError) else None
    call.finished_at_ms = session.execute(select(now_ms())).scalar_one()
    for user_id in (EVERYBODY, call.user_id):
        if user_id is not None and change_micros:
            _add_to_day(session, call.utc_day, user_id, change_micros)


def _budget_reached(setting: str, limit: int, most: int, now: int) -> BudgetReached:
    # Not a word on what was spent: whoever owns the job reads this, and others spent it.
    reason = (
        f"One call can cost up to ${usd(most):.6f}, more than a whole day may by {setting}: an "
        "administrator would have to raise it."
        if most > limit
        else f"Today's budget for language models ({setting}) is reached; this waits for the next "
        "UTC day."
    )
    until_tomorrow_s = (DAY_MS - now % DAY_MS) // 1000 + 1
    spread_s = random.randint(0, SPREAD_S)  # noqa: S311 - spreads load, hides nothing
    return BudgetReached(reason, retry_after_s=until_tomorrow_s + spread_s)
