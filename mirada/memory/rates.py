"""Rates of phrases and styles among everybody, and the confidence that one person exceeds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from mirada.kernel.intervals import wilson_low
from mirada.memory.plain_language import COMMON_STEMS, PLAIN_PROMPTS
from mirada.memory.words import LANGUAGES, Segment, Stems, is_quality, language_of, phrases_of, read

LEAST_PEOPLE = 3
"""Other people who must use a phrase before it counts as used by anybody: what one or two wrote can
be told from no answer."""
LEAST_PROMPTS = 5
PRIOR_PEOPLE = 5.0
"""How many people the prior counts for, so that a handful of users is no background yet."""
STYLE_PRIOR = 0.01
"""Share of prompts that show a given listed style where nobody is known: one in eighty styles."""
PRIOR_PROMPTS = 10.0
"""Prompts at the background's rate that everybody is taken to have written before the first."""
COMMON_RATE = 0.01
COMMON_PHRASE_RATE = 0.02
"""Of "soft light" or "warm colours": phrases of nothing but common words."""
RARE_RATE = 0.0014
"""Of what no plain prompt has: half a prompt in all of them."""

Shares = npt.NDArray[np.float64]


def confidence(count: int, total: int, background: float) -> float:
    """Return how sure it is that a style recurs beyond the background, in [0, 1].

    It is 1 - p0 / L, the attributable fraction of epidemiology: the share of the occurrences that
    somebody at the background's rate p0 would not have had. L is the lower end of the interval of
    the person's own rate. Small samples shrink: before the interval is taken, PRIOR_PROMPTS prompts
    at the rate p0 are added to the person's own. So 3 of 3 prompts say less than 30 of 30.

    Source: Levin, "The occurrence of lung cancer in man", 1953.

    Args:
        count: distinct prompts of the person that show it.
        total: distinct prompts of the person.
        background: p0, the rate of everybody else, in (0, 1).
    """
    low = wilson_low(count + PRIOR_PROMPTS * background, total + PRIOR_PROMPTS)
    return max(0.0, 1.0 - background / low) if low > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Writer:
    """Somebody of the background: who, and their distinct prompts as segments."""

    id: int
    prompts: Sequence[tuple[Segment, ...]]


class PhraseRates:
    """Rates of phrases among people, by language; only of phrases that LEAST_PEOPLE or more use."""

    def __init__(self, writers: Iterable[Writer]) -> None:
        """Count; a person counts once in each of their languages, however much they wrote."""
        shares: dict[str, dict[Stems, dict[int, float]]] = {name: {} for name in LANGUAGES}
        self._people: dict[str, set[int]] = {name: set() for name in LANGUAGES}
        for writer in writers:
            for language, prompts in by_language(writer.prompts).items():
                if len(prompts) < LEAST_PROMPTS:
                    continue
                self._people[language].add(writer.id)
                counts = Counter(key for prompt in prompts for key in keys_of(prompt))
                for key, count in counts.items():
                    shares[language].setdefault(key, {})[writer.id] = count / len(prompts)
        self._shares: Mapping[str, Mapping[Stems, Mapping[int, float]]] = {
            language: {key: by for key, by in found.items() if len(by) >= LEAST_PEOPLE}
            for language, found in shares.items()
        }

    def rate(self, key: Stems, without: int, languages: Mapping[str, float]) -> float:
        """Return the share of prompts with a phrase, mean over everybody but one person, in (0, 1).

        Args:
            key: the phrase.
            without: the person.
            languages: shares of that person's prompts, summing to 1. They weigh the rates of each
                language (direct standardisation), so that "colores" is no rarity to somebody who
                writes Spanish among people who mostly do not.
        """
        return sum(
            weight * self._rate_in(language, key, without) for language, weight in languages.items()
        )

    def _rate_in(self, language: str, key: Stems, without: int) -> float:
        shares = self._shares[language].get(key, {})
        total = sum(share for person, share in shares.items() if person != without)
        if len(shares) - (without in shares) < LEAST_PEOPLE:
            total = 0.0
        people = len(self._people[language]) - (without in self._people[language])
        return (total + PRIOR_PEOPLE * plain_rate(key)) / (people + PRIOR_PEOPLE)


def by_language(prompts: Sequence[tuple[Segment, ...]]) -> dict[str, list[tuple[Segment, ...]]]:
    """Return prompts by language; one that does not tell goes with the person's commonest."""
    found: dict[str, list[tuple[Segment, ...]]] = {name: [] for name in LANGUAGES}
    untold: list[tuple[Segment, ...]] = []
    for prompt in prompts:
        language = language_of(prompt)
        (untold if language is None else found[language]).append(prompt)
    found[max(LANGUAGES, key=lambda name: len(found[name]))] += untold
    return {name: of_it for name, of_it in found.items() if of_it}


def language_mix(prompts: Sequence[tuple[Segment, ...]]) -> dict[str, float]:
    """Return the share of each language, summing to 1; English where there are no prompts."""
    if not prompts:
        return {LANGUAGES[0]: 1.0}
    return {name: len(of_it) / len(prompts) for name, of_it in by_language(prompts).items()}


def keys_of(prompt: tuple[Segment, ...]) -> set[Stems]:
    """Return the phrases of a prompt."""
    return {found.key for found in phrases_of(prompt)}


def plain_rate(key: Stems) -> float:
    """Return the share of plain prompts with a phrase; half a prompt stands for what none has."""
    seen = (_plain_counts().get(key, 0) + 0.5) / (len(PLAIN_PROMPTS) + 1)
    if len(key) == 1 and key[0] in COMMON_STEMS:
        return max(seen, COMMON_RATE)
    if all(part in COMMON_STEMS or is_quality((part,)) for part in key):
        return max(seen, COMMON_PHRASE_RATE)
    return seen if key in _plain_counts() else RARE_RATE


@cache
def _plain_counts() -> Counter[Stems]:
    return Counter(key for text in PLAIN_PROMPTS for key in keys_of(read(text)))


class StyleRates:
    """Rates of the listed styles among people."""

    def __init__(self, people: Sequence[int], shares: Shares) -> None:
        """Keep (p, s) shares of p people's prompts that show s styles."""
        self._rows = {person: row for row, person in enumerate(people)}
        self._shares = shares
        self._total: Shares = shares.sum(axis=0)

    def rates(self, without: int) -> Shares:
        """Return (s,) mean shares over everybody but one person, in (0, 1)."""
        total, people = self._total, len(self._rows)
        row = self._rows.get(without)
        if row is not None:
            total, people = total - self._shares[row], people - 1
        mean = (total + PRIOR_PEOPLE * STYLE_PRIOR) / (people + PRIOR_PEOPLE)
        return np.asarray(np.clip(mean, 1e-9, 1.0))
