"""Refusals and failures as pages, with the status and headers that the API's replies have."""

from __future__ import annotations

import json
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import lazy_gettext
from werkzeug.exceptions import HTTPException

from mirada.kernel.errors import MiradaError, NotAuthenticated
from webapp.callers import sessions
from webapp.callers.auth import current_caller
from webapp.callers.caller import ANONYMOUS
from webapp.callers.scopes import SAFE_METHODS
from webapp.callers.sessions import CsrfFailed
from webapp.http.errors import handle_domain_error, handle_http_exception, handle_unexpected
from webapp.pages.shell import address_of_request, is_fragment
from webapp.pages.unsent import unsent
from webapp.pages.wishes import ask_no_more

TITLES = {
    401: lazy_gettext("Sign in first"),
    403: lazy_gettext("This is not allowed"),
    404: lazy_gettext("There is nothing here"),
    409: lazy_gettext("This cannot be done now"),
    410: lazy_gettext("This list has ended"),
    422: lazy_gettext("This cannot be asked so"),
    429: lazy_gettext("Too many requests"),
    503: lazy_gettext("Not available just now"),
}
OTHER_TITLE = lazy_gettext("Something went wrong")
ADVICE = {
    401: lazy_gettext("Nobody is signed in here, or the session is over."),
    403: lazy_gettext("You may not do this here."),
    404: lazy_gettext("No page or picture has this address, or it is not yours to see."),
    409: lazy_gettext("Something else has changed meanwhile. Load the page again and look."),
    410: lazy_gettext("Ask again from the start; nothing of the library is lost."),
    422: lazy_gettext("Something in the address or the form cannot be. What it is stands below."),
    429: lazy_gettext("Wait a moment, then load this page again."),
    503: lazy_gettext("Wait a moment, then load this page again. Nothing is lost."),
}
"""What happened and what to do, in the reader's language; what the server says beside it is in English."""
SEND_AGAIN = lazy_gettext("Send it again")
SIGNED_IN_ANEW = lazy_gettext("You have signed in anew since this page was opened.")
OTHER_ADVICE = lazy_gettext(
    "Try again. If it happens again, tell whoever runs this server the number of the request."
)


def register(blueprint: Blueprint) -> None:
    """Install the handlers for the pages, and the answer to addresses that no page has."""

    @blueprint.get("/<path:rest>")
    def get_nothing(rest: str) -> Response:
        """No page."""
        abort(404, description=f"There is no page /ui/{rest[:80]}.")

    @blueprint.errorhandler(NotAuthenticated)
    def ask_to_sign_in(error: NotAuthenticated) -> Any:
        has_form = "pages.sign_in" in current_app.view_functions
        if request.method in SAFE_METHODS and not is_fragment() and has_form:
            return redirect(url_for("pages.sign_in", next=address_of_request()), 303)
        return _as_page(handle_domain_error(error))

    blueprint.register_error_handler(MiradaError, lambda e: _as_page(handle_domain_error(e)))
    blueprint.register_error_handler(HTTPException, lambda e: _as_page(handle_http_exception(e)))
    blueprint.register_error_handler(Exception, lambda e: _as_page(handle_unexpected(e)))


def _as_page(told: Response) -> Response:
    """Return a problem as a page; scripts get it as it is."""
    if is_fragment() or told.status_code < 400 or told.mimetype != "application/problem+json":
        return told
    if told.status_code >= 500:
        ask_no_more()
    problem = json.loads(told.get_data())
    kept = unsent()
    is_over = kept is not None and problem.get("code") == CsrfFailed.code
    _name_caller()
    context = {
        "title": SEND_AGAIN if is_over else TITLES.get(told.status_code, OTHER_TITLE),
        "advice": SIGNED_IN_ANEW if is_over else ADVICE.get(told.status_code, OTHER_ADVICE),
        "problem": problem,
        "unsent": kept,
        "token": sessions.csrf_token() if sessions.opened() is not None else "",
    }
    page = make_response(render_template("pages/problem.html", **context), told.status_code)
    for name, value in told.headers:
        if name not in ("Content-Type", "Content-Length"):
            page.headers[name] = value
    return page


def _name_caller() -> None:
    """Show the page to whoever calls; where they are who was refused, as to nobody."""
    try:
        current_caller()
    except (MiradaError, HTTPException):
        g.caller = ANONYMOUS
