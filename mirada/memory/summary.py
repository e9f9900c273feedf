"""A person's styles by month, subjects and colours, summed up from their prompt history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from mirada.embedding.palette import Colour, merged
from mirada.memory.background import Background
from mirada.memory.history import OwnHistory, OwnImage, palettes, prompts_as_written
from mirada.memory.style_matcher import StyleMatcher
from mirada.memory.suggest import suggest
from mirada.memory.words import Segment, Stems, is_quality, subject_at, written

MOST_STYLES = 10
"""CONTRACT A: the most that anybody may ask for."""
MOST_SUBJECTS = 10
MOST_SHOWN = 60
"""Images of a style that a taste names: a page of them. Tastes are kept in memory."""
LEAST_PROMPTS = 3
"""Of one subject, from which on it recurs."""


@dataclass(frozen=True, slots=True)
class OwnStyle:
    """A person's style, as `memory.suggest.Suggestion` has it, counted in images.

    Attributes:
        kind: "listed", "phrase", "group" or "look".
        label: what it is called.
        example_prompt: as its owner wrote it.
        example_image_id: the newest image of that prompt.
        frequency: how many images show the style.
        confidence: in [0, 1].
        by_month: images by month, "2025-11", oldest first; months without are left out.
        image_ids: the newest MOST_SHOWN of them, newest first.
    """

    kind: str
    label: str
    example_prompt: str
    example_image_id: int
    frequency: int
    confidence: float
    by_month: Sequence[tuple[str, int]]
    image_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class OwnSubject:
    """A recurring subject in the person's words, its number of images, and the newest one."""

    subject: str
    frequency: int
    example_image_id: int


@dataclass(frozen=True, slots=True)
class Taste:
    """The recurring styles, subjects and colours of a person's images.

    Attributes:
        images: how many were looked at.
        prompts: how many different prompts they have.
        styles: the surest first, MOST_STYLES at most.
        months: images by month, as OwnStyle.by_month.
        subjects: the commonest first.
        palette: the colours, the commonest first.
        palette_images: of how many images the colours are known.
    """

    images: int = 0
    prompts: int = 0
    styles: Sequence[OwnStyle] = ()
    months: Sequence[tuple[str, int]] = ()
    subjects: Sequence[OwnSubject] = ()
    palette: Sequence[Colour] = ()
    palette_images: int = 0


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
        found = subject_at(prompt)
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


def taste_of(
    session: Session, kept: OwnHistory, matcher: StyleMatcher, background: Background
) -> Taste:
    """Return a person's taste; the same while nothing of it changes.

    Args:
        session: for reading.
        kept: what they have.
        matcher: the list in force.
        background: everybody's rates.
    """
    found = suggest(kept.history, matcher, background)[:MOST_STYLES]
    examples = [kept.images[one.example][-1].id for one in found]
    written = prompts_as_written(session, examples)
    styles = []
    for one, image_id in zip(found, examples, strict=True):
        images = [image for row in one.members for image in kept.images[row]]
        styles.append(
            OwnStyle(
                str(one.kind),
                one.label,
                written.get(image_id) or kept.history.texts[one.example],
                image_id,
                len(images),
                round(one.confidence, 4),
                _by_month(images),
                tuple(sorted((image.id for image in images), reverse=True)[:MOST_SHOWN]),
            )
        )
    subjects = []
    for subject in recurring_subjects(kept.history.prompts, matcher.words.is_name):
        images = [image for row in subject.members for image in kept.images[row]]
        subjects.append(OwnSubject(subject.label, len(images), max(image.id for image in images)))
    subjects.sort(key=lambda one: (-one.frequency, one.subject))
    colours = palettes(session, {image.content_id for image in kept.total if image.is_ready})
    return Taste(
        images=len(kept.total),
        prompts=len(kept.history.texts),
        styles=tuple(styles),
        months=_by_month(kept.total),
        subjects=tuple(subjects[:MOST_SUBJECTS]),
        palette=tuple(merged(colours)),
        palette_images=len(colours),
    )


def _by_month(images: Sequence[OwnImage]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(image.created_at.strftime("%Y-%m") for image in images).items()))
