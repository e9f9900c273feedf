"""One person's recurring styles: listed styles, own phrases and groups of vectors, merged and named."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mirada.memory.background import GROUP_RATE, Background
from mirada.memory.history import PromptHistory
from mirada.memory.matching import Shown, shown
from mirada.memory.phrases import Recurring, recurring_phrases
from mirada.memory.rates import STYLE_PRIOR, confidence
from mirada.memory.style_matcher import StyleMatcher
from mirada.memory.words import Segment, Stems, is_quality, stems_of, subject_of

LEAST_COUNT = 4
LEAST_SHARE, LEAST_SHARE_UNLISTED = 0.08, 0.12
"""Of a person's prompts: of a listed style, and of one that no list names."""
TRIED = 0.6
"""The quantile that stands for how often somebody uses a style that they merely try; chosen on pool a."""
LEAST_CONFIDENCE, LEAST_CONFIDENCE_UNLISTED = 0.6, 0.75
SAME, SAME_GROUP = 0.6, 0.4
"""Share of its prompts that a phrase, or a group, has in common with a style found before: then it is
that style."""
SHARED_WORD = 0.5
"""Of a group's prompts that may have a word in common: more, and the group is about that word."""
LEAST_SUBJECTS = 0.5
"""Different subjects for each of a group's prompts: fewer, and the group is about them."""
KIN, RELATED = 0.6, 0.3
"""Of a phrase's words that a listed style must know: to give its name to it, or to take it in where
the style was found already."""
MOST_WORDS, LEAST_USES, QUOTED_CHARACTERS = 3, 2, 40
"""Of the name of a style that no list names: its words, their uses in its prompts, and a quotation."""
Prompt = tuple[Segment, ...]


class Kind(StrEnum):
    """The way a style was found."""

    LISTED = "listed"
    PHRASE = "phrase"
    GROUP = "group"
    LOOK = "look"


LEAST_CONFIDENCE_GROUP = {Kind.GROUP: 0.9, Kind.LOOK: 0.75}
"""Prompts are alike for many reasons that are no style (subject, place, language, form), pictures of
different subjects for few."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A style that recurs in one person's prompts.

    Attributes:
        kind: how it was found.
        label: the list's name of it, or words of the person's own.
        members: rows of the history that show it, ascending.
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
    rate: float
    example: int
    is_named: bool = False
    """The person's own words name it often enough, whatever others ask for."""


def suggest(
    history: PromptHistory, matcher: StyleMatcher, background: Background
) -> list[Suggestion]:
    """Return a person's styles, the surest first; the same for the same arguments."""
    if not history.texts:
        return []
    total = len(history.texts)
    listed = _listed(history, matcher, background) if matcher.styles else []
    own = _phrases(history, matcher, background, listed)
    grouped = _groups(history, background, [*listed, *own])
    found = [
        Suggestion(one.kind, one.label, tuple(sorted(one.members)), sure, one.example)
        for one in [*listed, *own, *grouped]
        if (sure := confidence(len(one.members), total, one.rate)) >= LEAST_CONFIDENCE
        or one.is_named
    ]
    return sorted(
        found,
        key=lambda one: (-round(one.confidence, 2), -len(one.members), one.label),
    )


def _listed(
    history: PromptHistory, matcher: StyleMatcher, background: Background
) -> list[_Candidate]:
    total = len(history.texts)
    evidence = matcher.words.evidence(history.prompts, background.rate_for(history))
    seen: Shown = shown(evidence, matcher.standing(history.vectors))
    counts = seen.is_shown.sum(axis=0)
    rates = background.style_rates(history.owner_id)
    # As if nobody else were here: others may lower the confidence in a style, and never take it away.
    own_rates = np.full(len(rates), STYLE_PRIOR)
    tried = (counts > 0) & (counts < LEAST_SHARE * total)
    if tried.any():
        # What somebody who tries many styles does with most of them is that person's background. Not
        # the mean: a style's companions ("low poly, isometric") are no sign of trying.
        usual = np.quantile(counts[tried], TRIED) / total
        rates, own_rates = np.maximum(rates, usual), np.maximum(own_rates, usual)
    found = []
    for place in np.flatnonzero(counts >= max(LEAST_COUNT, LEAST_SHARE * total)):
        rows = np.flatnonzero(seen.is_shown[:, place]).tolist()
        best = max(rows, key=lambda row: (float(seen.logits[row, place]), -row))
        names = int((evidence.named[:, place] & seen.is_shown[:, place]).sum())
        is_named = names >= max(LEAST_COUNT, LEAST_SHARE * total) and (
            confidence(names, total, float(own_rates[place])) >= LEAST_CONFIDENCE
        )
        label, rate = matcher.names[place], float(rates[place])
        found.append(_Candidate(Kind.LISTED, label, set(rows), rate, best, is_named))
    return found


