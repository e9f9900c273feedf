"""Users and API keys as values, the look-up of a key's owner, and the key that signs cookies.

Other rooms see no rows of their tables. A key is looked up at every call, so that revoking works at once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from mirada.db.models import ApiKey, Installation, User, utc_now
from mirada.kernel.errors import NotAuthenticated
from mirada.people.access import KeyState, key_state


@dataclass(frozen=True, slots=True)
class Person:
    """A person or a service that owns images.

    Attributes:
        id: id of the user.
        username: unique, whatever the case of its letters.
        role: "user" or "administrator".
        created_at: UTC.
        external_id: the host product's id of them; None for a user of this installation. It is
            theirs and administrators' to know.
        is_ended: whether an administrator ended them.
    """

    id: int
    username: str
    role: str
    created_at: datetime
    external_id: str | None = None
    is_ended: bool = False

    @classmethod
    def of(cls, row: User) -> Person:
        """Return the value of a row that was flushed."""
        return cls(
            row.id,
            row.username,
            str(row.role),
            row.created_at,
            row.external_id,
            row.ended_at is not None,
        )


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret part.

    Attributes:
        id: id of the key.
        user_id: id of its owner.
        prefix: first characters of the key.
        name: the owner's name for it; None for no name.
        scopes: names separated by blanks; None for all rights of its owner.
        created_at: UTC, like all times here.
        expires_at: None for never.
        last_used_at: exact to about a minute; None for never.
        revoked_at: None for never; in the future for a rotated key in its grace period.
    """

    id: int
    user_id: int
    prefix: str
    name: str | None
    scopes: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: ApiKey) -> Key:
        """Return the value of a row that was flushed."""
        return cls(
            id=row.id,
            user_id=row.user_id,
            prefix=row.prefix,
            name=row.name,
            scopes=row.scopes,
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
        )


KEY_PATTERN = re.compile(r"mrd_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")
"""The form of a key, as `keys` makes it: a prefix, and 32 bytes in base64url (RFC 4648, section 5)."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A valid key with its owner."""

    user: Person
    key: Key


def recognise_key(session: Session, key: str) -> Bearer:
    """Return a key with its owner.

    Raises:
        NotAuthenticated: it is not a key, was revoked, or has expired. The message tells which,
            since only a holder of the whole key can see the last two.
    """
    if not KEY_PATTERN.fullmatch(key):
        raise NotAuthenticated("This is not an API key of this server.")
    return _in_force(session, _BY_DIGEST, {"sha256": sha256_of(key)})


def recognise_by_id(session: Session, key_id: int, prefix: str) -> Bearer:
    """Return the key that opened a session. Raises NotAuthenticated as `recognise_key` does."""
    return _in_force(session, _BY_ID, {"key_id": key_id, "prefix": prefix})


def sha256_of(key: str) -> str:
    """Return the digest of a key, which is what is stored; the time of a look-up reveals no key."""
    return hashlib.sha256(key.encode()).hexdigest()


# Asked at every call, so of columns alone: mapped rows take twice as long.
_USERS, _KEYS = User.__table__.c, ApiKey.__table__.c
_PERSON = (_USERS.id, _USERS.username, _USERS.role, _USERS.created_at, _USERS.external_id)
_KEY = tuple(_KEYS[each.name] for each in fields(Key))
_BEARERS = select(*_PERSON, _USERS.ended_at, *_KEY).join_from(
    User.__table__, ApiKey.__table__, _KEYS.user_id == _USERS.id
)
_BY_DIGEST = _BEARERS.where(_KEYS.sha256 == bindparam("sha256"))
_BY_ID = _BEARERS.where(_KEYS.id == bindparam("key_id"), _KEYS.prefix == bindparam("prefix"))


def _in_force(session: Session, query: Select[Any], which: Mapping[str, object]) -> Bearer:
    row = session.execute(query, which).one_or_none()
    if row is None:
        raise NotAuthenticated("This API key is not valid.")
    user_id, username, role, created_at, external_id, ended_at, *key_fields = row
    user = Person(user_id, username, role, created_at, external_id, ended_at is not None)
    key = Key(*key_fields)
    state = key_state(key.expires_at, key.revoked_at, utc_now())
    if state is KeyState.EXPIRED:
        raise NotAuthenticated("This API key has expired. Issue a new one.")
    if state is KeyState.REVOKED:
        raise NotAuthenticated("This API key was revoked. Issue a new one.")
    return Bearer(user, key)


def signing_key(session: Session, secret: str) -> str:
    """Return the key that signs cookies, 64 hex digits, from a secret and the database's epoch.

    A reader of the database cannot sign, for the secret is not in it. The epoch is no secret: with
    it two databases with one `.env` do not accept each other's cookies, nor does a restored one
    those of before.

    Args:
        session: for reading.
        secret: SECRET_KEY, or what is kept in a file in its place.
    """
    epoch = session.execute(select(Installation.db_epoch)).scalar_one()
    return hmac.new(secret.encode(), epoch.encode(), hashlib.sha256).hexdigest()
