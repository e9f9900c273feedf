"""The frame of every page: who is signed in, language, theme, and where one can go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    make_response,
    render_template,
    request,
    url_for,
)
from flask_babel import get_locale, lazy_gettext
from markupsafe import Markup, escape

from webapp.callers import sessions
from webapp.callers.auth import current_caller
from webapp.pages.assets import asset
from webapp.pages.label_names import label_name
from webapp.pages.texts import LANGUAGES
from webapp.pages.wishes import theme
from webapp.pages.zones import zone_of_request

FRAGMENTS = ("1", "filters")
"""What a script asks for as `part`: a page's list, or the panel with its filters."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the bar.

    Attributes:
        endpoint: of its page.
        title: as it is shown.
        icon: its name in the sprite.
    """

    endpoint: str
    title: Any
    icon: str


BAR: list[Place] = [
    Place("pages.explore", lazy_gettext("Explore"), "search"),
    Place("pages.map", lazy_gettext("Map"), "chart-scatter"),
    Place("pages.memory", lazy_gettext("Memory"), "palette"),
    Place("pages.activity", lazy_gettext("Activity"), "activity"),
]
"""The places in the bar at the head, in their order."""


def page(template: str, **context: Any) -> Response:
    """Return a page.

    Args:
        template: in templates/pages; it extends base.html.
        context: plain data for it. `title` is the page's name, `here` the endpoint of its place.
    """
    return make_response(render_template(f"pages/{template}", **context))


def is_fragment() -> bool:
    """Return whether a script asks for a page's fragment."""
    return request.args.get("part") in FRAGMENTS


def icon(name: str) -> Markup:
    """Return an icon as HTML; it says nothing to screen readers, so the text beside it has to."""
    address = escape(f"{asset('icons.svg')}#{name}")
    return Markup('<svg class="icon" aria-hidden="true"><use href="{}"/></svg>').format(address)


def reachable(text: str, most: int = 400) -> Markup:
    """Return what makes a text a stop of the keyboard where it is so long that it scrolls in its place.

    Args:
        text: as it is shown.
        most: characters that its place shows on the narrowest screen.
    """
    is_long = len(text) > most or text.count("\n") > most // 60
    return Markup(' tabindex="0"') if is_long else Markup("")


def csrf_token() -> str:
    """Return the CSRF token for forms and scripts; empty where calls need none."""
    return sessions.csrf_token() if current_caller().opened is not None else ""


def address_of_request() -> str:
    """Return the address of the page that is asked for, with its query, as `own_address` takes it."""
    return f"{request.script_root}{request.full_path.rstrip('?')}"


def own_address(path: str | None, otherwise: str) -> str:
    """Return a path of this server that a form may lead back to; `otherwise` for any other address."""
    root = request.script_root
    is_own = path is not None and path.startswith(f"{root}/ui") and "\\" not in path
    return path if is_own and path is not None and "//" not in path.split("?")[0] else otherwise


def register(app: Flask, blueprint: Blueprint) -> None:
    """Give templates what they all use."""
    functions: dict[str, Callable[..., Any]] = {
        "asset": asset,
        "icon": icon,
        "reachable": reachable,
        "theme": theme,
        "csrf_token": csrf_token,
        "address_of_request": address_of_request,
        "locale": get_locale,
        "label_name": label_name,
        "zone": zone_of_request,
    }
    app.jinja_env.globals.update(functions)
    app.jinja_env.globals.update(bar=BAR, languages=LANGUAGES)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    @blueprint.context_processor
    def _frame() -> dict[str, Any]:
        # Asked for once, before anything is sent: a refusal must not come in the middle of a page.
        return {
            "caller": current_caller(),
            "home": url_for("pages.explore"),
            "endpoints": current_app.view_functions,
        }
