"""Browser sessions: sign in with a key, read who is signed in, sign out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
from flask import Response, url_for

from mirada.kernel.errors import NotAllowed
from mirada.people import preferences
from mirada.people.access import ends_at
from webapp.callers import auth, sessions
from webapp.callers.auth import current_caller, require_user
from webapp.callers.caller import Caller
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.keys import MY_KEY_EXAMPLE, SHOWN_ONCE, KeySchema, key_body
from webapp.schemas.replies import ReplySchema
from webapp.schemas.users import ME_EXAMPLE, MeSchema, me_body

blueprint = ApiBlueprint(
    "session", __name__, url_prefix="/api/v1/session", description="Browsers that are signed in"
)
SESSION_EXAMPLE = {
    "user": ME_EXAMPLE,
    "key": MY_KEY_EXAMPLE,
    "csrf_token": "IjQ2ZmU4Y2U1OGYi.aVcz5Q.2P1r0Zk9",
    "expires_at": "2026-01-02T15:04:05+00:00",
}


class SignInSchema(ma.Schema):
    """The key to sign in with; the session may do what it may."""

    key = ma.fields.String(
        load_default=None,
        allow_none=True,
        metadata={"description": "May be left out under AUTH_MODE=open, or with a key's header."},
    )


class SessionSchema(ReplySchema):
    """The session, its user and its key."""

    user = ma.fields.Nested(MeSchema, required=True)
    key = ma.fields.Nested(KeySchema, required=True, allow_none=True)
    csrf_token = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": f"For the header {sessions.CSRF_HEADER} of calls that change something; "
            "null where no cookie was sent, for then none is needed."
        },
    )
    expires_at = ma.fields.DateTime(required=True, allow_none=True)


@blueprint.get("")
@blueprint.operation("getSession", "Read who is signed in")
@blueprint.response(200, SessionSchema, example=SESSION_EXAMPLE)
def get_session() -> Any:
    """401 where nobody is. A cookie whose key has ended is taken back by that reply."""
    require_user()
    caller = current_caller()
    if caller.opened is None:
        return _reply(caller, None, None)
    return _reply(caller, sessions.csrf_token(), caller.opened.expires_at)


@blueprint.post("")
@blueprint.operation("signIn", "Sign a browser in", refusals=(400, 403, 415, 422))
@blueprint.arguments(SignInSchema, example=SHOWN_ONCE)
@blueprint.response(
    200,
    SessionSchema,
    example=SESSION_EXAMPLE,
    headers={"Set-Cookie": header("The session: HttpOnly, SameSite=Lax, for 12 hours.")},
)
def sign_in(fields: dict[str, Any]) -> Any:
    """Gives a cookie that names the key and does what it does, until the key ends.

    Other sessions of the browser with this server end.
    """
    if not sessions.is_same_origin():
        raise NotAllowed("A page of another origin cannot sign a browser in; send an API key.")
    caller = auth.sign_in(fields["key"])
    token = sessions.begin(caller.key)
    return _reply(caller, token, datetime.now(UTC) + sessions.LIFETIME)


@blueprint.delete("")
@blueprint.operation("signOut", "Sign a browser out", refusals=(403,))
@blueprint.response(204, description="Nobody is signed in.")
def sign_out() -> Any:
    """Takes the cookie back. To end copies of it as well, revoke the key."""
    if sessions.opened() is not None:
        sessions.require_csrf_token()
    sessions.end()
    return Response(status=204)


def _reply(caller: Caller, token: str | None, expires_at: datetime | None) -> Any:
    key = caller.key
    if expires_at is not None and key is not None:
        expires_at = ends_at(expires_at, ends_at(key.expires_at, key.revoked_at))
    user = require_user()
    with current_runtime().reading() as session:
        chosen = preferences.preferences_of(session, user.id)
    body = {
        "user": me_body(user, chosen),
        "key": None if key is None else key_body(key, url_for("keys.get_my_key", key_id=key.id)),
        "csrf_token": token,
        "expires_at": expires_at,
    }
    return body, 200, {"Cache-Control": "no-store"}
