"""Who is calling: a key's owner, the local user where that is allowed, or nobody."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from flask import Flask, current_app, g, request

from mirada.bootstrap import Runtime
from mirada.config import AuthMode
from mirada.domain.errors import NotAllowed, NotAuthenticated
from mirada.usecases import users

if TYPE_CHECKING:
    from mirada.db.models import User

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
KEYLESS_ENDPOINTS = frozenset(
    {"static", "health.health", "health.readyz", "health.live", "health.livez"}
)
"""Answered without a look at the key, so that they work when the database is down."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request acts for.

    Attributes:
        user: None for an anonymous caller, who sees public images only. The row is detached.
    """

    user: User | None

    @property
    def user_id(self) -> int | None:
        """The user's id; None for an anonymous caller."""
        return None if self.user is None else self.user.id

    @property
    def is_administrator(self) -> bool:
        """Whether the caller may rebuild indexes and see everybody's jobs."""
        return self.user is not None and self.user.role == "administrator"


ANONYMOUS = Caller(None)


def register(app: Flask) -> None:
    """Check keys before any view runs: a wrong one is refused even where none is needed."""
    app.before_request(_check_key)


def current_caller() -> Caller:
    """Return who is calling; anonymous where AUTH_MODE asks for keys and none was sent.

    Raises:
        NotAuthenticated: the key sent counts for nobody.
        NotAllowed: a page of another site acts as the local user, or the call came in under a
            name that is not this machine's own.
    """
    caller: Caller | None = g.get("caller")
    if caller is None:
        caller = g.caller = _identify()
        structlog.contextvars.bind_contextvars(user_id=caller.user_id)
    return caller


def require_user() -> User:
    """Return the calling user. Raises NotAuthenticated for an anonymous caller."""
    user = current_caller().user
    if user is None:
        raise NotAuthenticated(
            "This call needs an API key: send it as 'Authorization: Bearer KEY'. "
            "An administrator makes one with 'flask --app wsgi users create NAME'."
        )
    return user


def require_administrator() -> User:
    """Return the calling user. Raises NotAuthenticated or NotAllowed unless it is an administrator."""
    user = require_user()
    if not current_caller().is_administrator:
        raise NotAllowed("Only an administrator may do this.")
    return user


def _check_key() -> None:
    if request.endpoint not in KEYLESS_ENDPOINTS and _sent_key() is not None:
        current_caller()


def _sent_key() -> str | None:
    """Return the key in the request, "" where a header is there but holds none."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        return credentials.strip() if scheme.lower() == "bearer" else ""
    return request.headers.get("X-API-Key")


def _identify() -> Caller:
    runtime: Runtime = current_app.extensions["mirada_runtime"]
    key = _sent_key()
    if key is not None:
        with runtime.reading() as session:
            user = users.user_of_key(session, key) if key else None
        if user is None:
            raise NotAuthenticated("This API key is not valid. Send 'Authorization: Bearer KEY'.")
        return Caller(user)
    if runtime.settings.effective_auth_mode is AuthMode.KEYS:
        return ANONYMOUS
    _refuse_other_names(runtime)
    _refuse_other_sites(runtime)
    return _local_caller(runtime)


def _local_caller(runtime: Runtime) -> Caller:
    # The local user never changes, so it is read once per process.
    caller: Caller | None = current_app.extensions.get("mirada_local_caller")
    if caller is None:
        with runtime.transaction() as session:
            caller = Caller(users.local_user(session))
        current_app.extensions["mirada_local_caller"] = caller
    return caller


def _refuse_other_names(runtime: Runtime) -> None:
    # A page whose own name is made to resolve to 127.0.0.1 is of the same origin to the browser;
    # only the name it calls us by gives it away. A server that listens to the network on purpose
    # cannot know its names, so there nothing but Origin is held against a call.
    bound = runtime.settings.host
    if not _is_loopback(bound):
        return
    try:
        name = urlsplit(f"//{request.host}").hostname
    except ValueError:
        name = None
    if name is not None and (_is_loopback(name) or name == bound.lower()):
        return
    raise NotAllowed(
        "Without a key this server answers only under its own address, not under the name in the "
        f"Host header. Call it as http://127.0.0.1:{runtime.settings.port} or send an API key; "
        "behind a proxy run it with AUTH_MODE=keys."
    )


def _is_loopback(host: str) -> bool:
    """Return whether a name or address, without brackets, is this machine's own by definition."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_other_sites(runtime: Runtime) -> None:
    # Without keys any web page a local user visits could post here; browsers then send Origin.
    origin = request.headers.get("Origin")
    if origin is None or request.method in SAFE_METHODS:
        return
    allowed = runtime.settings.allowed_origins
    if "*" in allowed or origin in allowed or urlsplit(origin).netloc == request.host:
        return
    raise NotAllowed(
        f"Pages of {origin} may not act here without a key. Name the origin in ALLOWED_ORIGINS "
        "or send an API key."
    )
