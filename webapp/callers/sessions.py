"""Browser sessions: a signed cookie that names a key, and a CSRF token for every change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from flask import Flask, Request, current_app, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf.csrf import generate_csrf, validate_csrf
from itsdangerous import BadData, URLSafeTimedSerializer
from wtforms import ValidationError

from mirada.kernel.errors import NotAllowed
from mirada.people.identity import Key, signing_key
from webapp.http.current import current_runtime

COOKIE = "mirada_session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
"""Of the bodies that the forms of pages send; the second has files."""
SHARED_INTO = "pages.share"
"""Where a phone hands pictures over. It has no form of ours to send a token from, and no page can have
a browser say that no site has asked."""
OF_NO_SITE = ("none", "same-origin")
LIFETIME = timedelta(hours=12)
"""Since signing in: a working day. The end of its key ends a session sooner."""


class CsrfFailed(NotAllowed):
    """A change was asked for with a cookie and without its CSRF token."""

    code = "csrf_failed"


@dataclass(frozen=True, slots=True)
class Opened:
    """The content of a session's cookie.

    Attributes:
        key_id: of the key that it was opened with; None for one of AUTH_MODE=open without a key.
        key_prefix: that key's beginning, so that a number given to another key later opens nothing.
        expires_at: when the cookie ends.
    """

    key_id: int | None
    key_prefix: str | None
    expires_at: datetime


class CookieSessions(SecureCookieSessionInterface):
    """Flask's signed cookies, read only when a view asks for the caller.

    Reading needs the database once per process, and pages and probes must work without it.
    """

    salt = "mirada-session"
    digest_method = staticmethod(hashlib.sha256)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession:
        """Return an empty session; `opened` fills it."""
        return self.session_class()

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer:
        """Return the signer of cookies. Raises Unavailable until the database was reached once."""
        return URLSafeTimedSerializer(
            _signing_key(),
            salt=self.salt,
            serializer=self.serializer,
            signer_kwargs={
                "key_derivation": self.key_derivation,
                "digest_method": self.digest_method,
            },
        )

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return whether the request came by https, so that the cookie is sent by https only."""
        return request.is_secure


_interface = CookieSessions()


def register(app: Flask) -> None:
    """Install the sessions; nothing is read yet."""
    app.session_interface = _interface
    app.config.update(
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        # Two servers below two paths of one host do not overwrite each other's.
        SESSION_COOKIE_PATH=app.extensions["mirada_runtime"].settings.script_name or "/",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=LIFETIME,
        # As long as its session, whose cookie is signed with the time.
        WTF_CSRF_TIME_LIMIT=None,
    )


def is_sent() -> bool:
    """Return whether a page of this server sent a session's cookie.

    A cookie from another origin counts as none, whatever browsers and ALLOWED_ORIGINS let through.
    """
    return bool(request.cookies.get(COOKIE)) and is_same_origin()


def is_same_origin() -> bool:
    """Return False when the browser says that a page of another origin made this request."""
    # Scripts cannot set it; unlike Origin it is right behind a proxy that renames us.
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    return names_us(request.headers.get("Origin"))


def names_us(origin: str | None) -> bool:
    """Return whether an Origin header names this server, or is absent."""
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc == request.host
    except ValueError:
        return False


def opened() -> Opened | None:
    """Return the content of the request's cookie; None without one that this server signed.

    Raises:
        Unavailable: the database, which knows what we sign with, was never reached.
    """
    if not is_sent():
        return None
    serializer = _interface.get_signing_serializer(current_app)
    try:
        data, signed_at = serializer.loads(
            request.cookies[COOKIE], max_age=int(LIFETIME.total_seconds()), return_timestamp=True
        )
    except BadData:
        return None
    session.update(data)
    session.modified = False
    return Opened(data.get("key_id"), data.get("key_prefix"), signed_at + LIFETIME)


def begin(key: Key | None) -> str:
    """Set a cookie that names a key, and return its CSRF token.

    Args:
        key: None for a session of AUTH_MODE=open.

    Raises:
        Unavailable: the database was never reached, or there is no secret to sign with.
    """
    # Asked for first: a session that was changed and cannot be signed would fail the refusal as well.
    _signing_key()
    # Nothing of an earlier session survives, its token included.
    session.clear()
    session.permanent = True
    if key is not None:
        session["key_id"], session["key_prefix"] = key.id, key.prefix
    return csrf_token()


def end() -> None:
    """Delete the cookie."""
    session.clear()
    session.modified = True


def csrf_token() -> str:
    """Return the CSRF token of the session that `begin` or `opened` has filled."""
    return str(generate_csrf(secret_key=_signing_key()))


def require_csrf_token() -> None:
    """Check the CSRF token in the header, or in the form of a page. Raises CsrfFailed."""
    if request.endpoint == SHARED_INTO and request.headers.get("Sec-Fetch-Site") in OF_NO_SITE:
        return
    sent = request.headers.get(CSRF_HEADER)
    if sent is None and request.mimetype in FORM_TYPES:
        sent = request.form.get(CSRF_FIELD)
    try:
        validate_csrf(sent, secret_key=_signing_key())
    except ValidationError as error:
        raise CsrfFailed(
            f"{error} A call with a session that changes something needs the header {CSRF_HEADER} "
            "with the csrf_token that GET /api/v1/session gives; one with an API key does not."
        ) from error


def _signing_key() -> str:
    runtime = current_runtime()

    def build() -> str:
        with runtime.reading() as database:
            return signing_key(database, runtime.secret)

    return runtime.remembered("signing_key", build)
