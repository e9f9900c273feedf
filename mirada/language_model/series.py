"""Usage of language models over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.db.session import now_ms
from mirada.db.spending_models import LanguageModelCall
from mirada.language_model.spending import DAY_MS
from mirada.language_model.usage import COUNTED_MICROS, of_user

EPOCH = date(1970, 1, 1)
USUAL_DAYS = 30


class Step(StrEnum):
    """The length of a point of the series."""

    DAY = "day"
    MONTH = "month"


class By(StrEnum):
    """The parts that calls are counted in."""

    KIND = "kind"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Series:
    """Calls over time; all lists are as long as `days`.

    Attributes:
        days: first days of the steps, in order; also those without a call.
        calls: how many calls there were, by kind or model.
        cost_micros: what they count with, in millionths of a dollar.
    """

    days: list[date]
    calls: dict[str, list[int]]
    cost_micros: list[int]


def today(session: Session) -> date:
    """Return the day by the database's clock, UTC."""
    return EPOCH + timedelta(days=int(session.execute(select(now_ms())).scalar_one()) // DAY_MS)


def usage_series(
    session: Session, user_id: int | None, first: date, last: date, *, step: Step, by: By
) -> Series:
    """Return the calls of one user, or of everybody, from one day to another, both included.

    Args:
        session: reads only.
        user_id: None for everybody's, which administrators alone are told.
        first: UTC.
        last: UTC, not before `first`.
        step: how long each point is; a first or last month counts as far as it is asked for.
        by: what calls are counted by.
    """
    column = LanguageModelCall.purpose if by is By.KIND else LanguageModelCall.model
    rows = session.execute(
        select(LanguageModelCall.utc_day, column, func.count(), func.sum(COUNTED_MICROS))
        .where(
            LanguageModelCall.utc_day >= (first - EPOCH).days,
            LanguageModelCall.utc_day <= (last - EPOCH).days,
            of_user(user_id),
        )
        .group_by(LanguageModelCall.utc_day, column)
        .order_by(column)
    )
    all_days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    days = list(dict.fromkeys(_begin(day, step) for day in all_days))
    place = {day: n for n, day in enumerate(days)}
    calls: dict[str, list[int]] = {}
    cost = [0] * len(days)
    for utc_day, name, count, micros in rows:
        at = place[_begin(EPOCH + timedelta(days=utc_day), step)]
        calls.setdefault(name, [0] * len(days))[at] += int(count)
        cost[at] += int(micros or 0)
    return Series(days, calls, cost)


def _begin(day: date, step: Step) -> date:
    return day if step is Step.DAY else day.replace(day=1)
