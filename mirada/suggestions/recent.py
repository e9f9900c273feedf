"""The words of searches that one person made lately: theirs alone, for 30 days, or until they erase them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from mirada.db.deadlocks import in_transaction, retried
from mirada.db.models import User, utc_now
from mirada.db.recent_models import RecentSearch
from mirada.db.session import Database, count_changed
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.kernel.ids import in_range
from mirada.kernel.keywords import folded
from mirada.kernel.user_text import checked_text

KEPT_FOR = timedelta(days=30)
"""Since they were searched for last."""
MOST_KEPT = 100
"""Of one person; the oldest make room."""
MAX_WORDS = 150
"""Characters; longer texts are pasted, and nobody looks for their beginning."""
PURGE_ROWS = 500
"""Rows deleted per transaction."""


def keep_recent(database: Database, owner_id: int, words: str) -> RecentSearch:
    """Keep the words of a search that somebody made now, once however they write them.

    Raises:
        InvalidInput: there are none, more than MAX_WORDS characters, or some that are no text.
    """
    text = " ".join((checked_text("words", words) or "").split())
    if not 1 <= len(text) <= MAX_WORDS:
        reason = f"1 to {MAX_WORDS} characters that are not blanks are kept; this has {len(text)}."
        raise InvalidInput(reason, fields={"words": [reason]})
    digest = hashlib.sha256(folded(text).encode()).hexdigest()

    def store(session: Session) -> RecentSearch:
        # One person's searches come one after the other, so that two tabs do not make one twice.
        session.get(User, owner_id, with_for_update=True)
        same = select(RecentSearch).where(
            RecentSearch.owner_id == owner_id, RecentSearch.digest == digest
        )
        row = session.execute(same).scalar_one_or_none()
        if row is None:
            row = RecentSearch(owner_id=owner_id, digest=digest)
            session.add(row)
        row.words, row.searched_at = text, utc_now()
        session.flush()
        _make_room(session, owner_id)
        return row

    return in_transaction(database, store)


def recent_searches(session: Session, owner_id: int) -> Sequence[RecentSearch]:
    """Return what one person searched for within KEPT_FOR, the newest first, MOST_KEPT at most."""
    return session.execute(_kept(owner_id)).scalars().all()


def get_recent(session: Session, search_id: int, owner_id: int) -> RecentSearch:
    """Return one of a person's recent searches. Raises NotFound: none, not theirs, or too old."""
    query = _kept(owner_id).where(RecentSearch.id == in_range(search_id))
    found = session.execute(query).scalar_one_or_none()
    if found is None:
        raise _absent(search_id)
    return found


def _erase(session: Session, search_id: int, owner_id: int) -> None:
    statement = delete(RecentSearch).where(
        RecentSearch.id == in_range(search_id), RecentSearch.owner_id == owner_id
    )
    if not count_changed(session, statement):
        raise _absent(search_id)


erase_recent = retried(_erase)
"""Erase one of a person's recent searches. Raises NotFound: there is none of theirs."""


def forget_all_of(session: Session, owner_id: int) -> None:
    """Delete what somebody searched for."""
    count_changed(session, delete(RecentSearch).where(RecentSearch.owner_id == owner_id))


erase_all_recent = retried(forget_all_of)
"""Erase all of a person's recent searches."""


def forget_expired(session: Session) -> int:
    """Delete the oldest searches whose time is over, and return how many."""
    expired = select(RecentSearch.id).where(RecentSearch.searched_at <= utc_now() - KEPT_FOR)
    ids = session.execute(expired.order_by(RecentSearch.searched_at).limit(PURGE_ROWS)).scalars()
    # Read first: most sweeps find nothing, and then lock nothing.
    found = list(ids)
    if not found:
        return 0
    return count_changed(session, delete(RecentSearch).where(RecentSearch.id.in_(found)))


def _kept(owner_id: int) -> Select[RecentSearch]:
    newest = RecentSearch.searched_at.desc(), RecentSearch.id.desc()
    return (
        select(RecentSearch)
        .where(RecentSearch.owner_id == owner_id, RecentSearch.searched_at > utc_now() - KEPT_FOR)
        .order_by(*newest)
        .limit(MOST_KEPT)
    )


def _make_room(session: Session, owner_id: int) -> None:
    newest = RecentSearch.searched_at.desc(), RecentSearch.id.desc()
    query = select(RecentSearch.id).where(RecentSearch.owner_id == owner_id).order_by(*newest)
    too_many = list(session.execute(query.offset(MOST_KEPT).limit(PURGE_ROWS)).scalars())
    if too_many:
        session.execute(delete(RecentSearch).where(RecentSearch.id.in_(too_many)))


def _absent(search_id: int) -> NotFound:
    return NotFound(f"There is no recent search {search_id}, or its 30 days are over.")
