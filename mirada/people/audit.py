"""The audit trail of administrators and keys: read page by page, and forgotten after AUDIT_DAYS."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, or_, select
from sqlalchemy.orm import Session

from mirada.db.audit_models import AuditEntry
from mirada.db.models import ApiKey, User, utc_now
from mirada.db.pages import newest_first
from mirada.db.session import count_changed
from mirada.kernel.audit import Action as Action
from mirada.kernel.audit import Via as Via

PURGE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """The entries that are asked for.

    Attributes:
        user_id: by this user, or about what is theirs; None for everybody.
        actions: any of these; empty for all.
        since: then or later; None for all.
        until: before that; None for all.
    """

    user_id: int | None = None
    actions: Collection[str] = ()
    since: datetime | None = None
    until: datetime | None = None

    def query(self) -> Select[AuditEntry]:
        """Return the query for them."""
        found = select(AuditEntry)
        if self.user_id is not None:
            found = found.where(
                or_(AuditEntry.user_id == self.user_id, AuditEntry.owner_id == self.user_id)
            )
        if self.actions:
            found = found.where(AuditEntry.action.in_(sorted(self.actions)))
        if self.since is not None:
            found = found.where(AuditEntry.created_at >= self.since)
        if self.until is not None:
            found = found.where(AuditEntry.created_at < self.until)
        return found


@dataclass(frozen=True, slots=True)
class Entry:
    """One act, as somebody may read it.

    Attributes:
        id: of the entry.
        created_at: when, UTC.
        action: what was done; the part before the point is the kind of thing.
        subject_id: the thing; None for all of its kind, or one without a number.
        owner_id: whose it is; None for nobody's.
        owner: their name; None where that was no user, or is none any more.
        user_id: who did it; None for the command line and the server, and for somebody else where the
            reader is no administrator.
        user: their name, as `owner`.
        role: what they acted as; None for the command line and the server.
        via: how they came in; None where `user_id` is kept from the reader.
        key_id: the key that they called with, or that opened their session. A reader who is no administrator
            is told their own keys alone, and none of a product that acts for its people.
        detail: a few facts.
    """

    id: int
    created_at: datetime
    action: str
    subject_id: int | None
    owner_id: int | None
    owner: str | None
    user_id: int | None
    user: str | None
    role: str | None
    via: str | None
    key_id: int | None
    detail: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The kind of thing that it was done to."""
        return self.action.partition(".")[0]


def list_entries(
    session: Session,
    wanted: Wanted,
    *,
    reader_id: int | None = None,
    cursor: int | None = None,
    limit: int = 50,
) -> list[Entry]:
    """Return at most `limit` entries, newest first.

    Args:
        session: for reading.
        wanted: which.
        reader_id: a reader who does not act as an administrator; None for one who does. Of others they
            are told only that they were one. Of what they did to others they are not told to whom.
        cursor: id of the last entry of the page before; None for the first page.
        limit: >= 1.
    """
    query = newest_first(wanted.query(), AuditEntry.id, cursor, limit)
    rows = session.execute(query).scalars().all()
    ids = {each for row in rows for each in (row.user_id, row.owner_id) if each is not None}
    named = select(User.id, User.username).where(User.id.in_(ids), User.ended_at.is_(None))
    names: dict[int, str] = {}
    if ids:
        names = {row.id: row.username for row in session.execute(named)}
    key_ids = {row.key_id for row in rows if row.key_id is not None}
    if reader_id is not None and key_ids:
        own = select(ApiKey.id).where(ApiKey.id.in_(key_ids), ApiKey.user_id == reader_id)
        key_ids = set(session.execute(own).scalars())
    return [_read(row, names, key_ids, reader_id) for row in rows]


def _read(
    row: AuditEntry, names: Mapping[int, str], key_ids: Collection[int], reader_id: int | None
) -> Entry:
    is_told = reader_id is None or row.user_id == reader_id
    # A key without its owner's rank reads what they did to others, and not to whom.
    is_theirs = reader_id is None or row.owner_id in (None, reader_id)
    owner_id = row.owner_id if is_theirs else None
    return Entry(
        row.id,
        row.created_at,
        row.action,
        row.subject_id if is_theirs else None,
        owner_id,
        None if owner_id is None else names.get(owner_id),
        row.user_id if is_told else None,
        names.get(row.user_id) if is_told and row.user_id is not None else None,
        row.role,
        row.via if is_told else None,
        row.key_id if is_told and row.key_id in key_ids else None,
        row.detail if is_theirs else {},
    )


def forget_old(session: Session, days: int) -> int:
    """Delete some entries that are older than so many days, PURGE_ROWS at most; return how many."""
    old = select(AuditEntry.id).where(AuditEntry.created_at < utc_now() - timedelta(days=days))
    ids = list(session.execute(old.limit(PURGE_ROWS)).scalars())
    if not ids:
        return 0
    return count_changed(session, delete(AuditEntry).where(AuditEntry.id.in_(ids)))
