"""API keys, and requests for new ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.people.access import LONGEST_GRACE, KeyState, Scope, Scopes, key_state, scopes_from_text
from mirada.people.identity import Key
from mirada.people.keys import NewKey
from webapp.schemas.numbers import WholeField
from webapp.schemas.replies import ResourceSchema, page_of

SCOPE_NAMES = tuple(scope.value for scope in Scope)
KEY_EXAMPLE = {
    "id": 3,
    "prefix": "mrd_1a2b3c4d",
    "name": "shop",
    "scopes": ["read"],
    "state": "in_force",
    "created_at": "2026-01-02T03:04:05+00:00",
    "expires_at": "2027-01-02T03:04:05+00:00",
    "last_used_at": None,
    "revoked_at": None,
}
MY_KEY_EXAMPLE = KEY_EXAMPLE | {"url": "/api/v1/users/me/keys/3"}
USER_KEY_EXAMPLE = KEY_EXAMPLE | {"url": "/api/v1/users/7/keys/3"}
SHOWN_ONCE = {"key": "mrd_1a2b3c4d_oWZ3zJm0o3m6XbF4Qy1c8hN2sV5tKpRaLdEuGiYxT7w"}
NEW_KEY_EXAMPLE = {"name": "shop", "scopes": ["read"], "expires_at": "2027-01-02T03:04:05Z"}


class KeySchema(ResourceSchema):
    """A key, without itself: only its hash is kept."""

    prefix = ma.fields.String(
        required=True, metadata={"description": "How it begins, to tell it from others."}
    )
    name = ma.fields.String(required=True, allow_none=True)
    scopes = ma.fields.List(
        ma.fields.String(validate=validate.OneOf(SCOPE_NAMES)),
        required=True,
        allow_none=True,
        metadata={"description": "null: all that its owner may."},
    )
    state = ma.fields.String(
        required=True, validate=validate.OneOf([state.value for state in KeyState])
    )
    expires_at = ma.fields.DateTime(required=True, allow_none=True)
    last_used_at = ma.fields.DateTime(
        required=True, allow_none=True, metadata={"description": "To about a minute."}
    )
    revoked_at = ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "A time to come for a rotated key in its grace period."},
    )


class IssuedKeySchema(KeySchema):
    """A key that was just made."""

    key = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The key itself, this once. null in the reply to a repeated request: if "
            "the first reply was lost, rotate the key."
        },
    )


KeyPageSchema = page_of(KeySchema, is_terse=True)


class NewKeySchema(ma.Schema):
    """A new key. It can never do more, or live longer, than the key that makes it."""

    name = ma.fields.String(
        load_default=None, allow_none=True, validate=validate.Length(min=1, max=100)
    )
    scopes = ma.fields.List(
        ma.fields.String(validate=validate.OneOf(SCOPE_NAMES)),
        load_default=None,
        allow_none=True,
        validate=validate.Length(min=1, max=len(SCOPE_NAMES)),
        metadata={"description": "Left out or null: all that the owner may."},
    )
    expires_at = ma.fields.AwareDateTime(
        load_default=None,
        allow_none=True,
        metadata={"description": "With its time zone; left out or null: never."},
    )


class RotationSchema(ma.Schema):
    """The rotation of a key."""

    grace_s = WholeField(
        load_default=0,
        validate=validate.Range(0, int(LONGEST_GRACE.total_seconds())),
        metadata={"description": "Seconds for which the old key stays valid; 0 voids it at once."},
    )


def key_body(key: Key, url: str) -> dict[str, Any]:
    """Return the fields for `KeySchema`."""
    return {
        "id": key.id,
        "prefix": key.prefix,
        "name": key.name,
        "scopes": scope_names(scopes_from_text(key.scopes)),
        "state": key_state(key.expires_at, key.revoked_at, datetime.now(UTC)).value,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
        "url": url,
    }


def issued_key_body(new: NewKey, url: str) -> dict[str, Any]:
    """Return the fields for `IssuedKeySchema`."""
    return key_body(new.row, url) | {"key": new.key}


def scope_names(scopes: Scopes | None) -> list[str] | None:
    """Return scopes as replies list them, in their order."""
    return None if scopes is None else [scope.value for scope in Scope if scope in scopes]
