"""Calls that several ask for: one is paid, and the others are counted as if they were paid too.

Never commits; see `mirada.language_model.spending`.
"""

from __future__ import annotations

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from mirada.db.models import Job, JobState
from mirada.db.session import now_ms
from mirada.db.spending_models import CallState, LanguageModelCall
from mirada.kernel.prices import Budgets, TokenBound
from mirada.language_model.spending import (
    DAY_MS,
    Order,
    add_to_day,
    new_call,
    require_room,
)


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
    require_room(session, order, most, budgets, now)
    paid = session.execute(
        select(LanguageModelCall)
        .where(*same, LanguageModelCall.state == CallState.PAID)
        .order_by(LanguageModelCall.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    call = new_call(order, model, most, now)
    call.state, call.finished_at_ms = CallState.SHARED, now
    call.cost_micros = most if budgets.prices.of(model) is not None else None
    if paid is not None:
        call.cost_micros = paid.cost_micros
        call.input_tokens, call.output_tokens = paid.input_tokens, paid.output_tokens
        call.failure, call.detail = paid.failure, paid.detail
        call.created_at_ms = now - ((paid.finished_at_ms or now) - paid.created_at_ms)
    session.add(call)
    session.flush()
    add_to_day(session, now // DAY_MS, order.user_id, call.cost_micros or 0)
