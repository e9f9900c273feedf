"""The role of a user, and what ends with an administrator's."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import audit
from mirada.db.models import ApiKey, Role, User, utc_now
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict
from mirada.kernel.ids import in_range
from mirada.people.access import OF_EVERYBODY, scopes_from_text
from mirada.people.identity import Person
from mirada.people.users import LOCAL_USERNAME, no_such_user

ROLES = tuple(role.value for role in Role)
LAST_ADMINISTRATOR = (
    f"This is the last administrator. The user '{LOCAL_USERNAME}' does not count: what it may do "
    "is the setting OPEN_AS. Make another administrator first."
)


def change_role(session: Session, user_id: int, role: str) -> Person:
    """Change a user's role, at once for all of their keys.

    Keys with a scope that only administrators give end with their owner's rank: what such a key may
    do was given to an administrator.

    Args:
        session: a transaction.
        user_id: whose.
        role: a value of Role.

    Raises:
        NotFound: there is no such user.
        Conflict: they are the local user, a person of the host product, or the last administrator.
    """
    administrators = locked_administrators(session)
    row = session.get(User, in_range(user_id), with_for_update=True, populate_existing=True)
    if row is None or row.ended_at is not None:
        raise no_such_user(user_id)
    if row.username == LOCAL_USERNAME:
        raise Conflict("What the local user may do is the setting OPEN_AS.")
    if row.external_id is not None and role == Role.ADMINISTRATOR:
        raise Conflict("People of the host product are users: the product does not give rank here.")
    if role == Role.USER and administrators == {row.id}:
        raise Conflict(LAST_ADMINISTRATOR)
    if role == Role.USER and row.role == Role.ADMINISTRATOR:
        _end_keys_beyond(session, row.id)
    if row.role != role:
        audit.record(session, Action.USER_ROLE, row.id, owner_id=row.id, detail={"role": role})
    row.role = Role(role)
    session.flush()
    return Person.of(row)


def locked_administrators(session: Session) -> set[int]:
    """Return the ids of administrators but the local user, locked until the transaction ends.

    All of them, in one order: two who take each other's rank at once would leave none.
    """
    ranked = (
        select(User.id)
        .where(User.role == Role.ADMINISTRATOR, User.username != LOCAL_USERNAME)
        .order_by(User.id)
        .with_for_update()
    )
    return set(session.execute(ranked).scalars())


def _end_keys_beyond(session: Session, owner_id: int) -> None:
    """Revoke a user's keys with scopes that only an administrator gives."""
    now = utc_now()
    query = select(ApiKey).where(ApiKey.user_id == owner_id, ApiKey.scopes.is_not(None))
    for row in session.execute(query.with_for_update()).scalars():
        is_in_force = row.revoked_at is None or row.revoked_at > now
        if is_in_force and (scopes_from_text(row.scopes) or frozenset()) - OF_EVERYBODY:
            row.revoked_at = now
            told = {"prefix": row.prefix}
            audit.record(session, Action.KEY_REVOKE, row.id, owner_id=owner_id, detail=told)
    session.flush()
