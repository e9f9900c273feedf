"""API keys: the caller's under /users/me/keys; any user's, for administrators, under /users/ID/keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import marshmallow as ma
from flask import url_for

from mirada.people import keys
from mirada.people.access import checked_scopes
from mirada.people.keys import NewKey
from webapp.api.users import NOT_KEPT, asker, owner_in_path
from webapp.callers.auth import require_user
from webapp.http.creations import made, made_headers, once_parameters
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint, View
from webapp.schemas.keys import (
    MY_KEY_EXAMPLE,
    NEW_KEY_EXAMPLE,
    SHOWN_ONCE,
    USER_KEY_EXAMPLE,
    IssuedKeySchema,
    KeyPageSchema,
    KeySchema,
    NewKeySchema,
    RotationSchema,
    issued_key_body,
    key_body,
)

blueprint = ApiBlueprint(
    "keys", __name__, url_prefix="/api/v1/users", description="What callers show to be known"
)
ONCE = once_parameters("one key never makes two keys")
MADE = made_headers("Where the key is listed.", "made it; `key` is null then")
UrlOf = Callable[[int], str]
MAKING = (NewKeySchema, NEW_KEY_EXAMPLE)
ROTATING = (RotationSchema, {"grace_s": 3600})


def _shows_key(
    operation_id: str,
    summary: str,
    asked: tuple[type[ma.Schema], dict[str, Any]],
    key_example: dict[str, Any],
    refusals: tuple[int, ...] = (),
) -> Callable[[View], View]:
    """Return a decorator that documents a view which makes a key.

    Args:
        operation_id: as `ApiBlueprint.operation` takes it.
        summary: one line.
        asked: schema and example of the body.
        key_example: of the key in the reply.
        refusals: statuses beyond those of all these views.
    """

    def decorate(view: View) -> View:
        example = key_example | SHOWN_ONCE
        view = blueprint.response(201, IssuedKeySchema, example=example, headers=MADE)(view)
        view = blueprint.arguments(asked[0], example=asked[1])(view)
        return blueprint.operation(
            operation_id, summary, refusals=(400, 403, 409, 415, 422, *refusals), parameters=ONCE
        )(view)

    return decorate


@blueprint.get("/me/keys")
@blueprint.pages(
    "listMyKeys",
    "List your keys, newest first",
    KeyPageSchema,
    example=MY_KEY_EXAMPLE,
)
def list_my_keys(query: PageQuery) -> Listed[Any]:
    """Expired and revoked ones as well. The keys themselves are nowhere."""
    return _listed(query, require_user().id, _my_url)


@blueprint.post("/me/keys")
@_shows_key("createMyKey", "Make a key", MAKING, MY_KEY_EXAMPLE)
def create_my_key(fields: dict[str, Any]) -> Any:
    """It is in this reply and never again. It can do at most what the calling key can."""
    return _issued(fields, require_user(), _my_url)


@blueprint.get("/me/keys/<id:key_id>")
@blueprint.operation("getMyKey", "Read one of your keys", refusals=(404,))
@blueprint.response(200, KeySchema, example=MY_KEY_EXAMPLE)
def get_my_key(key_id: int) -> Any:
    """What it may do, until when, and when it was last used."""
    return _read(require_user().id, key_id, _my_url)


@blueprint.delete("/me/keys/<id:key_id>")
@blueprint.operation("revokeMyKey", "Revoke one of your keys", refusals=(404,))
@blueprint.response(204, description="It counts nowhere any more.")
def revoke_my_key(key_id: int) -> None:
    """At once, on every server; it stays in the list."""
    _revoke(require_user().id, key_id)


@blueprint.post("/me/keys/<id:key_id>/rotate")
@_shows_key("rotateMyKey", "Replace one of your keys", ROTATING, MY_KEY_EXAMPLE, refusals=(404,))
def rotate_my_key(fields: dict[str, Any], key_id: int) -> Any:
    """The same name and scopes, and a life as long as the old one's was, from now."""
    return _rotated(fields, require_user().id, key_id, _my_url)


