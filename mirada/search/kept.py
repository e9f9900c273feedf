"""Rankings that are kept for a while, so that every process serves the next page of the same one."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mirada.db.chunks import chunks, rows_in
from mirada.db.models import ApiKey
from mirada.db.paging_models import KeptRanking
from mirada.db.session import count_changed, now_ms
from mirada.search.cursors import KEPT_FOR_S

MOST_OF_CALLER, MOST_BYTES_OF_CALLER = 200, 16 * 2**20
"""The newest that one caller has; for the next, the oldest goes. All callers without a key are one."""
MOST_IN_ALL, MOST_BYTES = 2_000, 128 * 2**20
"""Beyond these, the oldest goes of whoever has most."""
SWEPT_ROWS = 500


@dataclass(frozen=True, slots=True)
class NewRanking:
    """A ranking that is to be kept.

    Attributes:
        ticket: 24 hex digits, the name that its first page gave it.
        caller: 64 hex digits; nobody else finds it.
        question: what was asked, and which images the first page showed.
        about: what is said of the ranking as a whole; empty while nothing is ranked.
        places: its hits, all of one size; empty while nothing is ranked.
        count: number of hits; None while nothing is ranked.
    """

    ticket: str
    caller: str
    question: bytes
    about: bytes = b""
    places: bytes = b""
    count: int | None = None

    @property
    def byte_size(self) -> int:
        """Size of what is kept."""
        return len(self.question) + len(self.about) + len(self.places)


@dataclass(frozen=True, slots=True)
class Kept:
    """A ranking that was kept, without its hits, or with some of them.

    Attributes:
        id: of the row.
        age_s: seconds since it was made.
        question: as `NewRanking` has it.
        about: as `NewRanking` has it.
        count: number of hits; None while nothing is ranked.
        places: the hits that were asked for.
    """

    id: int
    age_s: int
    question: bytes
    about: bytes
    count: int | None
    places: bytes = b""


def caller_named(viewer_id: int | None, key_id: int | None) -> str:
    """Return whose a ranking is, 64 hex digits: a viewer's, None for a stranger, by the key they ask with."""
    return hashlib.sha256(f"{viewer_id}/{key_id}".encode()).hexdigest()


def by_ticket(session: Session, caller: str, ticket: str) -> Kept | None:
    """Return what a caller's search has kept under its ticket; None when there is nothing (any more)."""
    return _one(session, KeptRanking.ticket == ticket, caller)


def by_id(session: Session, caller: str, row_id: int, start: int, length: int) -> Kept | None:
    """Return a caller's ranking with so many bytes of its places; None when it is gone.

    Args:
        session: for reading.
        caller: whose it has to be.
        row_id: of the ranking.
        start: first byte, from 0.
        length: number of bytes.
    """
    # From 1, as SQL counts. The rest of the BLOB stays where it is.
    places = func.substr(KeptRanking.places, start + 1, length, type_=KeptRanking.places.type)
    return _one(session, KeptRanking.id == row_id, caller, places)


def keep(session: Session, new: NewRanking, *, is_stranger: bool) -> bool:
    """Keep a ranking, or a question without one; False when there is one under its ticket already.

    For room the oldest of the same caller go, and beyond the bounds in all, of who has most.

    Args:
        session: a transaction.
        new: what is kept.
        is_stranger: the caller is everybody without a key; they share what everybody may have.
    """
    _make_room(session, new, is_stranger=is_stranger)
    try:
        with session.begin_nested():
            session.add(
                KeptRanking(
                    ticket=new.ticket,
                    caller=new.caller,
                    made_at_ms=now_ms(),
                    byte_size=new.byte_size,
                    ranked_count=new.count,
                    question=new.question,
                    about=new.about,
                    places=new.places,
                )
            )
            session.flush()
    except IntegrityError:
        return False
    return True


def complete(session: Session, row_id: int, new: NewRanking) -> bool:
    """Add the ranking to a question that was kept; False when another request did, or it is gone.

    The ten minutes begin anew, as they do for a ranking whose question was in a cursor.
    """
    return bool(
        count_changed(
            session,
            update(KeptRanking)
            .where(KeptRanking.id == row_id, KeptRanking.ranked_count.is_(None))
            .values(
                made_at_ms=now_ms(),
                byte_size=new.byte_size,
                ranked_count=new.count,
                about=new.about,
                places=new.places,
            ),
        )
    )


