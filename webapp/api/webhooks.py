"""Webhooks: a user's own, their log, and sending again."""

from __future__ import annotations

from typing import Any

from flask import url_for

from mirada.webhooks import deliveries, hooks
from mirada.webhooks.telling import DELIVER_WEBHOOK
from webapp.api.users import NOT_KEPT
from webapp.callers.auth import require_user
from webapp.http.creations import made
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.webhooks import (
    DELIVERY_EXAMPLE,
    SECRET_EXAMPLE,
    WEBHOOK_EXAMPLE,
    DeliveryPageSchema,
    DeliverySchema,
    NewWebhookSchema,
    WebhookChangeSchema,
    WebhookPageSchema,
    WebhookSchema,
    WebhookWithSecretSchema,
    delivery_body,
    webhook_body,
)

blueprint = ApiBlueprint(
    "webhooks",
    __name__,
    url_prefix="/api/v1/webhooks",
    description="Servers of yours that are told what happens to your images and jobs",
)
LOCATION = {"Location": header("Where it is.")}
QUEUED_EXAMPLE = DELIVERY_EXAMPLE | {
    "event": "test",
    "data": {},
    "state": "waiting",
    "attempts": 0,
    "status": None,
    "took_ms": None,
    "attempted_at": None,
}


@blueprint.get("")
@blueprint.pages(
    "listWebhooks", "List your webhooks, newest first", WebhookPageSchema, example=WEBHOOK_EXAMPLE
)
def list_webhooks(query: PageQuery) -> Listed[Any]:
    """`ended_reason` says why one was switched off by itself. Their secrets are nowhere."""
    user = require_user()
    with current_runtime().reading() as session:
        return Listed(
            hooks.list_webhooks(session, user.id, **query.bounds),
            lambda hook: webhook_body(hook, _url(hook.id)),
        )


@blueprint.post("")
@blueprint.operation("createWebhook", "Make a webhook", refusals=(400, 403, 409, 415, 422))
@blueprint.arguments(
    NewWebhookSchema,
    example={"address": "https://hooks.example/mirada", "events": ["image.ready", "image.failed"]},
)
@blueprint.response(
    201, WebhookWithSecretSchema, example=WEBHOOK_EXAMPLE | SECRET_EXAMPLE, headers=LOCATION
)
def create_webhook(fields: dict[str, Any]) -> Any:
    """It is told what happens to the caller's own images and jobs from now on; 20 are the most.

    Messages have ids, states and addresses, and no pictures and texts. They are signed as Standard
    Webhooks says, with the `secret` that this reply alone shows.
    """
    user = require_user()
    with current_runtime().transaction() as session:
        hook = hooks.make_webhook(
            session,
            user.id,
            address=fields["address"],
            events=fields["events"],
            description=fields["description"],
        )
        body = webhook_body(hook, _url(hook.id)) | {"secret": hook.secret}
    return made(body, NOT_KEPT, was_replayed=False)


@blueprint.get("/<id:webhook_id>")
@blueprint.operation("getWebhook", "Read a webhook", refusals=(404,))
@blueprint.response(200, WebhookSchema, example=WEBHOOK_EXAMPLE)
def get_webhook(webhook_id: int) -> Any:
    """`failing_since` says since when its receiver has taken nothing."""
    user = require_user()
    with current_runtime().reading() as session:
        return webhook_body(hooks.get_webhook(session, user.id, webhook_id), _url(webhook_id))


@blueprint.patch("/<id:webhook_id>")
@blueprint.operation(
    "changeWebhook", "Change a webhook, or switch it off or on", refusals=(400, 403, 404, 415, 422)
)
@blueprint.arguments(WebhookChangeSchema, example={"is_enabled": False})
@blueprint.response(200, WebhookSchema, example=WEBHOOK_EXAMPLE | {"is_enabled": False})
def change_webhook(changes: dict[str, Any], webhook_id: int) -> Any:
    """What waits for one that is switched off is not sent."""
    user = require_user()
    with current_runtime().transaction() as session:
        hook = hooks.change_webhook(session, user.id, webhook_id, changes)
        return webhook_body(hook, _url(webhook_id))


