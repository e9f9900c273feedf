"""Whose key this is: read from the database every time, so that a revoked one counts nowhere at once."""

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


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose key it is, and the key."""

    user: Person
    key: Key


def recognise_key(session: Session, key: str) -> Bearer:
    """Return whose key this is.

    Raises:
        NotAuthenticated: it is none, was revoked, or has expired. Only who has all of a key learns
            which.
    """
    if not KEY_PATTERN.fullmatch(key):
        raise NotAuthenticated("This is not an API key of this server.")
    return _in_force(session, ApiKey.sha256 == sha256_of(key))


def recognise_by_id(session: Session, key_id: int, prefix: str) -> Bearer:
    """Return whose key a session was opened with. Raises NotAuthenticated as `recognise_key` does."""
    return _in_force(session, ApiKey.id == key_id, ApiKey.prefix == prefix)


def sha256_of(key: str) -> str:
    """Return what is stored of a key. How long a look-up of it takes tells nothing of any key."""
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
