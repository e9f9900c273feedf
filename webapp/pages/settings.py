"""Settings: wishes, who one is, keys, costs, the lists in force; users, for administrators."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext

from mirada.classify.label_set import LABELS
from mirada.kernel.prices import usd
from mirada.language_model import usage
from mirada.memory.styles import STYLES
from mirada.people import keys, users
from mirada.people.access import OF_EVERYBODY, KeyState, Scope, key_state, scopes_from_text
from mirada.people.identity import Key, Person
from mirada.pictures import quota
from mirada.suggestions.recent import recent_searches
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.paging import cursor_after, row_id_of
from webapp.pages import audit, settings_acts, settings_lists, settings_people, webhooks
from webapp.pages.shell import page
from webapp.pages.wishes import density

KEYS, USERS = 50, 50
"""Of one page, the newest."""
USAGE_DAYS = 30
STATES = {
    KeyState.IN_FORCE: lazy_gettext("in force"),
    KeyState.EXPIRED: lazy_gettext("expired"),
    KeyState.REVOKED: lazy_gettext("revoked"),
}
SCOPES = {
    Scope.READ: lazy_gettext("read"),
    Scope.WRITE: lazy_gettext("change"),
    Scope.ADMIN: lazy_gettext("act as an administrator"),
    Scope.METRICS: lazy_gettext("read metrics"),
    Scope.ACT_FOR: lazy_gettext("act for people of the product"),
}
"""What a key may do, in words."""


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key as the page shows it, without itself.

    Attributes:
        may: what it may do, in words; empty for all that its owner may.
        is_in_force: whether it counts now.
        is_this_one: whether the page was asked for with it.
    """

    key: Key
    state: Any
    may: Sequence[Any]
    is_in_force: bool
    is_this_one: bool


@dataclass(frozen=True, slots=True)
class Spending:
    """What language models cost somebody, in dollars.

    Attributes:
        spent: today, UTC.
        budget: of a day; None without a limit.
        month: of the last USAGE_DAYS.
        calls: in the same time.
    """

    spent: float
    budget: float | None
    month: float
    calls: int


def register(blueprint: Blueprint) -> None:
    """Add the page, and what its forms do."""
    blueprint.get("/settings")(settings)
    settings_acts.register(blueprint)
    settings_lists.register(blueprint)
    settings_people.register(blueprint)
    audit.register(blueprint)
    webhooks.register(blueprint)


def settings() -> Response:
    """Everything of the caller's that may be set, and what an administrator sets."""
    user, caller, runtime = require_user(), current_caller(), current_runtime()
    with runtime.reading() as session:
        own = keys.list_keys(session, user.id, limit=KEYS)
        labels, styles = LABELS.in_force(session), STYLES.in_force(session)
        searched = recent_searches(session, user.id)
        kept = quota.kept_by(session, user.id, quota.of_everybody(runtime.settings))
    allowed = OF_EVERYBODY if not caller.is_administrator else frozenset(Scope)
    if caller.scopes is not None:
        allowed &= caller.scopes
    return page(
        "settings.html",
        title=gettext("Settings"),
        here="pages.settings",
        user=user,
        kept=kept,
        density=density(),
        keys=[_shown(key) for key in own],
        scopes=[(scope, SCOPES[scope]) for scope in Scope if scope in allowed],
        may_have_keys=user.external_id is None,
        spending=_spending(user.id),
        labels=labels,
        styles=styles,
        recent=searched,
        users=_users() if caller.is_administrator else None,
        once=secrets.token_urlsafe,
    )


def _shown(key: Key) -> ShownKey:
    own, scopes = current_caller().key, scopes_from_text(key.scopes)
    state = key_state(key.expires_at, key.revoked_at, datetime.now(UTC))
    may = [] if scopes is None else [SCOPES[scope] for scope in Scope if scope in scopes]
    is_this_one = own is not None and own.id == key.id
    return ShownKey(key, STATES[state], may, state is KeyState.IN_FORCE, is_this_one)


def _spending(user_id: int) -> Spending:
    runtime = current_runtime()
    with runtime.reading() as session:
        found = usage.read_usage(session, user_id, runtime.budgets, days=USAGE_DAYS, limit=0)
    budget = found.account.budget_micros
    return Spending(
        usd(found.account.spent_micros),
        None if budget is None else usd(budget),
        usd(sum(total.cost_micros for total in found.totals)),
        sum(total.calls for total in found.totals),
    )


def _users() -> tuple[list[Person], str | None]:
    """Return one page of users, newest first, and the address of the next page."""
    after = row_id_of(request.args.get("users"))
    with current_runtime().reading() as session:
        found = users.list_users(session, cursor=after, limit=USERS + 1)
    shown = found[:USERS]
    if len(found) <= USERS:
        return shown, None
    return shown, url_for("pages.settings", users=cursor_after(shown[-1].id), _anchor="users")
