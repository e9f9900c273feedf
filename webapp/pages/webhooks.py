"""Webhooks in Settings: list, make, change, try, switch, secret, and the log with replay, without a script.

A secret is in the reply that makes it, and nowhere else. A refused form is shown again as it was typed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext, lazy_gettext

from mirada.kernel.errors import Conflict, InvalidInput
from mirada.webhooks import deliveries, hooks
from mirada.webhooks.deliveries import DeliveryState
from mirada.webhooks.hooks import Ended, Event, Webhook
from mirada.webhooks.telling import DELIVER_WEBHOOK
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.http.paging import cursor_after, row_id_of
from webapp.pages.shell import page

DELIVERIES = 20
"""Of one page of the log."""
EVENTS: Mapping[str, Any] = {
    Event.IMAGE_READY: lazy_gettext("a picture can be found"),
    Event.IMAGE_FAILED: lazy_gettext("a picture could not be understood"),
    Event.IMAGE_DELETED: lazy_gettext("a picture was deleted"),
    Event.JOB_ENDED: lazy_gettext("a job has ended"),
    Event.BUDGET_REACHED: lazy_gettext("the day's money is spent"),
    deliveries.TEST: lazy_gettext("a test"),
}
STATES: Mapping[str, Any] = {
    DeliveryState.WAITING: lazy_gettext("on its way"),
    DeliveryState.DELIVERED: lazy_gettext("taken"),
    DeliveryState.FAILED: lazy_gettext("given up"),
    DeliveryState.CANCELLED: lazy_gettext("not sent: it was switched off"),
}
ENDED: Mapping[str, Any] = {
    Ended.GONE: lazy_gettext("Its server said that it wants no more (410)."),
    Ended.FAILING: lazy_gettext("Its server took nothing for five days."),
}
DONE: Mapping[str, Any] = {
    "saved": lazy_gettext("Saved."),
    "tested": lazy_gettext("A test is on its way. Load the page again to see what came back."),
    "again": lazy_gettext("It is on its way again. Load the page again to see what came back."),
    "on": lazy_gettext("Switched on. What happened meanwhile is not told."),
    "off": lazy_gettext("Switched off. What was on its way is not sent."),
    "deleted": lazy_gettext("Deleted."),
}
ADDRESS_RULE = lazy_gettext(
    "http or https, on a public server and the ports 80 or 443; the operator may permit others."
)


def register(blueprint: Blueprint) -> None:
    """Add the pages, and what their forms do."""
    one = "/settings/webhooks/<id:webhook_id>"
    blueprint.get("/settings/webhooks", endpoint="webhooks")(show)
    blueprint.post("/settings/webhooks", endpoint="make_webhook")(make)
    blueprint.get(one, endpoint="webhook")(show_one)
    blueprint.post(one, endpoint="change_webhook")(change)
    blueprint.post(f"{one}/switch", endpoint="switch_webhook")(switch)
    blueprint.post(f"{one}/test", endpoint="test_webhook")(test)
    blueprint.post(f"{one}/secret", endpoint="renew_webhook_secret")(renew_secret)
    blueprint.get(f"{one}/delete", endpoint="ask_to_delete_webhook")(ask_to_delete)
    blueprint.post(f"{one}/delete", endpoint="delete_webhook")(delete)
    blueprint.post(f"{one}/deliveries/<id:delivery_id>/replay", endpoint="replay_delivery")(replay)


def show() -> Response:
    """One's webhooks, and the form of a new one."""
    return _list({})


def make() -> Any:
    """Make a webhook, and show its secret, this once."""
    user = require_user()
    try:
        with current_runtime().transaction() as session:
            made = hooks.make_webhook_once(
                session,
                user.id,
                request.form.get("once") or None,
                address=request.form.get("address", "").strip(),
                events=request.form.getlist("events"),
                description=_description(),
            )
    except InvalidInput as error:
        return _list(error.fields or {"": [error.detail]}, 422)
    except Conflict as error:
        return _list({"": [error.detail]}, 409)
    return _with_secret(made.hook, 201, is_new=True, was_replayed=made.was_replayed)


def show_one(webhook_id: int) -> Response:
    """A webhook: what it is told, whether it is on, and what was sent to it."""
    return _one(webhook_id, {})


def change(webhook_id: int) -> Any:
    """Change the address, the events or the description."""
    user = require_user()
    changes = {
        "address": request.form.get("address", "").strip(),
        "events": request.form.getlist("events"),
        "description": _description(),
    }
    try:
        with current_runtime().transaction() as session:
            hooks.change_webhook(session, user.id, webhook_id, changes)
    except InvalidInput as error:
        return _one(webhook_id, error.fields or {"": [error.detail]}, 422)
    return _back(webhook_id, "saved")


