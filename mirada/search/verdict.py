"""The relevance of what several sources found: one number an image, on which every verdict rests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mirada.search.queries import Source

SUREST = 1.0 - 1e-9
"""Relevances are kept this far from 0 and 1 where they are averaged, for their log-odds are infinite."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """The judgement of one source on one image.

    Attributes:
        source: its name.
        weight: how much it counts, > 0.
        relevance: in [0, 1]; of words 1 for an image that has every one, else 0.
    """

    source: Source
    weight: float
    relevance: float


def fused_relevance(opinions: Sequence[Opinion]) -> float:
    """Return the relevance of an image, in [0, 1], from what the sources say of it.

    1. An image whose prompt, caption and description have every word of the text is relevant: 1.
       Some of the words say nothing.
    2. Else, where the image has a caption, the caption decides. A source that tells absent things from
       present ones must not be overruled by one that cannot.
    3. Else it is the mean of the log-odds of the others, weighted as the ranking is. The greatest
       would be wrong: of several sources one nearly always has some accident to show.

    A source without anything to compare, such as captions for an image without one, has no opinion
    and is not in `opinions`. Without any, relevance is 0.
    """
    by_words = [each for each in opinions if each.source is Source.KEYWORDS]
    if any(each.relevance >= 1.0 for each in by_words):
        return 1.0
    by_meaning = [each for each in opinions if each.source is not Source.KEYWORDS]
    by_caption = [each for each in by_meaning if each.source is Source.CAPTIONS]
    if by_caption:
        return by_caption[0].relevance
    weight = sum(each.weight for each in by_meaning)
    if not weight:
        return 0.0
    if len(by_meaning) == 1:
        return by_meaning[0].relevance
    mean = sum(each.weight * _log_odds(each.relevance) for each in by_meaning) / weight
    return 1.0 / (1.0 + math.exp(-mean))


def _log_odds(relevance: float) -> float:
    kept = min(max(relevance, 1.0 - SUREST), SUREST)
    return math.log(kept / (1.0 - kept))
