"""The host product's own people: made at first use, named by the product's id of them."""

from __future__ import annotations

import secrets
import unicodedata

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.deadlocks import retried
from mirada.db.inserts import insert_unless_there
from mirada.db.models import Role, User
from mirada.kernel.errors import InvalidInput, Unavailable
from mirada.people.identity import Person

MAX_ID_CHARS = 191
"""The column's length: what MySQL indexes in utf8mb4 on every version."""
NAME_PREFIX = "person:"
"""Begins their user names. No local name has a colon (`users.USERNAME_PATTERN`), so none is equal."""


def checked_external_id(given: object, called: str) -> str:
    """Return a product's id of a person, as it is: ids that differ by case are two people.

    Args:
        given: what was sent.
        called: begins the message, such as "X-Mirada-User".

    Raises:
        InvalidInput: it is no text, empty, longer than MAX_ID_CHARS, or has a comma, a blank at an
            end, or a character that cannot be seen. Two headers arrive as one with a comma, and
            MySQL takes no account of blanks at the end.
    """
    if (
        isinstance(given, str)
        and 0 < len(given) <= MAX_ID_CHARS
        and given == given.strip()
        and "," not in given
        and not any(unicodedata.category(char) in _UNSEEN for char in given)
    ):
        return given
    raise InvalidInput(
        f"{called} takes one id of 1 to {MAX_ID_CHARS} characters, without commas, characters that "
        "cannot be seen, or blanks at an end."
    )


_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode's categories of control, format, private and surrogate characters and line ends."""


def known_person(session: Session, external_id: str) -> Person | None:
    """Return a person of the product by its id; None before the first use."""
    row = session.execute(select(User).where(User.external_id == external_id)).scalar_one_or_none()
    return None if row is None else Person.of(row)


@retried
def person_of_product(session: Session, external_id: str) -> Person:
    """Return a person of the product, whom the first call inserts: an ordinary user, for ever.

    The user name is drawn at random: others see it beside public images, and may not learn the id.
    """
    # Two first calls at once meet here, and both find the row of the one that came first.
    session.execute(
        insert_unless_there(
            session,
            User,
            {
                "username": f"{NAME_PREFIX}{secrets.token_hex(8)}",
                "role": Role.USER,
                "external_id": external_id,
            },
        )
    )
    person = known_person(session, external_id)
    if person is None:
        raise Unavailable("The user was not found just after it was made; try again.")
    return person
