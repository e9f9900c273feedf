"""The forms in which people choose language, theme and size of the pictures."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, request, url_for
from werkzeug.exceptions import BadRequest

from mirada.people.preferences import CHOICES, change_preferences
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.pages.shell import own_address
from webapp.pages.wishes import COOKIES

LASTS_S = 365 * 24 * 3600
FIELDS = {"language": "locale", "theme": "theme", "density": "density"}
"""The name of each in a form, and in CHOICES."""


def register(blueprint: Blueprint) -> None:
    """Add the form's address."""

    @blueprint.post("/preferences")
    def set_preferences() -> Any:
        """Remember what was chosen, and lead back.

        With the user who is signed in, and in this browser for when nobody is.
        """
        wanted = _wanted()
        user_id = current_caller().user_id
        if user_id is not None and wanted:
            with current_runtime().transaction() as session:
                change_preferences(session, user_id, wanted)
        reply = redirect(own_address(request.form.get("back"), url_for("pages.explore")), 303)
        for name, value in wanted.items():
            reply.set_cookie(
                COOKIES[name],
                value,
                max_age=LASTS_S,
                httponly=True,
                samesite="Lax",
                secure=request.is_secure,
                path=request.script_root or "/",
            )
        return reply


def _wanted() -> dict[str, str]:
    """Return what the form chooses, by the names of CHOICES."""
    wanted = {}
    for field, name in FIELDS.items():
        value = request.form.get(field)
        if value is None:
            continue
        if value not in CHOICES[name]:
            raise BadRequest(f"{field} must be one of {', '.join(CHOICES[name])}.")
        wanted[name] = value
    return wanted
