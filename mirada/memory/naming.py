"""Names of unlisted styles, made of words from the person's own prompts alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from mirada.memory.words import Segment, Stems, is_quality, stems_of, subject_of

Prompt = tuple[Segment, ...]
WORDS = 3
LEAST_USES = 2
QUOTED_CHARACTERS = 40


def shared_word(prompts: Sequence[Prompt], members: Sequence[int]) -> float:
    """Return the share of the members that have the commonest word among them, in [0, 1]."""
    counts = Counter(part for row in members for part in stems_of(prompts[row]))
    return max(counts.values(), default=0) / max(1, len(members))


def distinct_subjects(prompts: Sequence[Prompt], members: Sequence[int]) -> float:
    """Return how many subjects the members have for each of them, in (0, 1]."""
    return len({subject_of(prompts[row]) for row in members}) / max(1, len(members))


def name_of_group(
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
        return ", ".join(words[:WORDS])
    return name_of_look(
        " ".join(word.surface for segment in prompts[members[0]] for word in segment)
    )


def name_of_look(text: str) -> str:
    """Return a name for pictures that look like that of a prompt."""
    plain = " ".join(text.split())
    if len(plain) > QUOTED_CHARACTERS:
        plain = plain[: QUOTED_CHARACTERS - 1].rstrip(" ,.;") + "…"
    return f"“{plain}”"
