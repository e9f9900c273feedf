"""The time zone of the browser, which a script tells by cookie, so that pages say times as its clock does."""

from __future__ import annotations

from datetime import tzinfo
from functools import lru_cache

from babel.dates import get_timezone
from flask import request

COOKIE = "mirada_zone"
LONGEST_NAME = 64


def zone_of_request() -> tzinfo | None:
    """Return the zone that the browser told; None before it did, or where there is none of that name.

    Times are in UTC then, and say so.
    """
    return _zone(request.cookies.get(COOKIE, "")[:LONGEST_NAME])


@lru_cache(maxsize=512)
def _zone(name: str) -> tzinfo | None:
    try:
        return get_timezone(name) if name else None
    except (LookupError, ValueError):
        return None
