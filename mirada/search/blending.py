"""The mean of two similarities, and when enough of two rankings was read to know the best by it.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ranked:
    """One ranking, known down to the rows that were read.

    Attributes:
        lowest: the lowest similarity read; nothing unread is higher. -1 before anything was.
        is_exhausted: everything there is was read.
        neutral: similarity of an item that has no place in this ranking at all.
    """

    lowest: float
    is_exhausted: bool
    neutral: float

    @property
    def best_unread(self) -> float:
        """Return the highest similarity that an item may have that was not read here."""
        return self.neutral if self.is_exhausted else max(self.lowest, self.neutral)


def blended(picture: float, prompt: float, prompt_weight: float) -> float:
    """Return the mean of two cosines, in [-1, 1]; a prompt's weight of 0 leaves the picture's alone.

    >>> blended(0.8, 0.4, 0.25)
    0.7
    """
    return (1.0 - prompt_weight) * picture + prompt_weight * prompt


def is_settled(
    kth_score: float | None, pictures: Ranked, prompts: Ranked, prompt_weight: float
) -> bool:
    """Return whether nothing unread can be better than the k-th best that was read.

    Args:
        kth_score: None while fewer than k items were read.
        pictures: the ranking by picture.
        prompts: the ranking by prompt.
        prompt_weight: in [0, 1].

    Source: Fagin, Lotem and Naor, "Optimal aggregation algorithms for middleware", PODS 2001,
    section 4 (the threshold algorithm); both similarities enter with weights >= 0.
    """
    # Every image that counts has a picture's vector, so an exhausted ranking by picture held them all.
    return pictures.is_exhausted or (
        kth_score is not None
        and kth_score >= blended(pictures.best_unread, prompts.best_unread, prompt_weight)
    )
