"""Usage of language models, for one user or for everybody, and whether they can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from mirada.db.session import now_ms
from mirada.db.spending_models import EVERYBODY, CallState, LanguageModelCall, SpendingDay
from mirada.kernel.circuit import FAILURES_ALLOWED, MAX_PAUSE_S, CircuitStatus
from mirada.kernel.errors import GarbledReply, KeyRefused, NoAnswer, TooManyRequests, Unavailable
from mirada.kernel.prices import Budgets
from mirada.language_model.spending import DAY_MS
from mirada.runtime import Runtime

LOOKED_AT = 50
"""Enough newest calls to find five in a row that were not merely told to wait."""
_SERVER_FAILURES = (Unavailable.code, NoAnswer.code, GarbledReply.code)


class KeyState(StrEnum):
    """The state of OPENAI_API_KEY."""

    UNSET = "unset"
    SET = "set"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ServerState:
    """Whether the language model can be asked.

    Attributes:
        key: whether there is one, and whether it was refused since this process started.
        is_resting: whether it failed too often lately and is not asked for a while.
        reason: the last error; None while all is well.
    """

    key: KeyState
    is_resting: bool
    reason: str | None


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
    calls = select(LanguageModelCall).where(_of(user_id))
    return Usage(
        day=day_name(today),
        resets_in_s=(DAY_MS - now % DAY_MS) // 1000 + 1,
        account=account,
        is_budget_reached=_is_reached(session, today, everybody.left_micros),
        totals=_totals(session, user_id, today - days + 1),
        calls=session.scalars(calls.order_by(LanguageModelCall.id.desc()).limit(limit)).all(),
    )


def language_model_state(runtime: Runtime) -> ServerState:
    """Return whether the language model can be asked; sends nothing."""
    with runtime.reading() as session:
        return server_state(
            session,
            has_key=runtime.settings.openai_api_key is not None,
            circuit=runtime.circuit.status(),
            started_at_ms=runtime.started_at_ms,
        )


def server_state(
    session: Session, *, has_key: bool, circuit: CircuitStatus, started_at_ms: int
) -> ServerState:
    """Return whether the language model can be asked, as far as this process or any worker knows.

    Args:
        session: reads only.
        has_key: whether this process has a key.
        circuit: this process's own; those of workers are known by how their calls ended.
        started_at_ms: Unix time; a key that was refused before may have been another one.
    """
    if not has_key:
        return ServerState(KeyState.UNSET, False, None)
    recent = _recent_ends(session, started_at_ms)
    if recent and recent[0].failure == KeyRefused.code:
        return ServerState(KeyState.REFUSED, True, recent[0].detail)
    if circuit.is_open:
        return ServerState(KeyState.SET, True, circuit.reason)
    reason = _reason_to_rest(recent)
    return ServerState(KeyState.SET, reason is not None, reason)


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
    is_paid = call.state.in_((CallState.PAID, CallState.SHARED))
    counts = case(
        (is_paid, func.coalesce(call.cost_micros, 0)),
        (call.state == CallState.FREE, 0),
        else_=call.reserved_micros,
    )

    def how_many(state: CallState) -> ColumnElement[int]:
        return func.sum(case((call.state == state, 1), else_=0))

    columns = (call.utc_day, call.purpose, call.model)
    query = (
        select(
            *columns,
            func.count(),
            func.sum(case((is_paid, 1), else_=0)),
            how_many(CallState.FREE),
            how_many(CallState.UNKNOWN),
            how_many(CallState.RESERVED),
            func.coalesce(func.sum(call.input_tokens), 0),
            func.coalesce(func.sum(call.output_tokens), 0),
            func.sum(counts),
        )
        .where(call.utc_day >= since_day, _of(user_id))
        .group_by(*columns)
        .order_by(call.utc_day.desc(), call.purpose, call.model)
    )
    return [
        Total(day_name(row[0]), row[1], row[2], *(int(number or 0) for number in row[3:]))
        for row in session.execute(query)
    ]


def _of(user_id: int | None) -> ColumnElement[bool]:
    """Return the condition on the calls that a report on a user, or on everybody, counts."""
    if user_id is None:
        # The answers to somebody else's calls cost nobody anything.
        return LanguageModelCall.state != CallState.SHARED
    return LanguageModelCall.user_id == user_id


def _recent_ends(session: Session, since_ms: int) -> list[LanguageModelCall]:
    """Return the newest ended calls that say something about the server, newest first."""
    newest = session.execute(
        select(LanguageModelCall)
        .where(_of(None))
        .order_by(LanguageModelCall.id.desc())
        .limit(LOOKED_AT)
    ).scalars()
    ended = [
        call
        for call in newest
        if call.finished_at_ms is not None
        and call.finished_at_ms >= since_ms
        and call.failure != "worker_lost"
    ]
    return sorted(ended, key=lambda call: (call.finished_at_ms or 0, call.id), reverse=True)


def _reason_to_rest(recent: list[LanguageModelCall]) -> str | None:
    """Return the reason why workers do not ask the server now; None if they do.

    No process sees the breaker of another; five failures in a row of its calls open one.
    """
    if not recent:
        return None
    newest_ms = recent[0].finished_at_ms or 0
    if datetime.now(UTC).timestamp() * 1000 - newest_ms > MAX_PAUSE_S * 1000:
        return None
    is_busy = [call.failure == TooManyRequests.code for call in recent[:FAILURES_ALLOWED]]
    decisive = [call for call in recent if call.failure != TooManyRequests.code]
    is_down = [call.failure in _SERVER_FAILURES for call in decisive[:FAILURES_ALLOWED]]
    is_resting = any(len(ends) == FAILURES_ALLOWED and all(ends) for ends in (is_busy, is_down))
    return recent[0].detail if is_resting else None
