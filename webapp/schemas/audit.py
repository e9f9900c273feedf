"""Entries of the audit trail."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.kernel.ids import LARGEST_ID
from mirada.people.audit import Action, Entry, Via
from webapp.schemas.filters import MomentField
from webapp.schemas.replies import PageQuerySchema, ReplySchema, page_of

ACTIONS = tuple(str(action) for action in Action)
ENTRY_EXAMPLE = {
    "id": 91,
    "created_at": "2026-01-02T03:04:05+00:00",
    "action": "image.hide",
    "kind": "image",
    "subject_id": 17,
    "owner_id": 7,
    "owner": "ana",
    "user_id": 2,
    "user": "boss",
    "role": "administrator",
    "via": "session",
    "key_id": 5,
    "detail": {},
}
OWN_EXAMPLE = ENTRY_EXAMPLE | {"user_id": None, "user": None, "via": None, "key_id": None}


class MyAuditQuerySchema(PageQuerySchema):
    """The page of entries, and which."""

    action = ma.fields.List(
        ma.fields.String(validate=validate.OneOf(ACTIONS)),
        load_default=[],
        metadata={"description": "Only these; repeat for several."},
    )
    since = MomentField(
        load_default=None,
        metadata={"description": "Done then or later; a date is its first moment, in UTC."},
    )
    until = MomentField(load_default=None, metadata={"description": "Done before that."})


class AuditQuerySchema(MyAuditQuerySchema):
    """The page of entries, and which."""

    user = ma.fields.Integer(
        load_default=None,
        validate=validate.Range(1, LARGEST_ID),
        metadata={"description": "By this user, or about what is theirs."},
    )


class AuditEntrySchema(ReplySchema):
    """One act."""

    id = ma.fields.Integer(required=True)
    created_at = ma.fields.DateTime(required=True)
    action = ma.fields.String(
        required=True, metadata={"description": "What was done: one of the values of `action`."}
    )
    kind = ma.fields.String(
        required=True, metadata={"description": "To what kind of thing: before the point."}
    )
    subject_id = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "To which one."}
    )
    owner_id = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "Whose it is; null for nobody's."}
    )
    owner = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Their name; null once they were ended."},
    )
    user_id = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "Who did it; null for the command line and the server. Of others only "
            "administrators are told."
        },
    )
    user = ma.fields.String(required=True, allow_none=True)
    role = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "What they acted as."}
    )
    via = ma.fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([str(via) for via in Via]),
        metadata={"description": "How they came in; of others only administrators are told."},
    )
    key_id = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The key that they called with, or that opened their session."},
    )
    detail = ma.fields.Dict(
        keys=ma.fields.String(),
        required=True,
        metadata={"description": "A few facts, by name: text, numbers, true, false, null."},
    )


AuditPageSchema = page_of(AuditEntrySchema, is_terse=True)


def entry_body(entry: Entry) -> dict[str, Any]:
    """Return the fields for `AuditEntrySchema`."""
    return {name: getattr(entry, name) for name in ENTRY_EXAMPLE}
