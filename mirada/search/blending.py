"""Blend two rankings and tell, by the threshold algorithm's rule, when the k best are settled.

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


@dataclass(frozen=True, slots=True)
class Blend:
    """The weight of prompts beside pictures.

    Attributes:
        prompt_weight: in [0, 1]: 0 compares pictures alone, 1 prompts alone.
    """

    prompt_weight: float

    def score(self, picture: float, prompt: float) -> float:
        """Return the blended cosine, in [-1, 1], higher is nearer.

        >>> Blend(0.25).score(0.8, 0.4)
        0.7
        """
        return (1.0 - self.prompt_weight) * picture + self.prompt_weight * prompt

    def is_settled(self, kth_score: float | None, pictures: Ranked, prompts: Ranked) -> bool:
        """Tell whether nothing unread can be better than the k-th best that was read.

        Args:
            kth_score: None while fewer than k items were read.
            pictures: the ranking by picture.
            prompts: the ranking by prompt.

        Source: Fagin, Lotem and Naor, "Optimal aggregation algorithms for middleware", PODS 2001,
        section 4 (the threshold algorithm); both similarities enter with weights >= 0.
        """
        if pictures.is_exhausted:
            # Every image that counts has a picture's vector, so all of them were read.
            return True
        if kth_score is None:
            return False
        return kth_score >= self.score(pictures.best_unread, prompts.best_unread)
