"""The list of known styles, read and edited; the built-in one until an administrator edits it."""

from __future__ import annotations

from mirada.db import memory_models as tables
from mirada.db.named_lists import NamedList
from mirada.memory.styles import BUILT_IN_STYLES, MAX_STYLES, Style


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
    read=_read,
    write=_write,
)
