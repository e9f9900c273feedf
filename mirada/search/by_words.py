"""Find images by the words of their texts and tags, and of the labels that a model gave them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, not_, or_
from sqlalchemy.orm import Session

from mirada.db.filters import in_scope
from mirada.db.labelled_words import (
    Named,
    labels_named,
    newest_showing,
    shows_one,
    weights_showing,
)
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
    """Return at most k images whose texts, tags or label hold words of the query.

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
    unwanted = [found for text in without if (found := words_of_query(text))]
    named = labels_named(session, {*words, *(word for found in unwanted for word in found)})
    conditions = _conditions(scope, safety, [_holds_all(found, named) for found in unwanted])
    most = min(MOST_EXAMINED, MOST_IN_ALL // len(words))
    read = {word: _newest(session, word, named, conditions, most) for word in words}
    rarities = {word: _rarity(len(found), most) for word, found in read.items()}

    def best(ranked: list[int]) -> list[int]:
        if safety is None:
            return ranked[:k]

        def shown(depth: int) -> Reading[list[int]]:
            found = safety.safe_among(session, ranked[:depth], scope.audience)
            return Reading(found[:k], len(found) >= k or depth >= len(ranked))

        return deepen(shown, k, factor=FURTHER)

    complete = best(_ranked(_with_all(session, read, named, conditions, most), rarities))
    if len(complete) >= k:
        return FoundWords(complete, len(complete))
    is_complete = set(complete)
    rest = [image_id for image_id in _ranked(read, rarities) if image_id not in is_complete]
    return FoundWords((complete + best(rest))[:k], len(complete))


def _conditions(
    scope: Scope, safety: Safety | None, unwanted: Sequence[ColumnElement[bool]]
) -> list[ColumnElement[bool]]:
    """Return the conditions on `images` that every result meets."""
    conditions = [in_scope(scope), *(not_(each) for each in unwanted)]
    if safety is not None:
        is_own = Image.owner_id == scope.viewer_id
        conditions.append(or_(is_own, Image.status == ImageStatus.READY))
    return conditions


def _newest(
    session: Session,
    word: str,
    named: Named,
    conditions: Sequence[ColumnElement[bool]],
    most: int,
) -> dict[int, int]:
    """Return the newest images that hold a word, or show a label that is called so, with weights."""
    found = newest_with(session, word, conditions, most)
    if word not in named:
        return found
    shown = newest_showing(session, named[word], conditions, most)
    both = _added(found, shown)
    return {each: both[each] for each in sorted(both, reverse=True)[:most]}


def _added(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    return {each: one.get(each, 0) + other.get(each, 0) for each in one.keys() | other.keys()}


def _holds_all(words: Sequence[str], named: Named) -> ColumnElement[bool]:
    """Return the condition on `images` that one holds each word, or shows a label that is called so."""
    return and_(
        *(
            or_(has_all([word]), shows_one(named[word])) if word in named else has_all([word])
            for word in words
        )
    )


def _with_all(
    session: Session,
    read: Weights,
    named: Named,
    conditions: Sequence[ColumnElement[bool]],
    most: int,
) -> Weights:
    """Return the weights of all words in the images that have every one; of very many, the newest."""
    if len(read) == 1:
        return read
    whole = [word for word, found in read.items() if len(found) < most]
    if not whole:
        held = newest_with_all(session, list(read), conditions, most)
        common = set.intersection(*map(set, read.values()))
        return {
            word: {**{each: found[each] for each in common}, **held[word]}
            for word, found in read.items()
        }
    common = set.intersection(*(set(read[word]) for word in whole))
    weights: dict[str, Mapping[int, int]] = {}
    for word in sorted(read, key=lambda one: len(read[one])):
        # Of a word that more images have, those that are left are asked for.
        weights[word] = read[word] if word in whole else _weights(session, word, named, common)
        common &= weights[word].keys()
    return {
        word: {image_id: found[image_id] for image_id in common} for word, found in weights.items()
    }


def _weights(session: Session, word: str, named: Named, image_ids: set[int]) -> dict[int, int]:
    found = weights_in(session, word, image_ids)
    if word not in named:
        return found
    return _added(found, weights_showing(session, named[word], image_ids))


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
