"""Users and API keys as values, so that other rooms see no rows of their tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirada.db.models import ApiKey, User


@dataclass(frozen=True, slots=True)
class Person:
    """A person or a service that owns images.

    Attributes:
        id: id of the user.
        username: unique, whatever the case of its letters.
        role: "user" or "administrator".
        created_at: UTC.
    """

    id: int
    username: str
    role: str
    created_at: datetime

    @classmethod
    def of(cls, row: User) -> Person:
        """Return the value of a row that was flushed."""
        return cls(row.id, row.username, str(row.role), row.created_at)


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
