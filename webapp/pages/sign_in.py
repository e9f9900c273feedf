"""Sign in and out: by a key in a form, or by a link from the command line; no script is needed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, g, redirect, request, url_for
from flask_babel import gettext

from mirada.kernel.errors import NotAllowed, NotAuthenticated
from mirada.people import sign_in_links
from webapp.callers import sessions
from webapp.callers.auth import bearer_of, current_caller
from webapp.callers.caller import ANONYMOUS
from webapp.http.current import current_runtime
from webapp.http.errors import challenge
from webapp.pages.shell import own_address, page
from webapp.pages.unsent import carried

HERE = "pages.sign_in"


def register(blueprint: Blueprint) -> None:
    """Add the pages."""
    blueprint.add_url_rule("/sign-in", view_func=sign_in, methods=["GET"])
    blueprint.add_url_rule("/sign-in", view_func=sign_in_with_key, methods=["POST"])
    blueprint.add_url_rule("/sign-in/<token>", view_func=sign_in_link, methods=["GET"])
    blueprint.add_url_rule("/sign-in/<token>", view_func=sign_in_with_link, methods=["POST"])
    blueprint.add_url_rule("/sign-out", view_func=sign_out, methods=["POST"])


def sign_in() -> Response:
    """The form for a key; who is signed in is told so."""
    return _form()


def sign_in_with_key() -> Any:
    """Begin a session with the key in the form."""
    _refuse_other_origins()
    # Keys are copied, and blanks come along.
    key = request.form.get("key", "").strip()
    if not key:
        return _form(gettext("Put your key into the field."), 422)
    try:
        bearer = bearer_of(key)
    except NotAuthenticated as error:
        return _form(error.detail, 401)
    token, kept = sessions.begin(bearer.key), carried(request.form)
    if kept is None:
        return redirect(_onward(), 303)
    title, name = gettext("Send it again"), bearer.user.username
    g.caller = ANONYMOUS
    return _private(
        page("unsent.html", title=title, here=HERE, unsent=kept, token=token, name=name)
    )


def sign_in_link(token: str) -> Response:
    """Whom a link signs in, and a button. Programs that look at links in mails do not use it up."""
    _show_to_anybody()
    with current_runtime().reading() as session:
        owner = sign_in_links.owner_of(session, token)
    return _private(
        page("sign_in_link.html", title=gettext("Sign in"), here=HERE, owner=owner, token=token)
    )


def sign_in_with_link(token: str) -> Any:
    """Use a link up, and begin a session."""
    _refuse_other_origins()
    with current_runtime().transaction() as session:
        key = sign_in_links.redeem(session, token, until=datetime.now(UTC) + sessions.LIFETIME)
    sessions.begin(key)
    return redirect(url_for("pages.explore"), 303)


def sign_out() -> Any:
    """End the session of this browser."""
    if sessions.opened() is not None:
        sessions.require_csrf_token()
    sessions.end()
    return redirect(url_for("pages.explore"), 303)


def _show_to_anybody() -> None:
    """Show the page as to nobody where a session has ended."""
    try:
        current_caller()
    except NotAuthenticated:
        g.caller = ANONYMOUS


def _form(problem: str | None = None, status: int = 200) -> Response:
    _show_to_anybody()
    reply = _private(
        page(
            "sign_in.html",
            title=gettext("Sign in"),
            here=HERE,
            problem=problem,
            next=_onward(),
            unsent=carried(request.form),
        )
    )
    reply.status_code = status
    if status == 401:
        reply.headers.extend([challenge("invalid_token")])
    return reply


def _onward() -> str:
    given = request.form.get("next") if request.method == "POST" else request.args.get("next")
    onward, home = own_address(given, ""), url_for("pages.explore")
    return home if onward.startswith(url_for(HERE)) else onward or home


def _private(reply: Response) -> Response:
    reply.headers["Cache-Control"] = "no-store"
    return reply


def _refuse_other_origins() -> None:
    """Raise NotAllowed for a page of another origin, which could sign people in as somebody else."""
    if not sessions.is_same_origin():
        raise NotAllowed("A page of another origin cannot sign a browser in.")
