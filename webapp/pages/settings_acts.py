"""What the forms of Settings do. A key is in the reply that makes it, and nowhere else.

Each form has a number of its own: sent twice, it makes one key, and the second reply does not show it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext
from werkzeug.exceptions import BadRequest

from mirada.kernel.errors import InvalidInput
from mirada.people import keys, users
from mirada.people.access import Scopes, checked_scopes
from mirada.people.keys import Asker, NewKey
from webapp.callers.auth import current_caller, require_administrator, require_user
from webapp.http.current import current_runtime
from webapp.pages.shell import page

LIVES_DAYS = ("", "30", "90", "365")
"""How long a key may be made to last; "" for no end."""


def register(blueprint: Blueprint) -> None:
    """Add what the forms do."""
    blueprint.post("/settings/keys")(make_key)
    blueprint.get("/settings/keys/<id:key_id>/revoke")(ask_to_revoke)
    blueprint.post("/settings/keys/<id:key_id>/revoke")(revoke_key)
    blueprint.post("/settings/users")(make_user)
    blueprint.post("/settings/users/<id:user_id>/keys")(make_key_of_user)


def make_key() -> Response:
    """Make a key of one's own, and show it once."""
    owner, until = require_user(), _until()
    with current_runtime().transaction() as session:
        new = keys.issue(
            session, owner, name=_name(), scopes=_scopes(), expires_at=until, asker=_asker()
        )
    return _shown_once(new, owner.username)


def make_key_of_user(user_id: int) -> Response:
    """Make a key of anybody's, with all that they may. For administrators."""
    require_administrator()
    with current_runtime().transaction() as session:
        owner = users.get_user(session, user_id)
        new = keys.issue(session, owner, name=_name(), asker=_asker())
    return _shown_once(new, owner.username)


def make_user() -> Response:
    """Make a user with a first key, which has all that they may. For administrators."""
    require_administrator()
    role = request.form.get("role", "user")
    if role not in ("user", "administrator"):
        raise BadRequest("role must be user or administrator.")
    with current_runtime().transaction() as session:
        new = users.create_with_key(
            session,
            request.form.get("username", "").strip(),
            is_administrator=role == "administrator",
            asker=_asker(),
        )
    return _shown_once(new.first_key, new.user.username)


def ask_to_revoke(key_id: int) -> Response:
    """Ask whether a key is to count no more."""
    with current_runtime().reading() as session:
        key = keys.get_key(session, require_user().id, key_id)
    own = current_caller().key
    is_this_one = own is not None and own.id == key.id
    title = gettext("Revoke a key")
    return page("settings_revoke.html", title=title, here="", key=key, is_this_one=is_this_one)


def revoke_key(key_id: int) -> Any:
    """Revoke one of one's own keys, at once."""
    user = require_user()
    with current_runtime().transaction() as session:
        keys.revoke(session, user.id, key_id)
    return redirect(url_for("pages.settings", _anchor="keys"), 303)


def _shown_once(new: NewKey, username: str) -> Response:
    reply = page(
        "settings_key.html", title=gettext("A new key"), here="", new=new, username=username
    )
    reply.status_code = 201
    reply.headers["Cache-Control"] = "no-store"
    return reply


def _name() -> str | None:
    return request.form.get("name", "").strip() or None


def _scopes() -> Scopes | None:
    """Return the scopes that were ticked; None, for all that the owner may, where none was."""
    return checked_scopes(request.form.getlist("scopes") or None)


def _until() -> datetime | None:
    days = request.form.get("days", "")
    if days not in LIVES_DAYS:
        known = ", ".join(LIVES_DAYS[1:])
        raise InvalidInput(f"A key made here lasts {known} days, or has no end.")
    if not days:
        return None
    # The end of a day: a form that is sent again a while later asks for the same key, not for another.
    begun = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return begun + timedelta(days=int(days) + 1)


def _asker() -> Asker:
    caller = current_caller()
    key_id = None if caller.key is None else caller.key.id
    once = request.form.get("once") or None
    return Asker(caller.user_id or 0, caller.authority, key_id, once)
