"""Users."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.people.identity import Person
from mirada.people.preferences import CHOICES, Preferences
from mirada.pictures.quota import MOST, Kept
from webapp.schemas.keys import IssuedKeySchema, NewKeySchema
from webapp.schemas.replies import ResourceSchema, page_of

ROLES = ("user", "administrator")
USER_EXAMPLE = {
    "id": 7,
    "username": "ana",
    "role": "user",
    "external_id": None,
    "created_at": "2026-01-02T03:04:05+00:00",
    "url": "/api/v1/users/7",
}
ME_EXAMPLE = USER_EXAMPLE | {"locale": "pt", "theme": "dark", "density": None}


STORAGE_EXAMPLE = {
    "images": 1200,
    "bytes": 734003200,
    "most_images": 5000,
    "most_bytes": None,
    "own_quota_images": 5000,
    "own_quota_bytes": None,
}


def _limit(description: str) -> ma.fields.Integer:
    return ma.fields.Integer(required=True, allow_none=True, metadata={"description": description})


def quota_field(what: str, setting: str) -> ma.fields.Integer:
    """Return the field of a quota of one user's own."""
    return ma.fields.Integer(
        allow_none=True,
        strict=True,
        validate=validate.Range(min=0, max=MOST),
        metadata={
            "description": f"Most {what} that they keep, those in the trash too; 0 permits none, null "
            f"takes {setting}."
        },
    )


class StorageSchema(ma.Schema):
    """The images that a user keeps here, counted, and the most that they may keep."""

    images = ma.fields.Integer(
        required=True, metadata={"description": "Their images, those in the trash too."}
    )
    bytes = ma.fields.Integer(
        required=True,
        metadata={
            "description": "Sum of the sizes of their originals; a file uploaded twice counts twice."
        },
    )
    most_images = _limit("The quota in force; null for no limit.")
    most_bytes = _limit("The quota in force; null for no limit.")
    own_quota_images = _limit("Their own, which an administrator gave; null for that of everybody.")
    own_quota_bytes = _limit("Their own, which an administrator gave; null for that of everybody.")


class UserSchema(ResourceSchema):
    """A user, as that user and administrators see it."""

    username = ma.fields.String(required=True)
    role = ma.fields.String(
        required=True,
        validate=validate.OneOf(ROLES),
        metadata={
            "description": "Of yourself: what you act as. An administrator's key without the scope "
            "admin acts as user."
        },
    )

    external_id = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The host product's id of one of its own people; null for a user of this "
            "installation."
        },
    )


def _choice(name: str, what: str, *, required: bool = False) -> ma.fields.String:
    return ma.fields.String(
        required=required,
        allow_none=True,
        validate=validate.OneOf(CHOICES[name]),
        metadata={"description": f"{what}; null for nothing chosen."},
    )


LANGUAGE = "Language of the pages"
THEME = "Light or dark pages, or as the system is"
DENSITY = "Size of the pictures in Explore"


class MeSchema(UserSchema):
    """A user, with what they have chosen for the pages."""

    locale = _choice("locale", LANGUAGE, required=True)
    theme = _choice("theme", THEME, required=True)
    density = _choice("density", DENSITY, required=True)


class MyChangeSchema(ma.Schema):
    """The choices of a user for the pages; what is left out stays."""

    locale = _choice("locale", LANGUAGE)
    theme = _choice("theme", THEME)
    density = _choice("density", DENSITY)


UserPageSchema = page_of(UserSchema, is_terse=True)


class NewUserSchema(ma.Schema):
    """A user to create, and the first key."""

    username = ma.fields.String(
        required=True,
        validate=validate.Length(min=1, max=150),
        metadata={
            "pattern": r"^[\w.@+-]+$",
            "description": "Letters, digits, or any of _ . @ + -; names that differ by case alone "
            "are one.",
        },
    )
    role = ma.fields.String(load_default="user", validate=validate.OneOf(ROLES))
    key = ma.fields.Nested(NewKeySchema, load_default=lambda: NewKeySchema().load({}))


class UserChangeSchema(ma.Schema):
    """The fields of a user that can be changed; at least one of them."""

    role = ma.fields.String(validate=validate.OneOf(ROLES))
    quota_images = quota_field("images", "QUOTA_IMAGES")
    quota_bytes = quota_field("bytes of originals", "QUOTA_BYTES")

    @ma.validates_schema
    def _something(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ma.ValidationError("Name what to change: role, quota_images or quota_bytes.")


class EndingQuerySchema(ma.Schema):
    """The fate of the images of a user who is ended."""

    images = ma.fields.String(
        required=True,
        validate=validate.OneOf(("delete", "hand_over")),
        metadata={"description": "Whether they are deleted, or become somebody else's."},
    )
    heir_id = ma.fields.Integer(
        validate=validate.Range(min=1),
        metadata={"description": "Whose they become, with hand_over."},
    )

    @ma.validates_schema
    def _heir_if_handed_over(self, data: dict[str, Any], **_: Any) -> None:
        if ("heir_id" in data) != (data.get("images") == "hand_over"):
            raise ma.ValidationError("heir_id goes with images=hand_over.", "heir_id")


class CreatedUserSchema(UserSchema):
    """A user who was just created, with the first key."""

    key = ma.fields.Nested(IssuedKeySchema, required=True)


def storage_body(kept: Kept) -> dict[str, Any]:
    """Return the fields for `StorageSchema`."""
    return {
        "images": kept.images,
        "bytes": kept.bytes,
        "most_images": kept.quota.images,
        "most_bytes": kept.quota.bytes,
        "own_quota_images": kept.own.images,
        "own_quota_bytes": kept.own.bytes,
    }


def user_body(user: Person) -> dict[str, Any]:
    """Return the fields for `UserSchema`."""
    return {
        "id": user.id,
        "username": user.username,
        "role": str(user.role),
        "external_id": user.external_id,
        "created_at": user.created_at,
        "url": url_for("users.get_user", user_id=user.id),
    }


def me_body(user: Person, chosen: Preferences) -> dict[str, Any]:
    """Return the fields for `MeSchema`."""
    return user_body(user) | asdict(chosen)
