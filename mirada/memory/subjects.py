"""Subjects that recur in a person's prompts, in that person's own words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mirada.memory.words import Found, Segment, Stems, is_quality, subject_at, written

LEAST_PROMPTS = 3


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject as it is mostly written, and the rows about it, ascending."""

    label: str
    members: tuple[int, ...]


def recurring_subjects(
    prompts: Sequence[tuple[Segment, ...]], is_style: Callable[[Stems], bool] = lambda key: False
) -> list[Subject]:
    """Return the subjects of LEAST_PROMPTS prompts or more, the commonest first.

    Args:
        prompts: of one person.
        is_style: whether a phrase is what a style is called: a prompt that opens with one tells no
            subject.
    """
    rows: dict[Stems, list[int]] = defaultdict(list)
    surfaces: dict[Stems, Counter[str]] = defaultdict(Counter)
    for row, prompt in enumerate(prompts):
        found: Found | None = subject_at(prompt)
        if found is None or is_quality(found.key) or is_style(found.key):
            continue
        rows[found.key].append(row)
        surfaces[found.key][written(prompt, found).lower()] += 1
    subjects = [
        Subject(
            min(surfaces[key].items(), key=lambda entry: (-entry[1], entry[0]))[0], tuple(of_it)
        )
        for key, of_it in rows.items()
        if len(of_it) >= LEAST_PROMPTS
    ]
    return sorted(subjects, key=lambda one: (-len(one.members), one.label))
