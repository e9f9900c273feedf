"""Whether those who were recognised a while ago would be recognised now, many in two statements."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.models import ApiKey, Role, User, utc_now
from mirada.people.access import KeyState, key_state


@dataclass(frozen=True, slots=True)
class Credential:
    """The ground on which somebody is answered.

    Attributes:
        user_id: who they are.
        as_administrator: they were taken for one.
        key_ids: of the keys that it rests on; none for the local user and for tokens.
        expires_at: when their session ends; None without one.
    """

    user_id: int
    as_administrator: bool
    key_ids: frozenset[int] = frozenset()
    expires_at: datetime | None = None


def in_force(session: Session, credentials: Collection[Credential]) -> set[Credential]:
    """Return those of these that count now: user not ended, rank not lost, keys and session valid."""
    now = utc_now()
    user_ids = {each.user_id for each in credentials}
    key_ids = {key_id for each in credentials for key_id in each.key_ids}
    users = {
        row.id: row.role
        for row in session.execute(
            select(User.id, User.role).where(User.id.in_(user_ids), User.ended_at.is_(None))
        )
    }
    keys: set[int] = set()
    if key_ids:
        rows = session.execute(
            select(ApiKey.id, ApiKey.expires_at, ApiKey.revoked_at).where(ApiKey.id.in_(key_ids))
        )
        void = (KeyState.EXPIRED, KeyState.REVOKED)
        keys = {
            row.id for row in rows if key_state(row.expires_at, row.revoked_at, now) not in void
        }
    return {
        each
        for each in credentials
        if each.user_id in users
        and (not each.as_administrator or users[each.user_id] == Role.ADMINISTRATOR)
        and each.key_ids <= keys
        and (each.expires_at is None or now < each.expires_at)
    }
