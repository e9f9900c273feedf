"""Find images by the words of their prompts and captions."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import or_
from sqlalchemy.orm import Session

from mirada.db.full_text import best_by_words, searchable_words
from mirada.db.models import Image
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus
from mirada.search.deepening import Reading, deepen
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
    audience: Audience,
    *,
    k: int,
    safety: Safety | None = None,
) -> FoundWords:
    """Return at most k images whose prompt or caption holds words of the query.

    An image is found by its own words as soon as it is there, before it has a vector and where it
    never gets one: nothing is told but what its row says. With `safety` others' images have to be
    READY, since they could not be judged.

    Args:
        session: for reading.
        query: anything; only its words count, so nothing in it is an operator.
        audience: the viewer and what is kept from them.
        k: >= 1.
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
    conditions = [may_see(audience)]
    if safety is not None:
        is_own = Image.owner_id == audience.viewer_id
        conditions.append(or_(is_own, Image.status == ImageStatus.READY))

    def best(*, need_all: bool, most: int) -> list[int]:
        def read(depth: int) -> Reading[list[int]]:
            rows = best_by_words(session, words, conditions, need_all=need_all, limit=depth)
            shown = rows if safety is None else safety.shown(session, rows, audience)
            is_enough = len(shown) >= most or len(rows) < depth
            return Reading([row.id for row in shown[:most]], is_enough)

        return deepen(read, most, factor=FURTHER)

    found = complete = best(need_all=True, most=k)
    if len(complete) < k and len(words) > 1:
        # Those with every word are among them again.
        some = best(need_all=False, most=k + len(complete))
        found = list(dict.fromkeys(complete + some))[:k]
    return FoundWords(found, len(complete), unsearchable)
