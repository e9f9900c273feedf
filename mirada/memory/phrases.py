"""Phrases that recur in one person's prompts and are rare in everybody else's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mirada.memory.plain_language import COMMON_STEMS
from mirada.memory.rates import confidence
from mirada.memory.words import (
    Segment,
    Stems,
    is_aside,
    is_place,
    is_quality,
    phrases_of,
    subject_of,
    written,
)

Prompt = tuple[Segment, ...]
LEAST_ASIDE = 0.6
"""Share of a phrase's prompts in which it stands where prompts say how."""
SAME = 0.7
"""Share of the fewer prompts in common from which two phrases are one."""
LEAST_SUBJECTS = 3
"""Different subjects that a phrase is said of; with fewer it belongs to the subject."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """A phrase, as its writer mostly writes it, and the prompts that have it."""

    key: Stems
    label: str
    members: frozenset[int]


def recurring_phrases(
    prompts: Sequence[Prompt],
    rate: Callable[[Stems], float],
    *,
    least_count: int,
    least_confidence: float,
) -> list[Recurring]:
    """Return the phrases that say how rather than what; of those that go together, the longest.

    Args:
        prompts: the distinct ones, as segments.
        rate: everybody's rate of a phrase.
        least_count: prompts that have to have it.
        least_confidence: see `rates.confidence`.
    """
    found = _PhraseUses(prompts)
    subjects = [subject_of(prompt) for prompt in prompts]
    kept: list[tuple[int, Stems]] = []
    for key, rows in found.members.items():
        count = len(rows)
        if (
            count >= least_count
            and found.asides[key] >= LEAST_ASIDE * count
            and not _is_common(key)
            and confidence(count, len(prompts), rate(key)) >= least_confidence
            and len({subjects[row] for row in rows}) >= LEAST_SUBJECTS
        ):
            kept.append((count * len(key), key))
    kept.sort(key=lambda entry: (-entry[0], -len(entry[1]), entry[1]))
    chosen: list[Recurring] = []
    for _, key in kept:
        rows = found.members[key]
        for place, other in enumerate(chosen):
            if len(rows & other.members) >= SAME * min(len(rows), len(other.members)):
                chosen[place] = replace(other, members=other.members | rows)
                break
        else:
            chosen.append(Recurring(key, found.label(key), frozenset(rows)))
    return chosen


class _PhraseUses:
    """Every phrase of some prompts: which of them have it, how often aside, and how it is written."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self.members: dict[Stems, set[int]] = defaultdict(set)
        self.asides: Counter[Stems] = Counter()
        self._written: dict[Stems, Counter[str]] = defaultdict(Counter)
        for row, prompt in enumerate(prompts):
            for found in phrases_of(prompt):
                if row not in self.members[found.key]:
                    self.members[found.key].add(row)
                    self.asides[found.key] += is_aside(prompt, found)
                    self._written[found.key][written(prompt, found).lower()] += 1

    def label(self, key: Stems) -> str:
        """Return the commonest way to write a phrase; of equals the shortest, then the first."""
        ways = self._written[key]
        return min(ways, key=lambda way: (-ways[way], len(way), way))


def _is_common(key: Stems) -> bool:
    return (
        is_quality(key)
        or (len(key) == 1 and key[0] in COMMON_STEMS)
        or (is_place(key) and all(part in COMMON_STEMS for part in key[1:]))
    )
