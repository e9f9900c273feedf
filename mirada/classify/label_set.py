"""The default label set, read and edited."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from mirada.db import classifier_models as tables
from mirada.db.models import Installation
from mirada.kernel.errors import Conflict, NotFound
from mirada.kernel.labels import DEFAULT_LABELS, MAX_LABELS, Label


def default_set(session: Session) -> list[Label]:
    """Return the labels in force, in their order: the administrator's, or the built-in ones."""
    rows = session.execute(
        select(tables.Label).order_by(tables.Label.position, tables.Label.id)
    ).scalars()
    return [_to_domain(row) for row in rows] or list(DEFAULT_LABELS)


def is_edited(session: Session) -> bool:
    """Return whether the set in force is an administrator's rather than the built-in one."""
    return session.execute(select(tables.Label.id).limit(1)).first() is not None


def get_label(session: Session, name: str) -> Label:
    """Return a label of the default set.

    Args:
        session: for reading.
        name: as `normalised_name` returns it.

    Raises:
        NotFound: the set has no such label.
    """
    for label in default_set(session):
        if label.name == name:
            return label
    raise NotFound(f"The default set has no label {name!r}.")


def put_label(session: Session, label: Label) -> bool:
    """Add a label at the end of the default set, or replace the one of that name in its place.

    The first edit turns the built-in set into the administrator's.

    Returns:
        Whether the label is new.

    Raises:
        Conflict: the set has MAX_LABELS labels already.
    """
    rows = _for_editing(session)
    row = rows.get(label.name)
    is_new = row is None
    if row is None:
        if len(rows) >= MAX_LABELS:
            raise Conflict(f"The default set may have {MAX_LABELS} labels at most.")
        row = tables.Label(name=label.name, position=1 + max(r.position for r in rows.values()))
        session.add(row)
    _fill(row, label)
    session.flush()
    return is_new


def delete_label(session: Session, name: str) -> None:
    """Take a label out of the default set.

    Raises:
        NotFound: the set has no such label.
        Conflict: it is the last one, without which nothing could be classified.
    """
    rows = _for_editing(session)
    if name not in rows:
        raise NotFound(f"The default set has no label {name!r}.")
    if len(rows) == 1:
        raise Conflict(
            f"{name!r} is the only label left. Add another one first, or reset the set to the "
            "built-in one."
        )
    session.delete(rows[name])
    session.flush()


def reset(session: Session) -> None:
    """Go back to the built-in set."""
    _lock_set(session)
    session.execute(delete(tables.Label))


def _lock_set(session: Session) -> None:
    # The set's own rows may not exist yet, so the installation's row is the lock.
    session.execute(select(Installation.id).where(Installation.id == 1).with_for_update())


def _for_editing(session: Session) -> dict[str, tables.Label]:
    """Return the rows of the set by name, copying the built-in set first if there are none."""
    _lock_set(session)
    if session.execute(select(func.count()).select_from(tables.Label)).scalar_one() == 0:
        for position, label in enumerate(DEFAULT_LABELS):
            row = tables.Label(name=label.name, position=position)
            _fill(row, label)
            session.add(row)
        session.flush()
    return {row.name: row for row in session.execute(select(tables.Label)).scalars()}


def _fill(row: tables.Label, label: Label) -> None:
    row.description = label.description
    row.templates = None if label.templates is None else list(label.templates)
    row.threshold = label.threshold


def _to_domain(row: tables.Label) -> Label:
    templates = None if row.templates is None else tuple(row.templates)
    return Label(row.name, row.description, templates, row.threshold)
