"""Calls without a key under AUTH_MODE=open are refused where a foreign web page may send them."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import request

from mirada.config import Settings
from mirada.kernel.errors import NotAllowed
from webapp.callers.scopes import SAFE_METHODS
from webapp.callers.sessions import names_us

LONGEST_ORIGIN = 200
"""Characters of an origin that a refusal repeats; chosen here."""


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
    """Raise NotAllowed for a request that a page of another site makes, reading ones included.

    Who opens an address in a tab, and programs that are no browser, are nobody's page.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if "*" in settings.allowed_origins or site in ("same-origin", "none"):
        return
    asking = _page_origin()
    if site is None and (asking is None or names_us(asking)):
        return
    if asking in settings.allowed_origins or _opens_a_tab():
        return
    raise NotAllowed(
        f"Pages of {asking[:LONGEST_ORIGIN] if asking else 'other sites'} may not act here without "
        "a key. Name the origin in ALLOWED_ORIGINS or send an API key."
    )


def _page_origin() -> str | None:
    """Return the origin of the page that asks, such as https://a.example; None when none is told."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin
    # Pictures and scripts of a page are asked for without Origin.
    page = request.headers.get("Referer")
    if not page:
        return None
    try:
        parts = urlsplit(page)
    except ValueError:
        return "an address that makes no sense"
    return f"{parts.scheme}://{parts.netloc}"


def _opens_a_tab() -> bool:
    """Return whether a link leads here: the page it is on can neither read nor frame the reply."""
    headers = request.headers
    return (
        request.method in SAFE_METHODS
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )
