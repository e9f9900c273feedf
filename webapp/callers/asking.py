"""The caller of a search and how fresh the answer has to be, read from the request's headers."""

from __future__ import annotations

from flask import request

from mirada.kernel.audience import Scope
from mirada.kernel.errors import InvalidInput
from mirada.search.asked import Asked
from webapp.callers.auth import current_caller, require_user


def asked_by_caller(*, own_alone: bool = False) -> Asked:
    """Return the caller and the number in X-Min-Change-Seq.

    Args:
        own_alone: only the caller's own images are asked for.

    Raises:
        NotAuthenticated: nobody is told how often the database changed who has no key.
        InvalidInput: the header is no number.
    """
    audience = current_caller().audience
    if own_alone:
        audience = audience.own_alone()
    given = request.headers.get("X-Min-Change-Seq")
    if given is None:
        return Asked(Scope(audience))
    require_user()
    if not given.isdecimal() or len(given) > 18:
        raise InvalidInput("X-Min-Change-Seq must be the number that X-Change-Seq gave.")
    return Asked(Scope(audience), int(given))
