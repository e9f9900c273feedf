"""Find images by the words of their prompts and captions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, not_, or_
from sqlalchemy.orm import Session

from mirada.db.filters import in_scope
from mirada.db.models import Image
from mirada.db.word_index import has_all, newest_with, newest_with_all, weights_in
from mirada.kernel.audience import Scope
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus
from mirada.kernel.keywords import words_of_query
from mirada.search.deepening import Reading, deepen
from mirada.search.safety import Safety

FURTHER = 4
"""Times as many images are looked at when some were withheld."""
MOST_EXAMINED, MOST_IN_ALL = 5_000, 30_000
"""Images that are compared for one word, and for all words of a query: the newest that the viewer may
see. So a search takes no longer in a large library, and hardly longer for many words."""
RARITY_UNIT = 1_000
"""Of a word's rarity, which is an integer like its weight."""
Weights = Mapping[str, Mapping[int, int]]
"""Of words in images, by word and image id."""


@dataclass(frozen=True, slots=True)
class FoundWords:
    """The images that hold words of a query.

    Attributes:
        image_ids: best first: those with every word, then those with some.
        complete: how many of them, from the first, have every word.
    """

    image_ids: list[int]
    complete: int


def find_by_words(
    session: Session,
    query: str,
    scope: Scope,
    *,
    k: int,
    safety: Safety | None = None,
    without: Sequence[str] = (),
) -> FoundWords:
    """Return at most k images whose prompt or caption holds words of the query.

    An image is found by its own words as soon as it is there, before it has a vector and where it
    never gets one: nothing is told but what its row says. With `safety` others' images have to be
    READY, since they could not be judged.

    Args:
        session: for reading.
        query: anything; only its words count, so nothing in it is an operator.
        scope: the viewer, what is kept from them, and what they ask to see.
        k: >= 1.
        safety: when not None, others' images that it calls unsafe are no results.
        without: texts; an image that holds every word of one of them is no result.

    Raises:
        InvalidInput: there is no word in it, no digit and no emoji.
    """
    words = words_of_query(query)
    if not words:
        message = "There is no word in the text."
        raise InvalidInput(message, fields={"text": [message]})
    conditions = [in_scope(scope)]
    conditions += [not_(has_all(found)) for text in without if (found := words_of_query(text))]
    if safety is not None:
        is_own = Image.owner_id == scope.viewer_id
        conditions.append(or_(is_own, Image.status == ImageStatus.READY))

    most = min(MOST_EXAMINED, MOST_IN_ALL // len(words))
    read = {word: newest_with(session, word, conditions, most) for word in words}
    rarities = {word: _rarity(len(found), most) for word, found in read.items()}

    def best(ranked: list[int]) -> list[int]:
        if safety is None:
            return ranked[:k]

        def shown(depth: int) -> Reading[list[int]]:
            found = safety.safe_among(session, ranked[:depth], scope.audience)
            return Reading(found[:k], len(found) >= k or depth >= len(ranked))

        return deepen(shown, k, factor=FURTHER)

    complete = best(_ranked(_with_all(session, read, conditions, most), rarities))
    if len(complete) >= k:
        return FoundWords(complete, len(complete))
    is_complete = set(complete)
    rest = [image_id for image_id in _ranked(read, rarities) if image_id not in is_complete]
    return FoundWords((complete + best(rest))[:k], len(complete))


def _with_all(
    session: Session, read: Weights, conditions: Sequence[ColumnElement[bool]], most: int
) -> Weights:
    """Return the weights of all words in the images that have every one; of very many, the newest."""
    if len(read) == 1:
        return read
    whole = [word for word, found in read.items() if len(found) < most]
    if not whole:
        return newest_with_all(session, list(read), conditions, most)
    common = set.intersection(*(set(read[word]) for word in whole))
    weights: dict[str, Mapping[int, int]] = {}
    for word in sorted(read, key=lambda one: len(read[one])):
        # Of a word that more images have, those that are left are asked for.
        weights[word] = read[word] if word in whole else weights_in(session, word, common)
        common &= weights[word].keys()
    return {
        word: {image_id: found[image_id] for image_id in common} for word, found in weights.items()
    }


def _ranked(weights: Weights, rarities: Mapping[str, int]) -> list[int]:
    """Return image ids by the sum of weight times rarity, BM25, the highest first, ties by id."""
    scores: dict[int, int] = defaultdict(int)
    for word, found in weights.items():
        for image_id, weight in found.items():
            scores[image_id] += weight * rarities[word]
    return sorted(scores, key=lambda image_id: (-scores[image_id], image_id))


def _rarity(count: int, most: int) -> int:
    """Return BM25's inverse document frequency, at least 1; of what the viewer may see alone.

    So others' private texts do not move the order of one's results.
    """
    return max(1, round(RARITY_UNIT * math.log(1 + most / max(1, count))))
