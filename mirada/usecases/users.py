"""People and services that own images, and the API keys they call with."""

from __future__ import annotations

import hashlib
import re
import secrets

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mirada.db.models import ApiKey, Role, User, utc_now
from mirada.domain.errors import Conflict, InvalidInput, NotFound

LOCAL_USERNAME = "local"
"""Whom calls without a key act as under AUTH_MODE=open."""
KEY_BYTES = 32
"""CONTRACT, Who is calling: 32 random bytes; a fast hash is right for so much entropy."""
PREFIX_CHARS = 12
"""The readable beginning of a key, "mrd_" and 8 digits, that is stored and may be shown."""
LEAST_PREFIX_CHARS = 8
"""Fewer characters of a key say too little to revoke by."""
KEY_PATTERN = re.compile(r"mrd_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")
USERNAME_PATTERN = re.compile(r"[\w.@+-]{1,150}")


def create_user(session: Session, username: str, *, is_administrator: bool = False) -> User:
    """Insert a user.

    Raises:
        InvalidInput: the name is empty, longer than 150 characters, or holds other characters than
            letters, digits and any of `_ . @ + -`.
        Conflict: the name is taken.
    """
    if not USERNAME_PATTERN.fullmatch(username):
        reason = "1 to 150 letters, digits, or any of _ . @ + -"
        raise InvalidInput(
            f"A user name takes {reason}.", fields={"username": [f"It takes {reason}."]}
        )
    role = Role.ADMINISTRATOR if is_administrator else Role.USER
    user = User(username=username, role=role)
    try:
        with session.begin_nested():
            session.add(user)
            session.flush()
    except IntegrityError as error:
        raise Conflict(f"There is a user '{username}' already; choose another name.") from error
    return user


def issue_key(session: Session, user: User) -> str:
    """Return a new key of the user's; it is stored as its SHA-256 only, so show it now or never."""
    prefix = f"mrd_{secrets.token_hex(4)}"
    key = f"{prefix}_{secrets.token_urlsafe(KEY_BYTES)}"
    session.add(ApiKey(user_id=user.id, prefix=prefix, sha256=_sha256(key)))
    session.flush()
    return key


def user_of_key(session: Session, key: str) -> User | None:
    """Return whom a key belongs to, None when it is not, or no longer, a key."""
    if not KEY_PATTERN.fullmatch(key):
        return None
    return session.execute(
        select(User)
        .join(ApiKey, ApiKey.user_id == User.id)
        .where(ApiKey.sha256 == _sha256(key), ApiKey.revoked_at.is_(None))
    ).scalar_one_or_none()


def revoke_key(session: Session, beginning: str) -> str:
    """Void the key that begins so, and return its readable prefix.

    Args:
        session: a transaction.
        beginning: the key's first 8 to 12 characters; the whole key, pasted, will do as well.

    Raises:
        InvalidInput: fewer than 8 characters, or several keys in force begin so.
        NotFound: no key in force begins so.
    """
    if len(beginning) < LEAST_PREFIX_CHARS:
        raise InvalidInput(
            f"'{beginning}' is too short: give the key's first {PREFIX_CHARS} characters, or at "
            f"least {LEAST_PREFIX_CHARS}."
        )
    query = select(ApiKey).where(
        ApiKey.prefix.startswith(beginning[:PREFIX_CHARS], autoescape=True),
        ApiKey.revoked_at.is_(None),
    )
    if len(beginning) > PREFIX_CHARS:
        query = query.where(ApiKey.sha256 == _sha256(beginning))
    keys = session.execute(query.order_by(ApiKey.prefix)).scalars().all()
    if not keys:
        raise NotFound(f"No key in force begins with '{beginning[:PREFIX_CHARS]}'.")
    if len(keys) > 1:
        prefixes = ", ".join(key.prefix for key in keys)
        raise InvalidInput(f"{len(keys)} keys begin with '{beginning}': {prefixes}.")
    keys[0].revoked_at = utc_now()
    session.flush()
    return keys[0].prefix


def local_user(session: Session) -> User:
    """Return the administrator whom calls without a key act as; the first call inserts it."""
    query = select(User).where(User.username == LOCAL_USERNAME)
    user = session.execute(query).scalar_one_or_none()
    if user is not None:
        return user
    try:
        return create_user(session, LOCAL_USERNAME, is_administrator=True)
    except Conflict:
        # Another process has inserted it between our look and our insert.
        return session.execute(query).scalar_one()


def user_named(session: Session, username: str) -> User:
    """Return a user by name; "local" is inserted when it is not there yet.

    Raises:
        NotFound: there is no such user.
    """
    if username == LOCAL_USERNAME:
        return local_user(session)
    user = session.execute(select(User).where(User.username == username)).scalar_one_or_none()
    if user is None:
        raise NotFound(
            f"There is no user '{username}'. Create it: flask --app wsgi users create {username}"
        )
    return user


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
