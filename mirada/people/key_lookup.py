"""Finds the owner of a key in the database, at every call, so that revoking works at once."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from mirada.db.models import ApiKey, User, utc_now
from mirada.kernel.errors import NotAuthenticated
from mirada.people.access import KeyState, key_state
from mirada.people.identity import Key, Person

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
    return _in_force(session, ApiKey.sha256 == sha256_of(key))


def recognise_by_id(session: Session, key_id: int, prefix: str) -> Bearer:
    """Return the key that opened a session. Raises NotAuthenticated as `recognise_key` does."""
    return _in_force(session, ApiKey.id == key_id, ApiKey.prefix == prefix)


def sha256_of(key: str) -> str:
    """Return the digest of a key, which is what is stored; the time of a look-up reveals no key."""
    return hashlib.sha256(key.encode()).hexdigest()


def _in_force(session: Session, *which: ColumnElement[bool]) -> Bearer:
    found = session.execute(
        select(User, ApiKey).join(ApiKey, ApiKey.user_id == User.id).where(*which)
    ).one_or_none()
    if found is None:
        raise NotAuthenticated("This API key is not valid.")
    user, key = found
    state = key_state(key.expires_at, key.revoked_at, utc_now())
    if state is KeyState.EXPIRED:
        raise NotAuthenticated("This API key has expired. Issue a new one.")
    if state is KeyState.REVOKED:
        raise NotAuthenticated("This API key was revoked. Issue a new one.")
    return Bearer(Person.of(user), Key.of(key))
