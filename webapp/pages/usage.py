"""Usage: what language models were asked for, what it cost, and what is left of today's budget."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from flask import Blueprint, Response
from flask_babel import gettext, lazy_gettext

from mirada.language_model import series, server_state, usage
from mirada.language_model.series import By, Series, Step
from mirada.language_model.usage import Account
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.pages import charts
from webapp.pages.shell import page

HERE = "pages.usage"
MICROS = 1_000_000
PURPOSES = {
    "caption": lazy_gettext("Describing pictures"),
    "expansion": lazy_gettext("Describing labels"),
    "caption_embedding": lazy_gettext("Reading texts"),
    "generation": lazy_gettext("Drawing pictures"),
}
KEYS = {
    "unset": lazy_gettext(
        "No language model is set up: nothing is asked of one, and nothing is spent."
    ),
    "refused": lazy_gettext("The model server refuses the key: set another one."),
}


@dataclass(frozen=True, slots=True)
class Purpose:
    """One use of language models over the days."""

    title: str
    calls: int


def register(blueprint: Blueprint) -> None:
    """Add the page."""
    blueprint.add_url_rule("/usage", "usage", show)


def show() -> Response:
    """The caller's own; an administrator sees everybody's."""
    user, runtime = require_user(), current_runtime()
    user_id = None if current_caller().is_administrator else user.id
    with runtime.reading() as session:
        today = series.today(session)
        first = today - timedelta(days=series.USUAL_DAYS - 1)
        over_time = series.usage_series(session, user_id, first, today, step=Step.DAY, by=By.KIND)
        found = usage.read_usage(session, user_id, runtime.budgets, days=1, limit=0)
    state = server_state.language_model_state(runtime)
    return page(
        "usage.html",
        title=gettext("Usage"),
        here=HERE,
        is_everybody=user_id is None,
        state=KEYS.get(str(state.key)),
        resting=state.reason if state.is_resting else None,
        usage=found,
        money=_money(found.account),
        purposes=_purposes(over_time),
        bars=charts.bars([micros / MICROS for micros in over_time.cost_micros]),
        chart=charts,
        costs=_costs(over_time),
        whole_usd=sum(over_time.cost_micros) / MICROS,
    )


def _money(account: Account) -> dict[str, float | None]:
    """Return the budget of today in dollars."""
    named = {
        "budget": account.budget_micros,
        "spent": account.spent_micros,
        "left": account.left_micros,
    }
    return {name: None if micros is None else micros / MICROS for name, micros in named.items()}


def _purposes(over_time: Series) -> list[Purpose]:
    found = [
        Purpose(str(PURPOSES.get(name, name)), sum(counts))
        for name, counts in over_time.calls.items()
    ]
    return sorted(found, key=lambda each: -each.calls)


def _costs(over_time: Series) -> list[tuple[date, int, float]]:
    """Return day, calls and dollars of the days with a call, the newest first."""
    calls = [sum(counts) for counts in zip(*over_time.calls.values(), strict=True)]
    rows = zip(over_time.days, calls, over_time.cost_micros, strict=False)
    return [(day, count, micros / MICROS) for day, count, micros in rows if count][::-1]
