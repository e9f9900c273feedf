"""The days and months of an address, as the moments that they mean."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask_babel import to_utc


def between(fields: Mapping[str, Any]) -> dict[str, datetime]:
    """Return the conditions on time: all of those that days, month and moments of the address mean."""
    month = _of_month(fields["month"])
    after = [fields.get("created_after"), month.get("created_after")]
    before = [fields.get("created_before"), month.get("created_before")]
    if fields["first_day"] is not None:
        after.append(_begin(fields["first_day"]))
    if fields["last_day"] is not None and fields["last_day"] < date.max:
        before.append(_begin(fields["last_day"] + timedelta(days=1)))
    times = {
        "created_after": max(filter(None, after), default=None),
        "created_before": min(filter(None, before), default=None),
    }
    return {name: moment for name, moment in times.items() if moment is not None}


def _begin(day: date) -> datetime:
    """Return the moment at which a day begins by the browser's clock."""
    begin = datetime.combine(day, time.min)
    # The first and the last days of all would be of other years in UTC.
    is_far = day.year in (1, date.max.year)
    return (begin if is_far else to_utc(begin)).replace(tzinfo=UTC)


def _of_month(month: str | None) -> dict[str, datetime]:
    """Return the conditions that a month such as 2026-01 stands for."""
    if month is None:
        return {}
    year, number = map(int, month.split("-"))
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return {
        "created_after": datetime(year, number, 1, tzinfo=UTC),
        "created_before": datetime(*following, 1, tzinfo=UTC),
    }
