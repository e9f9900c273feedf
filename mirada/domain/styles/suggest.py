"""One person's recurring styles: listed ones, phrases of their own, and groups of vectors; merged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mirada.domain.styles.book import Background, Diary, StyleBook
from mirada.domain.styles.matching import Shown, shown
from mirada.domain.styles.phrases import recurring_phrases
from mirada.domain.styles.rates import confidence

LEAST_COUNT = 4
LEAST_SHARE = 0.08
LEAST_SHARE_UNLISTED = 0.12
LEAST_CONFIDENCE = 0.6
SAME = 0.6


class Kind(StrEnum):
    """How a style was found."""

    LISTED = "listed"
    PHRASE = "phrase"
    GROUP = "group"
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A style that recurs in one person's prompts.

    Attributes:
        kind: how it was found.
        label: the list's name of it, or words of the person's own.
        members: rows of the diary that show it, ascending.
        confidence: in [0, 1]; see `rates.confidence`.
        example: the row that shows it best.
    """

    kind: Kind
    label: str
    members: tuple[int, ...]
    confidence: float
    example: int


@dataclass
class _Candidate:
    kind: Kind
    label: str
    members: set[int]
    confidence: float
    example: int


def suggest(diary: Diary, book: StyleBook, background: Background) -> list[Suggestion]:
    """Return a person's styles, the surest first; the same for the same arguments."""
    if not diary.texts:
        return []
    listed = _listed(diary, book, background) if book.styles else []
    own = _phrases(diary, background, listed)
    found = sorted(
        [*listed, *own],
        key=lambda one: (-round(one.confidence, 2), -len(one.members), one.label),
    )
    return [
        Suggestion(one.kind, one.label, tuple(sorted(one.members)), one.confidence, one.example)
        for one in found
    ]


def _listed(diary: Diary, book: StyleBook, background: Background) -> list[_Candidate]:
    total = len(diary.texts)
    evidence = book.words.evidence(diary.prompts, background.rate_for(diary))
    seen: Shown = shown(evidence, book.standing(diary.vectors))
    rates = background.style_rates(diary.owner_id)
    found = []
    for place in np.flatnonzero(seen.is_shown.sum(axis=0) >= max(LEAST_COUNT, LEAST_SHARE * total)):
        rows = np.flatnonzero(seen.is_shown[:, place]).tolist()
        sure = confidence(len(rows), total, float(rates[place]))
        if sure >= LEAST_CONFIDENCE:
            best = max(rows, key=lambda row: (float(seen.logits[row, place]), -row))
            found.append(_Candidate(Kind.LISTED, book.names[place], set(rows), sure, best))
    return found


def _phrases(diary: Diary, background: Background, listed: list[_Candidate]) -> list[_Candidate]:
    total, rate = len(diary.texts), background.rate_for(diary)
    own = []
    for phrase in recurring_phrases(
        diary.prompts, rate, least_count=LEAST_COUNT, least_confidence=LEAST_CONFIDENCE
    ):
        if len(phrase.members) < LEAST_SHARE * total:
            continue
        for one in listed:
            if len(phrase.members & one.members) >= SAME * len(phrase.members):
                one.members |= phrase.members
                break
        else:
            if len(phrase.members) >= LEAST_SHARE_UNLISTED * total:
                sure = confidence(len(phrase.members), total, rate(phrase.key))
                newest = max(phrase.members)
                own.append(_Candidate(Kind.PHRASE, phrase.label, set(phrase.members), sure, newest))
    return own