def switch(webhook_id: int) -> Any:
    """Switch a webhook on or off."""
    user, is_on = require_user(), request.form.get("on") == "1"
    with current_runtime().transaction() as session:
        hooks.change_webhook(session, user.id, webhook_id, {"is_enabled": is_on})
    return _back(webhook_id, "on" if is_on else "off")


def test(webhook_id: int) -> Any:
    """Send a message that says nothing."""
    user, runtime = require_user(), current_runtime()
    with runtime.transaction() as session:
        _, job_id = deliveries.send_test(session, user.id, webhook_id)
    runtime.doorbell.ring(job_id, DELIVER_WEBHOOK)
    return _back(webhook_id, "tested")


def replay(webhook_id: int, delivery_id: int) -> Any:
    """Send a message again."""
    user, runtime = require_user(), current_runtime()
    with runtime.transaction() as session:
        _, job_id = deliveries.replay(session, user.id, webhook_id, delivery_id)
    runtime.doorbell.ring(job_id, DELIVER_WEBHOOK)
    return _back(webhook_id, "again")


def renew_secret(webhook_id: int) -> Any:
    """Give a webhook another secret, and show it, this once."""
    user = require_user()
    with current_runtime().transaction() as session:
        hook = hooks.new_secret_for(session, user.id, webhook_id)
    return _with_secret(hook, 200)


def ask_to_delete(webhook_id: int) -> Response:
    """Ask whether a webhook is to go with its log."""
    user = require_user()
    with current_runtime().reading() as session:
        hook = hooks.get_webhook(session, user.id, webhook_id)
    title = gettext("Delete a webhook")
    return page("webhook_sure.html", title=title, here="pages.settings", hook=hook)


def delete(webhook_id: int) -> Any:
    """Delete a webhook with its log."""
    user = require_user()
    with current_runtime().transaction() as session:
        hooks.delete_webhook(session, user.id, webhook_id)
    return redirect(url_for("pages.webhooks", done="deleted"), 303)


def _list(faults: Mapping[str, Sequence[str]], status: int = 200) -> Response:
    user = require_user()
    with current_runtime().reading() as session:
        found = hooks.list_webhooks(session, user.id)
    reply = page(
        "webhooks.html",
        title=gettext("Webhooks"),
        here="pages.settings",
        found=found,
        most=hooks.MOST,
        once=request.form.get("once") or secrets.token_urlsafe(16),
        **_form(faults, None),
    )
    reply.status_code = status
    return reply


def _one(webhook_id: int, faults: Mapping[str, Sequence[str]], status: int = 200) -> Response:
    user = require_user()
    with current_runtime().reading() as session:
        hook = hooks.get_webhook(session, user.id, webhook_id)
        sent = deliveries.list_deliveries(
            session,
            user.id,
            webhook_id,
            cursor=row_id_of(request.args.get("cursor")),
            limit=DELIVERIES + 1,
        )
    following = None
    if len(sent) > DELIVERIES:
        cursor = cursor_after(sent[DELIVERIES - 1].id)
        following = url_for("pages.webhook", webhook_id=hook.id, cursor=cursor, _anchor="log")
    reply = page(
        "webhook.html",
        title=gettext("Webhook"),
        here="pages.settings",
        hook=hook,
        sent=sent[:DELIVERIES],
        following=following,
        states=STATES,
        ended=ENDED,
        **_form(faults, hook),
    )
    reply.status_code = status
    return reply


def _form(faults: Mapping[str, Sequence[str]], hook: Webhook | None) -> dict[str, Any]:
    """Return what the template of a form needs: as it was typed, else as the webhook is."""
    if faults:
        address, told = request.form.get("address", ""), request.form.getlist("events")
        description = request.form.get("description", "")
    elif hook is not None:
        address, told, description = hook.address, hook.events.split(), hook.description or ""
    else:
        address, told, description = "", [str(Event.IMAGE_READY), str(Event.IMAGE_FAILED)], ""
    return {
        "typed": {"address": address, "events": told, "description": description},
        "faults": {name: " ".join(reasons) for name, reasons in faults.items()},
        "address_rule": ADDRESS_RULE,
        "events": {str(event): EVENTS[event] for event in Event},
        "event_words": EVENTS,
        "done": DONE.get(request.args.get("done", "")),
    }


def _description() -> str | None:
    return request.form.get("description", "").strip() or None


def _with_secret(
    hook: Webhook, status: int, *, is_new: bool = False, was_replayed: bool = False
) -> Response:
    reply = page(
        "webhook_secret.html",
        title=gettext("A new webhook") if is_new else gettext("Another secret"),
        here="pages.settings",
        hook=hook,
        secret=None if was_replayed else hook.secret,
    )
    reply.status_code = status
    reply.headers["Cache-Control"] = "no-store"
    return reply


def _back(webhook_id: int, done: str) -> Any:
    return redirect(url_for("pages.webhook", webhook_id=webhook_id, done=done), 303)
