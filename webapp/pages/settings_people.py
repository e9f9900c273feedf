"""One user's page, for administrators: role, what they keep and may keep, and their end."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext
from werkzeug.exceptions import BadRequest

from mirada.departures import ending
from mirada.kernel.errors import InvalidInput
from mirada.people import roles, users
from mirada.pictures import quota
from webapp.callers.auth import require_administrator
from webapp.http.current import current_runtime, request_id
from webapp.pages.shell import page


def register(blueprint: Blueprint) -> None:
    """Add the page, and what its forms do."""
    blueprint.get("/settings/users/<id:user_id>")(show_user)
    blueprint.post("/settings/users/<id:user_id>/role")(change_role)
    blueprint.post("/settings/users/<id:user_id>/quota")(change_quota)
    blueprint.get("/settings/users/<id:user_id>/end")(ask_to_end)
    blueprint.post("/settings/users/<id:user_id>/end")(end_user)


def show_user(user_id: int) -> Response:
    """What an administrator may do about one user."""
    asker, runtime = require_administrator(), current_runtime()
    with runtime.reading() as session:
        user = users.get_user(session, user_id)
        kept = quota.kept_by(session, user_id, quota.of_everybody(runtime.settings))
    return page(
        "settings_user.html",
        title=user.username,
        here="pages.settings",
        user=user,
        kept=kept,
        everybody=quota.of_everybody(runtime.settings),
        is_local=user.username == users.LOCAL_USERNAME,
        is_asker=user.id == asker.id,
        was_saved="done" in request.args,
    )


def change_role(user_id: int) -> Any:
    """Change a user's role."""
    require_administrator()
    role = request.form.get("role", "")
    if role not in roles.ROLES:
        raise BadRequest("role must be user or administrator.")
    with current_runtime().transaction() as session:
        roles.change_role(session, user_id, role)
    return _saved(user_id)


def change_quota(user_id: int) -> Any:
    """Give a user a quota of their own; an empty field takes that of everybody."""
    require_administrator()
    changes = {name: _limit(name) for name in ("quota_images", "quota_bytes")}
    with current_runtime().transaction() as session:
        quota.change_quota(session, user_id, changes)
    return _saved(user_id)


def ask_to_end(user_id: int) -> Response:
    """Ask what becomes of a user's images before they are ended."""
    require_administrator()
    with current_runtime().reading() as session:
        user = users.get_user(session, user_id)
    title = gettext("End a user")
    return page("settings_end.html", title=title, here="pages.settings", user=user)


def end_user(user_id: int) -> Any:
    """End a user: their images are deleted, or become those of the user who is named."""
    asker, runtime = require_administrator(), current_runtime()
    heir = request.form.get("heir", "").strip()
    fate = request.form.get("images", "")
    if fate not in ("delete", "hand_over"):
        raise BadRequest("images must be delete or hand_over.")
    if fate == "hand_over" and not heir:
        raise InvalidInput(gettext("Name the user who gets the images."))
    with runtime.transaction() as session:
        job = ending.end_user(
            session,
            user_id,
            heir_id=users.user_named(session, heir).id if fate == "hand_over" else None,
            asker_id=asker.id,
            request_id=request_id(),
        )
    runtime.doorbell.ring(job.id, job.kind)
    return redirect(url_for("pages.activity"), 303)


def _saved(user_id: int) -> Any:
    return redirect(url_for("pages.show_user", user_id=user_id, done=1), 303)


def _limit(name: str) -> int | None:
    text = request.form.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or int(text) > quota.MOST:
        raise InvalidInput(gettext("A quota is a whole number, or empty for that of everybody."))
    return int(text)
