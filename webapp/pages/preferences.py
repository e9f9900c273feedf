"""What a browser remembers of its user's wishes: language, theme and how dense the grid is."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, request, url_for
from werkzeug.exceptions import BadRequest

from webapp.pages import texts
from webapp.pages.shell import THEME_COOKIE, THEMES, own_address

DENSITIES = ("normal", "compact", "large")
DENSITY_COOKIE = "mirada_density"
LASTS_S = 365 * 24 * 3600
CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "language": (texts.COOKIE, tuple(texts.LANGUAGES)),
    "theme": (THEME_COOKIE, THEMES),
    "density": (DENSITY_COOKIE, DENSITIES),
}


def density() -> str:
    """Return the density that was chosen by cookie, else "normal"."""
    chosen = request.cookies.get(DENSITY_COOKIE, "")
    return chosen if chosen in DENSITIES else DENSITIES[0]


def register(blueprint: Blueprint) -> None:
    """Add the form's address."""

    @blueprint.post("/preferences")
    def set_preferences() -> Any:
        """Remember what was chosen, and lead back."""
        back = own_address(request.form.get("back"), url_for("pages.explore"))
        reply = redirect(back, 303)
        for name, (cookie, values) in CHOICES.items():
            chosen = request.form.get(name)
            if chosen is None:
                continue
            if chosen not in values:
                raise BadRequest(f"{name} must be one of {', '.join(values)}.")
            reply.set_cookie(
                cookie,
                chosen,
                max_age=LASTS_S,
                httponly=True,
                samesite="Lax",
                secure=request.is_secure,
                path=request.script_root or "/",
            )
        return reply
