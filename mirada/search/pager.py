"""The pages of one caller's searches: cursors out, rankings in the database, pages in.

A first page costs no write. Its cursor holds the question and what was shown. Only when somebody asks for
the second page is the rest ranked, to MOST_RANKED, and kept; every further page is a piece of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy.orm import Session

from mirada.db.deadlocks import in_transaction
from mirada.kernel.errors import InvalidInput, SearchExpired, Unavailable
from mirada.people.identity import signing_key
from mirada.runtime import Runtime
from mirada.search import cursors, kept
from mirada.search.cursors import (
    KEPT_FOR_S,
    Cursor,
    InRanking,
    Unranked,
    longest_content,
    packed_ids,
    seal,
    unpacked_ids,
    unseal,
)
from mirada.search.found import Hit
from mirada.search.kept import Kept, NewRanking
from mirada.search.paged import Asking, Page, Ranked, Whole
from mirada.search.places import hit_type, packed, sources_of, unpacked

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
MOST_RANKED = 5_000
"""Images ranked for all further pages together: a hundred pages of fifty."""
MOST_READ = 500
"""Hits read at once where many of a page's own have vanished."""
TOO_LATE = (
    f"This cursor is older than {KEPT_FOR_S // 60} minutes, and the ranking that it belongs to is not "
    "kept any longer. Search again without a cursor."
)
MADE_ROOM = (
    "The ranking that this cursor belongs to has made room for later searches with the same key. "
    "Search again without a cursor."
)
OTHER_MODEL = (
    "The image model was changed since this cursor was given, and its ranking ended with the old one. "
    "Search again without a cursor."
)


