"""Webhooks, and what was sent to them."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma
from marshmallow import validate

from mirada.outgoing.target import MAX_URL_CHARS
from mirada.webhooks.deliveries import DeliveryState, WebhookDelivery
from mirada.webhooks.hooks import Ended, Event, Webhook
from webapp.schemas.replies import ResourceSchema, page_of
from webapp.schemas.switches import SwitchField
from webapp.schemas.texts import STORED

EVENTS = tuple(event.value for event in Event)
WEBHOOK_EXAMPLE = {
    "id": 3,
    "address": "https://hooks.example/mirada",
    "events": ["image.ready", "image.failed"],
    "description": "our shop",
    "is_enabled": True,
    "ended_reason": None,
    "failing_since": None,
    "old_secret_until": None,
    "created_at": "2026-01-02T03:04:05+00:00",
    "url": "/api/v1/webhooks/3",
}
SECRET_EXAMPLE = {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDh4Jz6zFqYxs="}
DELIVERY_EXAMPLE = {
    "id": 12,
    "message_id": "msg_0f5c1e7ab55c6b0a135cec33d00ac9ec",
    "event": "image.ready",
    "data": {"image_id": 17, "status": "READY"},
    "state": "delivered",
    "attempts": 1,
    "status": 204,
    "error": None,
    "took_ms": 41,
    "attempted_at": "2026-01-02T03:04:06+00:00",
    "created_at": "2026-01-02T03:04:05+00:00",
    "url": "/api/v1/webhooks/3/deliveries/12",
}


def _address(**more: Any) -> ma.fields.String:
    return ma.fields.String(
        validate=validate.Length(1, MAX_URL_CHARS),
        metadata={
            "description": "Where messages are sent: http or https, on a public server and the ports 80 "
            "or 443, or one that WEBHOOK_HOSTS names."
        },
        **more,
    )


def _events(**more: Any) -> ma.fields.List:
    return ma.fields.List(
        ma.fields.String(validate=validate.OneOf(EVENTS)),
        validate=validate.Length(1, len(EVENTS)),
        metadata={"description": "What it is told."},
        **more,
    )


def _description(**more: Any) -> ma.fields.String:
    return ma.fields.String(
        allow_none=True,
        validate=validate.Length(max=200),
        metadata={"pattern": STORED, "description": "What you call it."},
        **more,
    )


class NewWebhookSchema(ma.Schema):
    """A new webhook."""

    address = _address(required=True)
    events = _events(required=True)
    description = _description(load_default=None)


class WebhookChangeSchema(ma.Schema):
    """The changes of a webhook; a field left out stays as it is."""

    class Meta:
        """Tell what a field alone cannot."""

        rules: ClassVar = {"minProperties": 1}

    address = _address()
    events = _events()
    description = _description()
    is_enabled = SwitchField(
        metadata={"description": "Switched on again it is told what happens from then on."}
    )

    @ma.validates_schema
    def _something_changes(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ma.ValidationError(
                "Name at least one of address, events, description and is_enabled."
            )


class WebhookSchema(ResourceSchema):
    """A webhook, without its secret."""

    address = ma.fields.String(required=True)
    events = ma.fields.List(ma.fields.String(validate=validate.OneOf(EVENTS)), required=True)
    description = ma.fields.String(required=True, allow_none=True)
    is_enabled = ma.fields.Boolean(required=True)
    ended_reason = ma.fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([reason.value for reason in Ended]),
        metadata={
            "description": "Why it was switched off by itself: its receiver answered 410 (`gone`), or took "
            "nothing for five days (`failing`)."
        },
    )
    failing_since = ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Since when its receiver has taken nothing; null where it does."},
    )
    old_secret_until = ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Until when messages are signed with the old secret as well."},
    )


class WebhookWithSecretSchema(WebhookSchema):
    """A webhook with a secret that was just made."""

    secret = ma.fields.String(
        required=True, metadata={"description": "To check signatures with; shown this once."}
    )


class DeliverySchema(ResourceSchema):
    """One message to a webhook, and what came back."""

    message_id = ma.fields.String(
        required=True, metadata={"description": "The `webhook-id` of every attempt."}
    )
    event = ma.fields.String(required=True, validate=validate.OneOf([*EVENTS, "test"]))
    data = ma.fields.Dict(keys=ma.fields.String(), required=True)
    state = ma.fields.String(
        required=True, validate=validate.OneOf([state.value for state in DeliveryState])
    )
    attempts = ma.fields.Integer(required=True)
    status = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of the last answer."}
    )
    error = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Of the last attempt."}
    )
    took_ms = ma.fields.Integer(required=True, allow_none=True)
    attempted_at = ma.fields.DateTime(required=True, allow_none=True)


WebhookPageSchema = page_of(WebhookSchema, is_terse=True)
DeliveryPageSchema = page_of(DeliverySchema, is_terse=True)


def webhook_body(hook: Webhook, url: str) -> dict[str, Any]:
    """Return the fields for `WebhookSchema`."""
    return {
        "id": hook.id,
        "address": hook.address,
        "events": hook.events.split(),
        "description": hook.description,
        "is_enabled": hook.is_enabled,
        "ended_reason": hook.ended_reason,
        "failing_since": hook.failing_since,
        "old_secret_until": hook.old_secret_until,
        "created_at": hook.created_at,
        "url": url,
    }


def delivery_body(row: WebhookDelivery, url: str) -> dict[str, Any]:
    """Return the fields for `DeliverySchema`."""
    return {
        "id": row.id,
        "message_id": row.message_id,
        "event": row.event,
        "data": row.data,
        "state": row.state,
        "attempts": row.attempts,
        "status": row.status,
        "error": row.error,
        "took_ms": row.took_ms,
        "attempted_at": row.attempted_at,
        "created_at": row.created_at,
        "url": url,
    }
