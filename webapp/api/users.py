"""Users: the caller; for administrators, all of them."""

from __future__ import annotations

from typing import Any

from flask import url_for

from mirada.departures import ending
from mirada.people import preferences, roles, users
from mirada.people.access import checked_scopes
from mirada.people.keys import Asker
from mirada.pictures import quota
from webapp.callers.auth import current_caller, require_administrator, require_user
from webapp.http.creations import idempotency_key, made, made_headers, once_parameters, queued
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema
from webapp.schemas.keys import NEW_KEY_EXAMPLE, SHOWN_ONCE, USER_KEY_EXAMPLE, issued_key_body
from webapp.schemas.users import (
    ME_EXAMPLE,
    STORAGE_EXAMPLE,
    USER_EXAMPLE,
    CreatedUserSchema,
    EndingQuerySchema,
    MeSchema,
    MyChangeSchema,
    NewUserSchema,
    StorageSchema,
    UserChangeSchema,
    UserPageSchema,
    UserSchema,
    me_body,
    storage_body,
    user_body,
)

blueprint = ApiBlueprint(
    "users", __name__, url_prefix="/api/v1/users", description="Who is calling, and who may"
)
NOT_KEPT = {"Cache-Control": "no-store"}
"""Of a reply that shows a key."""


@blueprint.get("/me")
@blueprint.operation("getMe", "Read who you are")
@blueprint.response(200, MeSchema, example=ME_EXAMPLE)
def get_me() -> Any:
    """The owner of the key; without one, where that is allowed, the local user."""
    user = require_user()
    with current_runtime().reading() as session:
        return me_body(user, preferences.preferences_of(session, user.id))


@blueprint.patch("/me")
@blueprint.operation("changeMe", "Choose language, theme and size", refusals=(400, 403, 415, 422))
@blueprint.arguments(MyChangeSchema, example={"locale": "pt", "theme": "dark"})
@blueprint.response(200, MeSchema, example=ME_EXAMPLE)
def change_me(fields: dict[str, Any]) -> Any:
    """Of the pages, in every browser in which you sign in. What is left out stays."""
    user = require_user()
    with current_runtime().transaction() as session:
        return me_body(user, preferences.change_preferences(session, user.id, fields))


@blueprint.get("")
@blueprint.pages(
    "listUsers",
    "List users, newest first",
    UserPageSchema,
    example=USER_EXAMPLE,
)
def list_users(query: PageQuery) -> Listed[Any]:
    """For administrators."""
    require_administrator()
    with current_runtime().reading() as session:
        return Listed(users.list_users(session, **query.bounds), user_body)


@blueprint.post("")
@blueprint.operation(
    "createUser",
    "Create a user and the first key",
    refusals=(400, 403, 409, 415, 422),
    parameters=once_parameters("one key never makes two users"),
)
@blueprint.arguments(
    NewUserSchema, example={"username": "ana", "role": "user", "key": NEW_KEY_EXAMPLE}
)
@blueprint.response(
    201,
    CreatedUserSchema,
    example=USER_EXAMPLE | {"key": USER_KEY_EXAMPLE | SHOWN_ONCE},
    headers=made_headers("Where the user is.", "made the user"),
)
def create_user(fields: dict[str, Any]) -> Any:
    """The key is in this reply and never again. For administrators."""
    require_administrator()
    wanted = fields["key"]
    with current_runtime().transaction() as session:
        new = users.create_with_key(
            session,
            fields["username"],
            is_administrator=fields["role"] == "administrator",
            key_name=wanted["name"],
            scopes=checked_scopes(wanted["scopes"]),
            expires_at=wanted["expires_at"],
            asker=asker(),
        )
    key_url = url_for("keys.get_user_key", user_id=new.user.id, key_id=new.first_key.row.id)
    body = user_body(new.user) | {"key": issued_key_body(new.first_key, key_url)}
    return made(body, NOT_KEPT, was_replayed=new.first_key.was_replayed)


@blueprint.get("/<id:user_id>")
@blueprint.operation("getUser", "Read a user", refusals=(404,))
@blueprint.response(200, UserSchema, example=USER_EXAMPLE)
def get_user(user_id: int) -> Any:
    """Yourself, or, for administrators, anybody. Others are told that there is nobody."""
    return user_body(owner_in_path(user_id))


@blueprint.patch("/<id:user_id>")
@blueprint.operation(
    "changeUser", "Change a user's role or quota", refusals=(400, 403, 404, 409, 415, 422)
)
@blueprint.arguments(UserChangeSchema, example={"role": "administrator"})
@blueprint.response(200, UserSchema, example=USER_EXAMPLE | {"role": "administrator"})
def change_user(fields: dict[str, Any], user_id: int) -> Any:
    """At once, for all of their keys. For administrators.

    With an administrator's rank end their keys that have a scope other than `read` and `write`.
    The last administrator stays one; people of the product never become one. A quota below what they
    keep deletes nothing: they add nothing until they are below it.
    """
    require_administrator()
    with current_runtime().transaction() as session:
        if "role" in fields:
            user = roles.change_role(session, user_id, fields["role"])
        if fields.keys() - {"role"}:
            user = quota.change_quota(session, user_id, fields)
        return user_body(user)


@blueprint.get("/<id:user_id>/storage")
@blueprint.operation("getStorage", "Read what a user keeps, and may keep", refusals=(404,))
@blueprint.response(200, StorageSchema, example=STORAGE_EXAMPLE)
def get_storage(user_id: int) -> Any:
    """Of yourself, or, for administrators, of anybody. Others are told that there is nobody."""
    user, runtime = owner_in_path(user_id), current_runtime()
    with runtime.reading() as session:
        return storage_body(quota.kept_by(session, user.id, quota.of_everybody(runtime.settings)))


@blueprint.delete("/<id:user_id>")
@blueprint.operation("endUser", "End a user", refusals=(403, 404, 409, 422))
@blueprint.arguments(EndingQuerySchema, location="query")
@blueprint.response(
    202, JobSchema, example=JOB_EXAMPLE, headers={"Location": header("The job to follow.")}
)
def end_user(query: dict[str, Any], user_id: int) -> Any:
    """Their keys and sessions count no more, and their name is free. For administrators.

    A job deletes their images, or hands them over with all that is known of them, and deletes their
    likes, comments, verdicts, classifications, packs and evaluation sets. A person of the product stays
    refused.
    """
    administrator = require_administrator()
    with current_runtime().transaction() as session:
        job = ending.end_user(
            session,
            user_id,
            heir_id=query["heir_id"] if query["images"] == "hand_over" else None,
            asker_id=administrator.id,
            request_id=request_id(),
        )
    return queued(job.id, job.kind, administrator)


def asker() -> Asker:
    """Return the caller as somebody who asks for a key."""
    caller = current_caller()
    key_id = None if caller.key is None else caller.key.id
    return Asker(caller.user_id or 0, caller.authority, key_id, idempotency_key())


def owner_in_path(user_id: int) -> Any:
    """Return the user whom a path names, to that user and to administrators.

    Raises:
        NotFound: there is none; nobody else learns whether there is.
    """
    asker = require_user()
    if user_id == asker.id:
        return asker
    if not current_caller().is_administrator:
        raise users.no_such_user(user_id)
    with current_runtime().reading() as session:
        return users.get_user(session, user_id)
