"""Phrases that recur in one person's prompts and in hardly anybody else's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mirada.memory.everyday import EVERYDAY_STEMS
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
    members: dict[Stems, set[int]] = defaultdict(set)
    asides: Counter[Stems] = Counter()
    surfaces: dict[Stems, Counter[str]] = defaultdict(Counter)
    for row, prompt in enumerate(prompts):
        for found in phrases_of(prompt):
            if row in members[found.key]:
                continue
            members[found.key].add(row)
            asides[found.key] += is_aside(prompt, found)
            surfaces[found.key][written(prompt, found).lower()] += 1
    total = len(prompts)
    subjects = [subject_of(prompt) for prompt in prompts]
    kept: list[tuple[float, Stems]] = []
    for key, rows in members.items():
        count = len(rows)
        if (
            count < least_count
            or asides[key] < LEAST_ASIDE * count
            or is_quality(key)
            or (len(key) == 1 and key[0] in EVERYDAY_STEMS)
            or (is_place(key) and all(part in EVERYDAY_STEMS for part in key[1:]))
        ):
            continue
        if confidence(count, total, rate(key)) < least_confidence:
            continue
        if len({subjects[row] for row in rows}) < LEAST_SUBJECTS:
            continue
        kept.append((float(count * len(key)), key))
    kept.sort(key=lambda entry: (-entry[0], -len(entry[1]), entry[1]))
    chosen: list[Recurring] = []
    for _, key in kept:
        rows = members[key]
        for place, other in enumerate(chosen):
            if len(rows & other.members) >= SAME * min(len(rows), len(other.members)):
                chosen[place] = Recurring(other.key, other.label, other.members | rows)
                break
        else:
            label = min(
                surfaces[key].items(), key=lambda entry: (-entry[1], len(entry[0]), entry[0])
            )[0]
            chosen.append(Recurring(key, label, frozenset(rows)))
    return chosen
