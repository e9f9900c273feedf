"""X-Mirada-User: the person of the host product that a key with the scope act_for acts for."""

from __future__ import annotations

from flask import request

from mirada.kernel.errors import InvalidInput, NotAllowed, NotAuthenticated
from mirada.people.access import Scope, Scopes
from mirada.people.identity import Person
from mirada.people.product import checked_external_id, known_person, person_of_product
from webapp.callers.scopes import require_scope
from webapp.http.current import current_runtime

HEADER = "X-Mirada-User"
NEEDS_ACTING_KEY = (
    f"{HEADER} goes with an API key that has the scope act_for, and with nothing else."
)


def is_named() -> bool:
    """Return whether the request names somebody to act for, with any content."""
    return HEADER in request.headers


def refuse_name() -> None:
    """Raise NotAuthenticated for a request that names somebody and was sent without a key."""
    if is_named():
        raise NotAuthenticated(NEEDS_ACTING_KEY)


def named_person(scopes: Scopes | None) -> Person:
    """Return the person whom the request names.

    Args:
        scopes: of its key. None, all that its owner may, is not enough: to act for others is
            given to a key by name.

    Raises:
        ScopeMissing: the key has not the scope act_for.
        InvalidInput: the header is no id.
    """
    require_scope(frozenset() if scopes is None else scopes, Scope.ACT_FOR)
    try:
        # WSGI hands over bytes as Latin-1.
        given = request.headers[HEADER].encode("latin-1").decode("utf-8")
    except ValueError as error:
        raise InvalidInput(f"{HEADER} is no UTF-8.") from error
    return person(checked_external_id(given, HEADER))


def person(external_id: str) -> Person:
    """Return the person of the product with an id, made at first use.

    Raises:
        NotAllowed: an administrator has ended them here.
        Unavailable: the database is.
    """
    runtime = current_runtime()
    with runtime.reading() as session:
        found = known_person(session, external_id)
    found = found or person_of_product(runtime.database, external_id)
    if found.is_ended:
        raise NotAllowed("An administrator has ended this user of yours here.")
    return found