@blueprint.delete("/<id:webhook_id>")
@blueprint.operation("deleteWebhook", "Delete a webhook with its log", refusals=(403, 404))
@blueprint.response(204, description="It is told nothing any more.")
def delete_webhook(webhook_id: int) -> None:
    """What was still on its way is not sent."""
    user = require_user()
    with current_runtime().transaction() as session:
        hooks.delete_webhook(session, user.id, webhook_id)


@blueprint.post("/<id:webhook_id>/secret")
@blueprint.operation("renewWebhookSecret", "Give a webhook another secret", refusals=(403, 404))
@blueprint.response(
    200,
    WebhookWithSecretSchema,
    example=WEBHOOK_EXAMPLE | SECRET_EXAMPLE | {"old_secret_until": "2026-01-03T03:04:05+00:00"},
)
def renew_webhook_secret(webhook_id: int) -> Any:
    """For a day messages have two signatures, the new secret's and the old one's."""
    user = require_user()
    with current_runtime().transaction() as session:
        hook = hooks.new_secret_for(session, user.id, webhook_id)
        body = webhook_body(hook, _url(webhook_id)) | {"secret": hook.secret}
    return body, 200, NOT_KEPT


@blueprint.post("/<id:webhook_id>/test")
@blueprint.operation("testWebhook", "Send a message that says nothing", refusals=(403, 404, 409))
@blueprint.response(202, DeliverySchema, example=QUEUED_EXAMPLE, headers=LOCATION)
def test_webhook(webhook_id: int) -> Any:
    """A worker sends it, signed as all others; its address says what came back."""
    user = require_user()
    with current_runtime().transaction() as session:
        row, job_id = deliveries.send_test(session, user.id, webhook_id)
        body = delivery_body(row, _delivery_url(webhook_id, row.id))
    return _queued(body, job_id)


@blueprint.get("/<id:webhook_id>/deliveries")
@blueprint.pages(
    "listWebhookDeliveries",
    "List what was sent to a webhook, newest first",
    DeliveryPageSchema,
    example=DELIVERY_EXAMPLE,
    refusals=(404,),
)
def list_webhook_deliveries(query: PageQuery, webhook_id: int) -> Listed[Any]:
    """Of the last 30 days. `failed` was tried for about 22 hours, `cancelled` when it was switched off."""
    user = require_user()
    with current_runtime().reading() as session:
        return Listed(
            deliveries.list_deliveries(session, user.id, webhook_id, **query.bounds),
            lambda row: delivery_body(row, _delivery_url(webhook_id, row.id)),
        )


@blueprint.get("/<id:webhook_id>/deliveries/<id:delivery_id>")
@blueprint.operation("getWebhookDelivery", "Read what came of one message", refusals=(404,))
@blueprint.response(200, DeliverySchema, example=DELIVERY_EXAMPLE)
def get_webhook_delivery(webhook_id: int, delivery_id: int) -> Any:
    """`status` and `error` are of the last attempt."""
    user = require_user()
    with current_runtime().reading() as session:
        row = deliveries.get_delivery(session, user.id, webhook_id, delivery_id)
        return delivery_body(row, _delivery_url(webhook_id, delivery_id))


@blueprint.post("/<id:webhook_id>/deliveries/<id:delivery_id>/replay")
@blueprint.operation("replayWebhookDelivery", "Send a message again", refusals=(403, 404, 409))
@blueprint.response(202, DeliverySchema, example=QUEUED_EXAMPLE, headers=LOCATION)
def replay_webhook_delivery(webhook_id: int, delivery_id: int) -> Any:
    """Under the `webhook-id` that it had, by which receivers know that they have seen it."""
    user = require_user()
    with current_runtime().transaction() as session:
        row, job_id = deliveries.replay(session, user.id, webhook_id, delivery_id)
        body = delivery_body(row, _delivery_url(webhook_id, delivery_id))
    return _queued(body, job_id)


def _queued(body: dict[str, Any], job_id: int) -> Any:
    current_runtime().doorbell.ring(job_id, DELIVER_WEBHOOK)
    return made(body, was_replayed=False, status=202)


def _url(webhook_id: int) -> str:
    return url_for("webhooks.get_webhook", webhook_id=webhook_id)


def _delivery_url(webhook_id: int, delivery_id: int) -> str:
    return url_for("webhooks.get_webhook_delivery", webhook_id=webhook_id, delivery_id=delivery_id)
