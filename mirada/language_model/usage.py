"""Usage of language models, for one user or for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from mirada.db.session import now_ms
from mirada.db.spending_models import EVERYBODY, CallState, LanguageModelCall, SpendingDay
from mirada.kernel.prices import Budgets
from mirada.language_model.spending import (
    DAY_MS,
)

IS_PAID = LanguageModelCall.state.in_((CallState.PAID, CallState.SHARED))
COUNTED_MICROS = case(
    (IS_PAID, func.coalesce(LanguageModelCall.cost_micros, 0)),
    (LanguageModelCall.state == CallState.FREE, 0),
    else_=LanguageModelCall.reserved_micros,
)
"""What a call counts with in reports: its cost, or the most it can cost where that is unknown."""


@dataclass(frozen=True, slots=True)
class Account:
    """One day's budget and spending, in millionths of a dollar.

    Attributes:
        budget_micros: the limit; None: no limit.
        spent_micros: all calls so far; those under way count at the most that they can cost.
    """

    budget_micros: int | None
    spent_micros: int

    @property
    def left_micros(self) -> int | None:
        """The rest of the budget; None without a limit."""
        budget, spent = self.budget_micros, self.spent_micros
        return None if budget is None else max(budget - spent, 0)


@dataclass(frozen=True, slots=True)
class Total:
    """Calls of one day, purpose and model, added up."""

    day: str
    purpose: str
    model: str
    calls: int
    paid: int
    free: int
    unseen: int
    under_way: int
    input_tokens: int
    output_tokens: int
    cost_micros: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls of language models and their cost.

    Attributes:
        day: today, UTC, YYYY-MM-DD.
        resets_in_s: seconds until the next UTC day begins.
        account: of the user, or of everybody.
        is_budget_reached: whether less is left of the installation's budget of today than some kind
            of call made today can cost, so that such calls wait.
        totals: newest day first.
        calls: the newest calls.
    """

    day: str
    resets_in_s: int
    account: Account
    is_budget_reached: bool
    totals: list[Total]
    calls: Sequence[LanguageModelCall]


def read_usage(
    session: Session, user_id: int | None, budgets: Budgets, *, days: int, limit: int
) -> Usage:
    """Return the usage of one user, or of everybody.

    Args:
        session: reads only.
        user_id: the user whose calls are read; None: everybody's, for administrators.
        budgets: in force.
        days: totals of so many days, today's included.
        limit: so many of the newest calls.
    """
    now = session.execute(select(now_ms())).scalar_one()
    today = now // DAY_MS
    everybody = Account(budgets.daily_micros, _committed(session, today, EVERYBODY))
    account = (
        everybody
        if user_id is None
        else Account(budgets.user_daily_micros, _committed(session, today, user_id))
    )
    calls = select(LanguageModelCall).where(of_user(user_id))
    return Usage(
        day=day_name(today),
        resets_in_s=(DAY_MS - now % DAY_MS) // 1000 + 1,
        account=account,
        is_budget_reached=_is_reached(session, today, everybody.left_micros),
        totals=_totals(session, user_id, today - days + 1),
        calls=session.scalars(calls.order_by(LanguageModelCall.id.desc()).limit(limit)).all(),
    )


def mean_cost_micros(session: Session, purpose: str, model: str) -> float | None:
    """Return the mean cost of an answered call; None before the first, or without a price."""
    mean = select(func.avg(LanguageModelCall.cost_micros)).where(
        LanguageModelCall.purpose == purpose,
        LanguageModelCall.model == model,
        LanguageModelCall.state == CallState.PAID,
    )
    found = session.execute(mean).scalar_one()
    return None if found is None else float(found)


def day_name(utc_day: int) -> str:
    """Return a day's number as YYYY-MM-DD."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=utc_day)).date().isoformat()


def _committed(session: Session, day: int, user_id: int) -> int:
    query = select(SpendingDay.committed_micros).where(
        SpendingDay.utc_day == day, SpendingDay.user_id == user_id
    )
    return int(session.execute(query).scalar_one_or_none() or 0)


def _is_reached(session: Session, day: int, left_micros: int | None) -> bool:
    """Return whether the rest is too little for the cheapest call of some purpose on that day."""
    if not left_micros:
        return left_micros == 0
    cheapest = (
        select(func.min(LanguageModelCall.reserved_micros))
        .where(LanguageModelCall.utc_day == day)
        .group_by(LanguageModelCall.purpose, LanguageModelCall.model)
    )
    return any(most > left_micros for most in session.execute(cheapest).scalars())


def _totals(session: Session, user_id: int | None, since_day: int) -> list[Total]:
    call = LanguageModelCall

    def how_many(state: CallState) -> ColumnElement[int]:
        return func.sum(case((call.state == state, 1), else_=0))

    columns = (call.utc_day, call.purpose, call.model)
    query = (
        select(
            *columns,
            func.count(),
            func.sum(case((IS_PAID, 1), else_=0)),
            how_many(CallState.FREE),
            how_many(CallState.UNKNOWN),
            how_many(CallState.RESERVED),
            func.coalesce(func.sum(call.input_tokens), 0),
            func.coalesce(func.sum(call.output_tokens), 0),
            func.sum(COUNTED_MICROS),
        )
        .where(call.utc_day >= since_day, of_user(user_id))
        .group_by(*columns)
        .order_by(call.utc_day.desc(), call.purpose, call.model)
    )
    return [
        Total(day_name(row[0]), row[1], row[2], *(int(number or 0) for number in row[3:]))
        for row in session.execute(query)
    ]


def of_user(user_id: int | None) -> ColumnElement[bool]:
    """Return the condition on the calls that a report on a user, or on everybody, counts."""
    if user_id is None:
        # The answers to somebody else's calls cost nobody anything.
        return LanguageModelCall.state != CallState.SHARED
    return LanguageModelCall.user_id == user_id