@blueprint.get("/<id:user_id>/keys")
@blueprint.pages(
    "listUserKeys",
    "List a user's keys, newest first",
    KeyPageSchema,
    example=USER_KEY_EXAMPLE,
    refusals=(404,),
)
def list_user_keys(query: PageQuery, user_id: int) -> Listed[Any]:
    """For administrators, and for that user."""
    return _listed(query, owner_in_path(user_id).id, _url_of(user_id))


@blueprint.post("/<id:user_id>/keys")
@_shows_key("createUserKey", "Make a key for a user", MAKING, USER_KEY_EXAMPLE, refusals=(404,))
def create_user_key(fields: dict[str, Any], user_id: int) -> Any:
    """For administrators, who alone give the scope metrics."""
    return _issued(fields, owner_in_path(user_id), _url_of(user_id))


@blueprint.get("/<id:user_id>/keys/<id:key_id>")
@blueprint.operation("getUserKey", "Read a user's key", refusals=(404,))
@blueprint.response(200, KeySchema, example=USER_KEY_EXAMPLE)
def get_user_key(user_id: int, key_id: int) -> Any:
    """For administrators, and for that user."""
    return _read(owner_in_path(user_id).id, key_id, _url_of(user_id))


@blueprint.delete("/<id:user_id>/keys/<id:key_id>")
@blueprint.operation("revokeUserKey", "Revoke a user's key", refusals=(404,))
@blueprint.response(204, description="It counts nowhere any more.")
def revoke_user_key(user_id: int, key_id: int) -> None:
    """For administrators, and for that user."""
    _revoke(owner_in_path(user_id).id, key_id)


@blueprint.post("/<id:user_id>/keys/<id:key_id>/rotate")
@_shows_key("rotateUserKey", "Replace a user's key", ROTATING, USER_KEY_EXAMPLE, refusals=(404,))
def rotate_user_key(fields: dict[str, Any], user_id: int, key_id: int) -> Any:
    """For administrators, and for that user."""
    return _rotated(fields, owner_in_path(user_id).id, key_id, _url_of(user_id))


def _my_url(key_id: int) -> str:
    return url_for("keys.get_my_key", key_id=key_id)


def _url_of(user_id: int) -> UrlOf:
    return lambda key_id: url_for("keys.get_user_key", user_id=user_id, key_id=key_id)


def _listed(query: PageQuery, owner_id: int, url_of: UrlOf) -> Listed[Any]:
    with current_runtime().reading() as session:
        return Listed(
            keys.list_keys(session, owner_id, **query.bounds),
            lambda key: key_body(key, url_of(key.id)),
        )


def _read(owner_id: int, key_id: int, url_of: UrlOf) -> dict[str, Any]:
    with current_runtime().reading() as session:
        return key_body(keys.get_key(session, owner_id, key_id), url_of(key_id))


def _issued(fields: dict[str, Any], owner: Any, url_of: UrlOf) -> Any:
    with current_runtime().transaction() as session:
        new = keys.issue(
            session,
            owner,
            name=fields["name"],
            scopes=checked_scopes(fields["scopes"]),
            expires_at=fields["expires_at"],
            asker=asker(),
        )
    return _shown_once(new, url_of)


def _rotated(fields: dict[str, Any], owner_id: int, key_id: int, url_of: UrlOf) -> Any:
    with current_runtime().transaction() as session:
        new = keys.rotate(
            session, owner_id, key_id, grace=timedelta(seconds=fields["grace_s"]), asker=asker()
        )
    return _shown_once(new, url_of)


def _revoke(owner_id: int, key_id: int) -> None:
    with current_runtime().transaction() as session:
        keys.revoke(session, owner_id, key_id)


def _shown_once(new: NewKey, url_of: UrlOf) -> Any:
    body = issued_key_body(new, url_of(new.row.id))
    return made(body, NOT_KEPT, was_replayed=new.was_replayed)
