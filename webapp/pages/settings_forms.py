"""The forms of labels and styles: their fields, what may stand in each, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext

from mirada.classify.label_set import LABELS
from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import (
    Label,
    normalised_description,
    normalised_name,
    normalised_templates,
)
from mirada.memory.styles import STYLES, Style, normalised_descriptions


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the form of one value.

    Attributes:
        name: in the form.
        title: above it.
        rule: what may stand in it, and what is said of what may not.
        lines: 1 for a field of one line; else how many are shown.
        shown: returns the text of a value.
        read: returns what the text means. Raises InvalidInput or ValueError.
    """

    name: str
    title: Any
    rule: Any
    lines: int
    shown: Callable[[Any], str]
    read: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """A list as its pages have it.

    Attributes:
        values: the list, a `NamedList`.
        made: returns a value of its name and fields.
        fields: beside the name.
        title, new, about: texts.
        told: returns what a row tells beside the name.
    """

    values: Any
    made: Callable[..., Any]
    fields: Sequence[Field]
    title: Any
    new: Any
    about: Any
    told: Callable[[Any], str]


def _number(text: str) -> float | None:
    if not text.strip():
        return None
    # As people write it in Portuguese and Spanish, too.
    number = float(text.strip().replace(",", "."))
    if not 0 <= number <= 1:
        raise ValueError(text)
    return number


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


LISTS = {
    "labels": Kept(
        LABELS,
        Label,
        (
            Field(
                "description",
                lazy_gettext("Description"),
                lazy_gettext(
                    "A sentence that may join the prompts, of 300 characters at most. May be empty."
                ),
                1,
                lambda one: one.description or "",
                lambda text: normalised_description(text) if text.strip() else None,
            ),
            Field(
                "threshold",
                lazy_gettext("Threshold"),
                lazy_gettext(
                    "A number from 0 to 1, such as 0.4: the least score from which it applies. Empty: "
                    "none."
                ),
                1,
                lambda one: "" if one.threshold is None else f"{one.threshold:g}",
                _number,
            ),
            Field(
                "templates",
                lazy_gettext("Prompt templates"),
                lazy_gettext(
                    "One a line, each with {} exactly once, in the place of the label; 100 lines at most. "
                    "Empty: the built-in ones."
                ),
                4,
                lambda one: "\n".join(one.templates or ()),
                lambda text: normalised_templates(_lines(text)) if text.strip() else None,
            ),
        ),
        lazy_gettext("Labels"),
        lazy_gettext("New label"),
        lazy_gettext(
            "By these pictures are judged where a request does not say otherwise. After a change they are "
            "judged again in the background."
        ),
        lambda one: one.description or "",
    ),
    "styles": Kept(
        STYLES,
        Style,
        (
            Field(
                "descriptions",
                lazy_gettext("Descriptions"),
                lazy_gettext(
                    "1 to 10 lines of 300 characters at most, in any language: phrases with commas between "
                    "them that show the style."
                ),
                6,
                lambda one: "\n".join(one.descriptions),
                lambda text: normalised_descriptions(_lines(text)),
            ),
        ),
        lazy_gettext("Styles"),
        lazy_gettext("New style"),
        lazy_gettext("The styles that Memory knows by name. It follows a change at once."),
        lambda one: one.descriptions[0],
    ),
}
NAME_RULE = lazy_gettext(
    "1 to 100 characters, with a letter, digit or symbol, and without invisible ones."
)


def read_form(kept: Kept, typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was typed as fields of a value, and by field what is wrong with it."""
    read: dict[str, Any] = {}
    faults: dict[str, Any] = {}
    readers: dict[str, tuple[Callable[[str], Any], Any]] = {"name": (normalised_name, NAME_RULE)}
    readers |= {field.name: (field.read, field.rule) for field in kept.fields}
    for name, (reader, rule) in readers.items():
        try:
            read[name] = reader(typed.get(name, ""))
        except (InvalidInput, ValueError):
            faults[name] = rule
    return read, faults
