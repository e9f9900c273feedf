"""Language, theme and size of the pictures: as the user has chosen, else as this browser has."""

from __future__ import annotations

from flask import g, request
from werkzeug.exceptions import HTTPException

from mirada.kernel.errors import MiradaError
from mirada.people.preferences import CHOICES, NOTHING_CHOSEN, Preferences, preferences_of
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime

COOKIES = {"locale": "mirada_language", "theme": "mirada_theme", "density": "mirada_density"}
"""Of this browser, for pages that are shown to nobody in particular."""


def chosen(name: str) -> str | None:
    """Return what was chosen; None for nothing.

    Args:
        name: of CHOICES.
    """
    of_user: str | None = getattr(_of_user(), name)
    if of_user is not None:
        return of_user
    of_browser = request.cookies.get(COOKIES[name], "")
    return of_browser if of_browser in CHOICES[name] else None


def theme() -> str:
    """Return the theme that was chosen, else "system"."""
    return chosen("theme") or CHOICES["theme"][0]


def density() -> str:
    """Return the size of the pictures that was chosen, else "normal"."""
    return chosen("density") or CHOICES["density"][0]


def ask_no_more() -> None:
    """Have the page of a failure ask the database for nothing, which may be what has failed."""
    g.setdefault("preferences", NOTHING_CHOSEN)


def _of_user() -> Preferences:
    """Return what the calling user has chosen, read once in a request."""
    found: Preferences | None = g.get("preferences")
    if found is None:
        found = g.preferences = _read()
    return found


def _read() -> Preferences:
    # The page of a refusal is in a language as well: who calls, or the database, may be what is refused.
    try:
        user_id = current_caller().user_id
        if user_id is None:
            return NOTHING_CHOSEN
        with current_runtime().reading() as session:
            return preferences_of(session, user_id)
    except (MiradaError, HTTPException):
        return NOTHING_CHOSEN
