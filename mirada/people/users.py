"""Users: people and services that own images. Their keys are in `mirada.people.keys`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mirada.db import audit
from mirada.db.models import ApiKey, Role, User
from mirada.db.pages import newest_first
from mirada.kernel.audit import Action
from mirada.kernel.commands import command_line
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.ids import in_range
from mirada.people import keys
from mirada.people.access import Scopes
from mirada.people.identity import Key, Person

LOCAL_USERNAME = "local"
"""The user of calls without a key under AUTH_MODE=open."""
USERNAME_PATTERN = re.compile(r"[\w.@+-]{1,150}")
"""The same form as Django's UnicodeUsernameValidator, up to the length of the column."""


@dataclass(frozen=True, slots=True)
class NewUser:
    """A new user with their first key; see `keys.NewKey`."""

    user: Person
    first_key: keys.NewKey


def create_user(session: Session, username: str, *, is_administrator: bool = False) -> Person:
    """Insert a user.

    Names that differ only in case are equal. SQLite compares the case of A to Z only. For MySQL,
    letters with and without accents are equal too.

    Raises:
        InvalidInput: the name is empty, longer than 150 characters, or holds a character other than
            letters, digits and `_ . @ + -`.
        Conflict: the name is taken, or is that of the local user.
    """
    # NFKC makes full-width letters and other variants plain letters.
    username = unicodedata.normalize("NFKC", username)
    if not USERNAME_PATTERN.fullmatch(username):
        reason = "1 to 150 letters, digits, or any of _ . @ + -"
        raise InvalidInput(
            f"A user name takes {reason}.", fields={"username": [f"It takes {reason}."]}
        )
    if _without_accents(username).casefold() == LOCAL_USERNAME:
        raise Conflict(
            f"'{LOCAL_USERNAME}' is whom calls without a key act as; choose another name."
        )
    user = _inserted(session, username, Role.ADMINISTRATOR if is_administrator else Role.USER)
    audit.record(session, Action.USER_MAKE, user.id, owner_id=user.id, detail={"role": user.role})
    return user


def create_with_key(
    session: Session,
    username: str,
    *,
    is_administrator: bool = False,
    key_name: str | None = None,
    scopes: Scopes | None = None,
    expires_at: datetime | None = None,
    asker: keys.Asker = keys.COMMAND_LINE,
) -> NewUser:
    """Insert a user and their first key, both or neither.

    Args:
        session: a transaction.
        username: see `create_user`.
        is_administrator: whether the user is an administrator.
        key_name: name of the key.
        scopes: rights of the key; None for all rights of the user.
        expires_at: end of the key's validity; None for never.
        asker: the caller; a repeated request of theirs gets the user without the key.

    Raises:
        InvalidInput, Conflict, NotAllowed, ScopeMissing: as `create_user` and `keys.issue` do.
    """
    request = asker.once(
        "create_user",
        {
            "username": username,
            "is_administrator": is_administrator,
            "key_name": key_name,
            "scopes": None if scopes is None else sorted(scopes),
            "expires_at": None if expires_at is None else expires_at.timestamp(),
        },
    )
    earlier = request.earlier(session)
    if earlier is not None:
        return _replayed(session, earlier)
    user = create_user(session, username, is_administrator=is_administrator)
    key = keys.issue(
        session,
        user,
        name=key_name,
        scopes=scopes,
        expires_at=expires_at,
        # The key of the request is the user's, not this API key's.
        asker=replace(asker, idempotency_key=None),
    )
    request.keep(session, user.id)
    return NewUser(user, key)


def without_rank(user: Person) -> Person:
    """Return the user with the role that a key without the scope admin gives: an ordinary user's."""
    return replace(user, role=str(Role.USER))


def get_user(session: Session, user_id: int) -> Person:
    """Return a user by id. Raises NotFound, also for one who was ended."""
    user = session.get(User, in_range(user_id))
    if user is None or user.ended_at is not None:
        raise no_such_user(user_id)
    return Person.of(user)


def no_such_user(user_id: int) -> NotFound:
    """Return the error for an absent user, and for one whom the caller must not know of."""
    return NotFound(f"There is no user {user_id}.")


def list_users(session: Session, *, cursor: int | None = None, limit: int = 50) -> list[Person]:
    """Return at most `limit` users, newest first, without those who were ended.

    Args:
        session: for reading.
        cursor: id of the last user of the page before; None for the first page.
        limit: most users, >= 1.
    """
    query = select(User).where(User.ended_at.is_(None))
    rows = session.execute(newest_first(query, User.id, cursor, limit)).scalars()
    return [Person.of(row) for row in rows]


def local_user(session: Session) -> Person:
    """Return LOCAL_USERNAME, the administrator of calls without a key; the first call inserts it.

    Raises:
        Conflict: the database finds the name of another user equal to it.
    """
    user = _found_local_user(session)
    if user is not None:
        return user
    try:
        return _inserted(session, LOCAL_USERNAME, Role.ADMINISTRATOR)
    except Conflict:
        # Another process inserted the user after our query.
        user = _found_local_user(session)
        if user is None:
            raise
        return user


def user_named(session: Session, username: str) -> Person:
    """Return a user by the exact name; the user "local" is inserted if it is absent.

    Raises:
        NotFound: there is no such user.
    """
    if username == LOCAL_USERNAME:
        return local_user(session)
    user = session.execute(select(User).where(User.username == username)).scalar_one_or_none()
    # MySQL finds "ana" under "ANA", but a name must match exactly.
    if user is None or user.username != username or user.ended_at is not None:
        raise NotFound(
            f"There is no user '{username}'. Create it: {command_line(f'users create {username}')}"
        )
    return Person.of(user)


def _found_local_user(session: Session) -> Person | None:
    user = session.execute(select(User).where(User.username == LOCAL_USERNAME)).scalar_one_or_none()
    # MySQL finds "lócal" under "local", and nobody else may be taken for an administrator.
    if user is not None and user.username != LOCAL_USERNAME:
        raise Conflict(
            f"This database takes '{user.username}' for '{LOCAL_USERNAME}', whom calls without a key "
            "act as: rename that user in the table users."
        )
    return None if user is None else Person.of(user)


def _without_accents(username: str) -> str:
    parts = unicodedata.normalize("NFD", username)
    return "".join(part for part in parts if not unicodedata.combining(part))


def _inserted(session: Session, username: str, role: Role) -> Person:
    taken = select(User.username).where(func.lower(User.username) == username.lower()).limit(1)
    other = session.execute(taken).scalar_one_or_none()
    if other is not None:
        raise Conflict(f"There is a user '{other}' already; choose another name.")
    user = User(username=username, role=role)
    try:
        with session.begin_nested():
            session.add(user)
            session.flush()
    except IntegrityError as error:
        raise Conflict(f"There is a user '{username}' already; choose another name.") from error
    return Person.of(user)


def _replayed(session: Session, user_id: int) -> NewUser:
    found = session.execute(
        select(User, ApiKey)
        .join(ApiKey, ApiKey.user_id == User.id)
        .where(User.id == user_id)
        .order_by(ApiKey.id)
        .limit(1)
    ).one_or_none()
    if found is None:
        raise Conflict("The user of this Idempotency-Key is gone. Send a new one to make another.")
    return NewUser(Person.of(found[0]), keys.NewKey(Key.of(found[1]), None))
