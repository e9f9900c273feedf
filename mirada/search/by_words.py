"""Find images by the words of their prompts and captions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, or_
from sqlalchemy.orm import Session

from mirada.db.full_text import best_by_words, searchable_words
from mirada.db.models import Image
from mirada.db.visibility import may_see
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus
from mirada.search.safety import Safety

FURTHER = 4
"""Times as many rows are read when some were withheld."""


@dataclass(frozen=True, slots=True)
class FoundWords:
    """The images that hold words of a query.

    Attributes:
        image_ids: best first: those with every word, then those with some.
        complete: how many of them, from the first, have every word that could be looked for.
        unsearchable: words too short for this database.
    """

    image_ids: list[int]
    complete: int
    unsearchable: list[str]


def find_by_words(
    session: Session,
    query: str,
    *,
    viewer_id: int | None,
    k: int,
    owner_ids: Collection[int] | None = None,
    safety: Safety | None = None,
) -> FoundWords:
    """Return at most k images whose prompt or caption holds words of the query.

    An image is found by its own words as soon as it is there, before it has a vector and where it
    never gets one: nothing is told but what its row says. With `safety` others' images have to be
    READY, since they could not be judged.

    Args:
        session: for reading.
        query: anything; only its words count, so nothing in it is an operator.
        viewer_id: None for an anonymous caller.
        k: >= 1.
        owner_ids: when not None, only images of these owners.
        safety: when not None, others' images that it calls unsafe are no results.

    Raises:
        InvalidInput: there is no word in it, or none that this database can look for.
    """
    words, unsearchable = searchable_words(session, query)
    if not words:
        message = (
            f"This database cannot look for words as short as {', '.join(unsearchable)}."
            if unsearchable
            else "There is no word in the text."
        )
        raise InvalidInput(message, fields={"text": [message]})
    conditions = [may_see(viewer_id)]
    if owner_ids is not None:
        conditions.append(Image.owner_id.in_(owner_ids))
    if safety is not None:
        conditions.append(or_(Image.owner_id == viewer_id, Image.status == ImageStatus.READY))
    options: dict[str, Any] = {"viewer_id": viewer_id, "safety": safety}
    complete = _best(session, words, conditions, need_all=True, k=k, **options)
    found = complete
    if len(complete) < k and len(words) > 1:
        # Those with every word are among them again.
        some = _best(session, words, conditions, need_all=False, k=k + len(complete), **options)
        found = list(dict.fromkeys(complete + some))[:k]
    return FoundWords(found, len(complete), unsearchable)


def _best(
    session: Session,
    words: Sequence[str],
    conditions: Sequence[ColumnElement[bool]],
    *,
    need_all: bool,
    k: int,
    viewer_id: int | None,
    safety: Safety | None,
) -> list[int]:
    asked = k
    while True:
        rows = best_by_words(session, words, conditions, need_all=need_all, limit=asked)
        shown = [row.id for row in _safe(session, rows, viewer_id, safety)]
        if len(shown) >= k or len(rows) < asked:
            return shown[:k]
        asked *= FURTHER


def _safe(
    session: Session, rows: Sequence[Row[Any]], viewer_id: int | None, safety: Safety | None
) -> list[Row[Any]]:
    if safety is None:
        return list(rows)
    others = {row.content_id for row in rows if row.owner_id != viewer_id}
    unsafe = safety.unsafe_contents(session, others)
    return [row for row in rows if row.owner_id == viewer_id or row.content_id not in unsafe]