def _phrases(
    history: PromptHistory, matcher: StyleMatcher, background: Background, listed: list[_Candidate]
) -> list[_Candidate]:
    """Return phrases of one's own; those that say a listed style go to that style instead."""
    total, rate = len(history.texts), background.rate_for(history)
    by_name = {one.label: one for one in listed}
    own = []
    for phrase in recurring_phrases(
        history.prompts, rate, least_count=LEAST_COUNT, least_confidence=LEAST_CONFIDENCE
    ):
        if len(phrase.members) < LEAST_SHARE * total:
            continue
        sure = confidence(len(phrase.members), total, rate(phrase.key))
        home = _home(phrase, matcher, by_name)
        newest = max(phrase.members)
        if home in by_name:
            by_name[home].members |= phrase.members
        elif home is not None and sure >= LEAST_CONFIDENCE_UNLISTED:
            by_name[home] = _Candidate(
                Kind.LISTED, home, set(phrase.members), rate(phrase.key), newest
            )
            listed.append(by_name[home])
        elif (
            len(phrase.members) >= LEAST_SHARE_UNLISTED * total
            and sure >= LEAST_CONFIDENCE_UNLISTED
        ):
            own.append(
                _Candidate(Kind.PHRASE, phrase.label, set(phrase.members), rate(phrase.key), newest)
            )
    return own


def _home(phrase: Recurring, matcher: StyleMatcher, by_name: dict[str, _Candidate]) -> str | None:
    """Return the listed style that a phrase says, by where it stands or by its words; None for none."""
    for name, one in by_name.items():
        if len(phrase.members & one.members) >= SAME * len(phrase.members):
            return name
    kin = matcher.words.kin(phrase.key)
    if kin is None:
        return None
    name, share = matcher.names[kin[0]], kin[1]
    return name if share >= (RELATED if name in by_name else KIN) else None


def _groups(
    history: PromptHistory, background: Background, found: list[_Candidate]
) -> list[_Candidate]:
    """Return what is alike in meaning or in looks alone, and is none of what was found by words."""
    total = len(history.texts)
    least = max(LEAST_COUNT, math.ceil(LEAST_SHARE_UNLISTED * total))
    spoken = [set(one.members) for one in found]
    grouped: list[_Candidate] = []
    for kind, rows, space in (
        (Kind.GROUP, history.vectors, background.prompt_space),
        (Kind.LOOK, history.pictures, background.picture_space),
    ):
        if rows is None or space is None:
            continue
        for group in space.groups(history.owner_id, rows, least):
            members = set(group.members)
            is_known = any(
                len(members & other) >= SAME_GROUP * min(len(members), len(other))
                for other in [*spoken, *(one.members for one in grouped)]
            )
            if (
                is_known
                or _shared_word(history.prompts, group.members) > SHARED_WORD
                or _distinct_subjects(history.prompts, group.members) < LEAST_SUBJECTS
            ):
                continue
            if confidence(len(members), total, GROUP_RATE) >= LEAST_CONFIDENCE_GROUP[kind]:
                label = (
                    _name_of_group(history.prompts, group.members, background.rate_for(history))
                    if kind is Kind.GROUP
                    else _name_of_look(history.texts[group.middle])
                )
                grouped.append(_Candidate(kind, label, members, GROUP_RATE, group.middle))
    return grouped


def _shared_word(prompts: Sequence[Prompt], members: Sequence[int]) -> float:
    """Return the share of the members that have the commonest word among them, in [0, 1]."""
    counts = Counter(part for row in members for part in stems_of(prompts[row]))
    return max(counts.values(), default=0) / max(1, len(members))


def _distinct_subjects(prompts: Sequence[Prompt], members: Sequence[int]) -> float:
    """Return how many subjects the members have for each of them, in (0, 1]."""
    return len({subject_of(prompts[row]) for row in members}) / max(1, len(members))


def _name_of_group(
    prompts: Sequence[Prompt], members: Sequence[int], rate: Callable[[Stems], float]
) -> str:
    """Return the words, as they are written, that set a person's prompts apart from the rest of theirs.

    Args:
        prompts: all of the person's.
        members: rows of the group.
        rate: everybody's rate of a phrase.
    """
    inside = Counter(part for row in members for part in stems_of(prompts[row]))
    overall = Counter(part for prompt in prompts for part in stems_of(prompt))
    subjects = {part for row in members for part in subject_of(prompts[row])}
    surfaces: dict[str, Counter[str]] = defaultdict(Counter)
    for row in members:
        for segment in prompts[row]:
            for word in segment:
                if word.stem:
                    surfaces[word.stem][word.surface.lower()] += 1
    ranked = sorted(
        (
            part
            for part, count in inside.items()
            if count >= LEAST_USES and part not in subjects and not is_quality((part,))
        ),
        key=lambda part: (-(inside[part] ** 2) / overall[part] / (rate((part,)) + 0.01), part),
    )
    words = [min(surfaces[part], key=lambda one: (-surfaces[part][one], one)) for part in ranked]
    if words:
        return ", ".join(words[:MOST_WORDS])
    return _name_of_look(
        " ".join(word.surface for segment in prompts[members[0]] for word in segment)
    )


def _name_of_look(text: str) -> str:
    """Return a name for pictures that look like that of a prompt."""
    plain = " ".join(text.split())
    if len(plain) > QUOTED_CHARACTERS:
        plain = plain[: QUOTED_CHARACTERS - 1].rstrip(" ,.;") + "…"
    return f"“{plain}”"