def forget_viewer(session: Session, viewer_id: int) -> None:
    """Delete all rankings of a user who was ended, whatever key they asked with."""
    # Without a key ask those whom the product's key or token names.
    keys = session.execute(select(ApiKey.id).where(ApiKey.user_id == viewer_id)).scalars()
    theirs = [caller_named(viewer_id, key_id) for key_id in (None, *keys)]
    rows = rows_in(session, select(KeptRanking.id), KeptRanking.caller, theirs)
    _delete(session, [row.id for row in rows])


def sweep(session: Session) -> int:
    """Delete rankings whose time is over, SWEPT_ROWS at most; return how many."""
    over = session.execute(select(KeptRanking.id).where(~_is_in_time()).limit(SWEPT_ROWS)).scalars()
    return _delete(session, over)


def _is_in_time() -> ColumnElement[bool]:
    return KeptRanking.made_at_ms > now_ms() - KEPT_FOR_S * 1000


def _one(
    session: Session,
    named: ColumnElement[bool],
    caller: str,
    places: ColumnElement[bytes] | None = None,
) -> Kept | None:
    columns = [
        KeptRanking.id,
        (now_ms() - KeptRanking.made_at_ms).label("age_ms"),
        KeptRanking.question,
        KeptRanking.about,
        KeptRanking.ranked_count,
    ]
    query = select(*columns, *([] if places is None else [places.label("places")]))
    row = session.execute(
        query.where(named, KeptRanking.caller == caller, _is_in_time())
    ).one_or_none()
    if row is None:
        return None
    seconds = int(row.age_ms) // 1000
    shown = b"" if places is None else bytes(row.places)
    return Kept(row.id, seconds, row.question, row.about, row.ranked_count, shown)


def _make_room(session: Session, new: NewRanking, *, is_stranger: bool) -> None:
    """Delete what there is no room for beside a new row. Mostly one aggregate, which deletes nothing."""
    sizes = {
        row.caller: (row.rows, int(row.bytes))
        for row in session.execute(
            select(
                KeptRanking.caller,
                func.count().label("rows"),
                func.sum(KeptRanking.byte_size).label("bytes"),
            ).group_by(KeptRanking.caller)
        )
    }
    own = sizes.get(new.caller, (0, 0))
    everybody = sum(rows for rows, _ in sizes.values()), sum(size for _, size in sizes.values())
    of_caller = (MOST_IN_ALL, MOST_BYTES) if is_stranger else (MOST_OF_CALLER, MOST_BYTES_OF_CALLER)
    in_all = (MOST_IN_ALL, MOST_BYTES)
    if _has_room(own, of_caller, new) and _has_room(everybody, in_all, new):
        return
    rows = _newest_first(session)
    doomed = _beyond([row for row in rows if row.caller == new.caller], of_caller, new)
    left = [row for row in rows if row.id not in doomed]
    _delete(session, doomed | _beyond(_fairly(left), in_all, new))


def _has_room(there: tuple[int, int], most: tuple[int, int], new: NewRanking) -> bool:
    return there[0] + 1 <= most[0] and there[1] + new.byte_size <= most[1]


def _newest_first(session: Session) -> list[_Row]:
    query = select(KeptRanking.id, KeptRanking.caller, KeptRanking.byte_size)
    newest = query.order_by(KeptRanking.made_at_ms.desc(), KeptRanking.id.desc())
    return [_Row(row.id, row.caller, row.byte_size) for row in session.execute(newest)]


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    caller: str
    byte_size: int


def _fairly(rows: Sequence[_Row]) -> list[_Row]:
    """Return rows, newest first, in another order: everybody's newest, everybody's second, and so on."""
    places: dict[str, int] = defaultdict(int)
    numbered = []
    for row in rows:
        numbered.append((places[row.caller], row))
        places[row.caller] += 1
    return [row for _, row in sorted(numbered, key=lambda pair: pair[0])]


def _beyond(rows: Sequence[_Row], most: tuple[int, int], new: NewRanking) -> set[int]:
    """Return which rows, in their order, there is no room for beside a new one."""
    count, total = 1, new.byte_size
    for place, row in enumerate(rows):
        count, total = count + 1, total + row.byte_size
        if count > most[0] or total > most[1]:
            return {beyond.id for beyond in rows[place:]}
    return set()


def _delete(session: Session, row_ids: Iterable[int]) -> int:
    # In one order, so that two requests cannot wait for each other.
    return sum(
        count_changed(session, delete(KeptRanking).where(KeptRanking.id.in_(some)))
        for some in chunks(sorted(row_ids))
    )
