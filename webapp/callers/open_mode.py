"""Calls without a key under AUTH_MODE=open are refused where a foreign web page may send them."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import request

from mirada.config import Settings
from mirada.kernel.errors import NotAllowed
from webapp.callers.scopes import SAFE_METHODS
from webapp.callers.sessions import names_us


def refuse_other_names(settings: Settings) -> None:
    """Raise NotAllowed unless the Host header names this machine."""
    # A page whose own name is made to resolve to 127.0.0.1 is of the same origin to the browser;
    # only the name it calls us by gives it away. A server that listens to the network on purpose
    # cannot know its names, so there nothing but Origin is held against a call.
    bound = settings.host
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
        f"Host header. Call it as http://127.0.0.1:{settings.port} or send an API key; "
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


def refuse_other_sites(settings: Settings) -> None:
    """Raise NotAllowed for a change that a page of a foreign origin asks for."""
    # Without keys any web page a local user visits could post here; browsers then send Origin.
    origin = request.headers.get("Origin")
    if origin is None or request.method in SAFE_METHODS:
        return
    allowed = settings.allowed_origins
    if "*" in allowed or origin in allowed or names_us(origin):
        return
    raise NotAllowed(
        f"Pages of {origin} may not act here without a key. Name the origin in ALLOWED_ORIGINS "
        "or send an API key."
    )
