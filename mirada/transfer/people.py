"""The people of a source: found among the users here, or made, under the ids that they had."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.inserts import insert_unless_there
from mirada.db.models import Role, User
from mirada.kernel.errors import InvalidInput
from mirada.people.product import NAME_PREFIX, checked_external_id
from mirada.people.users import LOCAL_USERNAME, USERNAME_PATTERN


def known_people(session: Session, called: Collection[str]) -> dict[str, int]:
    """Return our ids of people by what a source calls them: their id of before, or a user name here.

    Who was ended is not among them.
    """
    found: dict[str, int] = {}
    query = select(User.username, User.external_id, User.id).where(User.ended_at.is_(None))
    for row in rows_in(session, query, User.username, called):
        # MySQL finds "ana" under "ANA", but a name must match exactly.
        if row.username in called:
            found[row.username] = row.id
    for row in rows_in(session, query, User.external_id, called):
        found[row.external_id] = row.id
    return found


def make_people(
    session: Session, named: Mapping[str, str | None], plain: Collection[str] = ()
) -> int:
    """Insert ordinary users under ids of before and return how many were new.

    Args:
        session: a transaction.
        named: user names by id; None, a name that is taken or that cannot be one: one is drawn.
        plain: those of them that are user names of another Mirada, and no ids of a product.
    """
    known = known_people(session, list(named))
    taken = _taken(session, (name for name in named.values() if name is not None))
    made = 0
    for external_id, name in sorted(named.items()):
        if external_id in known or not may_be_made(external_id):
            continue
        fits = (
            name is not None
            and USERNAME_PATTERN.fullmatch(name) is not None
            and name.casefold() not in taken
        )
        username = name if fits and name else f"{NAME_PREFIX}{secrets.token_hex(8)}"
        taken.add(username.casefold())
        kept = None if external_id in plain and username == external_id else external_id
        row = {"username": username, "role": Role.USER, "external_id": kept}
        session.execute(insert_unless_there(session, User, row))
        made += 1
    return made


def may_be_made(external_id: str) -> bool:
    """Return whether somebody may have this id of before."""
    try:
        checked_external_id(external_id, "An import")
    except InvalidInput:
        return False
    return True


def _taken(session: Session, names: Iterable[str]) -> set[str]:
    rows = rows_in(session, select(User.username), User.username, set(names))
    return {LOCAL_USERNAME, *(row.username.casefold() for row in rows)}
