"""The default label set: the built-in one until an administrator edits it."""

from __future__ import annotations

from mirada.db import classifier_models as tables
from mirada.db.named_lists import NamedList
from mirada.kernel.audit import Action
from mirada.kernel.labels import DEFAULT_LABELS, MAX_LABELS, Label


def _read(row: tables.Label) -> Label:
    templates = None if row.templates is None else tuple(row.templates)
    return Label(row.name, row.description, templates, row.threshold)


def _write(row: tables.Label, label: Label, place: int | None) -> None:
    if place is not None:
        row.position = place
    row.description = label.description
    row.templates = None if label.templates is None else list(label.templates)
    row.threshold = label.threshold


LABELS = NamedList(
    table=tables.Label,
    order=tables.Label.position,
    built_in=DEFAULT_LABELS,
    most=MAX_LABELS,
    title="default set",
    noun="label",
    acts=(Action.LABELS_PUT, Action.LABELS_DELETE, Action.LABELS_RESET),
    read=_read,
    write=_write,
)
"""The default set: what pictures are judged by where a request does not say."""