class Pager:
    """Pages for one caller: nobody else's cursors are good for them, nor theirs for anybody else."""

    def __init__(self, runtime: Runtime, viewer_id: int | None, key_id: int | None = None) -> None:
        """Keep who asks: the viewer, None for a stranger, and the key they ask with."""
        self._runtime = runtime
        self._is_stranger = viewer_id is None
        self._caller = kept.caller_named(viewer_id, key_id)
        self._space_id = runtime.view.image_space_id or 0

    def after_first(self, question: bytes, shown: Sequence[int], limit: int) -> str | None:
        """Return the cursor behind a first page.

        A question that is too long for a cursor is kept in the database. Where that cannot be
        written just now, there is no further page, and the log says why.

        Args:
            question: from which it can be asked again.
            shown: ids of the images of the first page.
            limit: how many were asked for.
        """
        ticket = cursors.new_ticket()
        place = Unranked(question, sorted(shown))
        if len(question) > longest_content(shown):
            asked = NewRanking(ticket.hex(), self._caller, packed_ids(shown) + question)
            try:
                self._keep(asked)
            except Unavailable as error:
                logger.warning("A search has one page only: its question was not kept: %s", error)
                return None
            place = Unranked()
        return self._sealed(Cursor(place, limit, cursors.now_s(), ticket, self._space_id))

    def turn(self, text: str, asking: Asking[Result], limit: int | None = None) -> Page[Result]:
        """Return the page that a cursor names.

        Args:
            text: the cursor.
            asking: what is done with its question and its hits.
            limit: how many results; None for as many as before.

        Raises:
            InvalidInput: the cursor was not given to this caller, or is of another search.
            SearchExpired: it is too old, its ranking had to make room, or the image model was changed.
        """
        cursor = self._opened(text)
        cursor = replace(cursor, limit=limit or cursor.limit)
        place = cursor.place
        if isinstance(place, Unranked):
            row = self._ranked(cursor, place, asking)
            place = InRanking(row.id, 0, hit_type(_sources_in(row)).itemsize)
        return self._page(cursor, place, asking)

    def whole(self, text: str, asking: Asking[Result]) -> Whole:
        """Return the ranking that a cursor names, with all its places: of all pages but the first.

        Args:
            text: the cursor of any of its pages.
            asking: the kind of search, and what was sent with the cursor.

        Raises:
            InvalidInput: the cursor was not given to this caller, or is of another search.
            SearchExpired: as `turn`.
        """
        cursor = self._opened(text)
        place = cursor.place
        if isinstance(place, Unranked):
            row = self._ranked(cursor, place, asking)
            place = InRanking(row.id, 0, hit_type(_sources_in(row)).itemsize)
        place = replace(place, position=0)
        with self._runtime.reading() as session:
            row = self._piece(session, place, MOST_RANKED)
        _, question = unpacked_ids(row.question)
        _require_accepted(asking, question)

        def cursor_at(position: int) -> str:
            begin = position - position % cursor.limit
            return self._after(cursor, replace(place, position=begin), row)

        return Whole(question, row.places, _sources_in(row), cursor_at)

    def _opened(self, text: str) -> Cursor:
        cursor = unseal(text, self._caller, self._secret)
        if cursors.now_s() - cursor.made_at_s >= KEPT_FOR_S:
            raise SearchExpired(TOO_LATE)
        if cursor.space_id and self._space_id and cursor.space_id != self._space_id:
            raise SearchExpired(OTHER_MODEL)
        return cursor

    def _ranked(self, cursor: Cursor, place: Unranked, asking: Asking[Result]) -> Kept:
        """Return the ranking behind a first page, made and kept unless that was done before."""
        ticket = cursor.ticket.hex()
        row = self._by_ticket(ticket)
        if row is not None and row.count is not None:
            return row
        if row is not None:
            shown, question = unpacked_ids(row.question)
        elif place.question is not None:
            shown, question = list(place.shown), place.question
        else:
            raise SearchExpired(MADE_ROOM)
        _require_accepted(asking, question)
        new = self._new(ticket, question, shown, asking.rank(question, shown))
        self._keep(new, None if row is None else row.id)
        # Another request with the same cursor may have been first; then that ranking is the one.
        made = self._by_ticket(ticket)
        if made is None or made.count is None:
            raise SearchExpired(MADE_ROOM)
        return made

    def _new(
        self, ticket: str, question: bytes, shown: Sequence[int], ranked: Ranked
    ) -> NewRanking:
        seen = set(shown)
        hits = [hit for hit in ranked.hits if hit.image_id not in seen]
        sources = sources_of(hits)
        return NewRanking(
            ticket,
            self._caller,
            packed_ids(shown) + question,
            json.dumps(
                {"sources": sources, "said": ranked.about, "is_cut": ranked.is_cut}
            ).encode(),
            packed(hits, sources),
            len(hits),
        )

    def _page(self, cursor: Cursor, place: InRanking, asking: Asking[Result]) -> Page[Result]:
        results: list[Result] = []
        wanted = cursor.limit
        with self._runtime.reading() as session:
            while True:
                row = self._piece(session, place, wanted)
                shown_before, question = unpacked_ids(row.question)
                _require_accepted(asking, question)
                hits = unpacked(row.places, _sources_in(row))
                shown = asking.show(session, question, hits)
                missing = cursor.limit - len(results)
                results += [result for _, result in shown[:missing]]
                read = (
                    _position_of(hits, shown[missing - 1][0]) if missing < len(shown) else len(hits)
                )
                place = replace(place, position=place.position + read)
                is_last = place.position >= (row.count or 0)
                if is_last or len(results) == cursor.limit:
                    break
                wanted = min(2 * wanted, MOST_READ)
        after = None if is_last else self._after(cursor, place, row)
        about = json.loads(row.about)
        count = len(shown_before) + (row.count or 0)
        return Page(results, question, about["said"], cursor.limit, count, about["is_cut"], after)

    def _piece(self, session: Session, place: InRanking, count: int) -> Kept:
        start, length = place.position * place.hit_bytes, count * place.hit_bytes
        row = kept.by_id(session, self._caller, place.row_id, start, length)
        if row is None:
            raise SearchExpired(MADE_ROOM)
        return row

    def _after(self, cursor: Cursor, place: InRanking, row: Kept) -> str:
        made_at_s = cursors.now_s() - row.age_s
        ticket = cursors.new_ticket()
        return self._sealed(Cursor(place, cursor.limit, made_at_s, ticket, self._space_id))

    def _by_ticket(self, ticket: str) -> Kept | None:
        with self._runtime.reading() as session:
            return kept.by_ticket(session, self._caller, ticket)

    def _keep(self, new: NewRanking, row_id: int | None = None) -> None:
        """Keep a ranking, in the row with its question where there is one."""

        def work(session: Session) -> bool:
            if row_id is not None:
                return kept.complete(session, row_id, new)
            return kept.keep(session, new, is_stranger=self._is_stranger)

        in_transaction(self._runtime.database, work)

    def _sealed(self, cursor: Cursor) -> str:
        return seal(cursor, self._caller, self._secret)

    @property
    def _secret(self) -> str:
        """The secret of the installation and its database, which the process asks for once."""
        runtime = self._runtime

        def build() -> str:
            with runtime.reading() as session:
                return signing_key(session, runtime.secret)

        return runtime.remembered("signing_key", build)


def _require_accepted(asking: Asking[Result], question: bytes) -> None:
    if not asking.accepts(question):
        raise InvalidInput(
            "This cursor is of another search. Send it alone, or with the very search that gave it.",
            fields={"cursor": ["It is of another search."]},
        )


def _position_of(hits: Sequence[Hit], image_id: int) -> int:
    """Return the place behind an image, from 1."""
    return [hit.image_id for hit in hits].index(image_id) + 1


def _sources_in(row: Kept) -> list[str]:
    sources: list[str] = json.loads(row.about)["sources"]
    return sources
