"""The Style value, the built-in styles of built_in.toml beside this module, and the list in force."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirada.db import memory_models as tables
from mirada.db.named_lists import NamedList
from mirada.kernel.audit import Action
from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import normalised_description, normalised_name

MAX_STYLES = 300
"""Each costs its descriptions' vectors once, and a column of every computation."""
MAX_DESCRIPTIONS = 10
"""One per language, or several of one."""


@dataclass(frozen=True, slots=True)
class Style:
    """A style that has a name.

    Attributes:
        name: the label of a suggestion, in the form of `kernel.labels.normalised_name`.
        descriptions: one text per language: phrases separated by commas, the first of which is
            what the style is called in that language.
    """

    name: str
    descriptions: tuple[str, ...]


def normalised_descriptions(texts: Sequence[object]) -> tuple[str, ...]:
    """Return descriptions in the form of `kernel.labels.normalised_description`, each once.

    Raises:
        InvalidInput: none, more than MAX_DESCRIPTIONS, or one that is no description.
    """
    if isinstance(texts, str) or not 1 <= len(texts) <= MAX_DESCRIPTIONS:
        raise InvalidInput(f"There may be 1 to {MAX_DESCRIPTIONS} descriptions, as a list.")
    return tuple(dict.fromkeys(normalised_description(text) for text in texts))


def _entries() -> list[dict[str, Any]]:
    text = Path(__file__).with_name("built_in.toml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(text)["style"]
    return [entry | {"name": normalised_name(entry["name"])} for entry in entries]


def _texts(entry: Mapping[str, Any]) -> list[Sequence[str]]:
    """Return the texts of each language."""
    return [texts for key, texts in entry.items() if key != "name"]


_ENTRIES = _entries()
BUILT_IN_STYLES: tuple[Style, ...] = tuple(
    Style(
        entry["name"],
        normalised_descriptions([text for texts in _texts(entry) for text in texts]),
    )
    for entry in _ENTRIES
)
"""Painting, drawing and print, craft, movements, genres, photography."""
BUILT_IN_NAMES: Mapping[str, tuple[str, ...]] = {
    entry["name"]: tuple(texts[0].split(",")[0].strip() for texts in _texts(entry))
    for entry in _ENTRIES
}
"""By the name of a built-in style: what it is called in each language."""


def _read(row: tables.Style) -> Style:
    return Style(row.name, tuple(row.descriptions))


def _write(row: tables.Style, style: Style, _place: int | None) -> None:
    row.descriptions = list(style.descriptions)


STYLES = NamedList(
    table=tables.Style,
    order=tables.Style.id,
    built_in=BUILT_IN_STYLES,
    most=MAX_STYLES,
    title="list",
    noun="style",
    acts=(Action.STYLES_PUT, Action.STYLES_DELETE, Action.STYLES_RESET),
    read=_read,
    write=_write,
)
