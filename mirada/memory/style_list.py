"""The list of known styles, read and edited; the built-in one until an administrator edits it."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from mirada.db import memory_models as tables
from mirada.db.models import Installation
from mirada.kernel.errors import Conflict, NotFound
from mirada.memory.styles import BUILT_IN_STYLES, MAX_STYLES, Style


def styles_in_force(session: Session) -> list[Style]:
    """Return the list in its order: the administrator's, or the built-in one."""
    rows = session.execute(select(tables.Style).order_by(tables.Style.id)).scalars()
    return [Style(row.name, tuple(row.descriptions)) for row in rows] or list(BUILT_IN_STYLES)


def is_edited(session: Session) -> bool:
    """Return whether the list in force is an administrator's rather than the built-in one."""
    return session.execute(select(tables.Style.id).limit(1)).first() is not None


def get_style(session: Session, name: str) -> Style:
    """Return a style of the list.

    Args:
        session: for reading.
        name: as `kernel.labels.normalised_name` returns it.

    Raises:
        NotFound: the list has no such style.
    """
    for style in styles_in_force(session):
        if style.name == name:
            return style
    raise no_such_style(name)


def put_style(session: Session, style: Style) -> bool:
    """Add a style at the end of the list, or replace the one of that name in its place.

    The first edit turns the built-in list into the administrator's.

    Returns:
        Whether the style is new.

    Raises:
        Conflict: the list has MAX_STYLES styles already.
    """
    rows = _for_editing(session)
    row = rows.get(style.name)
    is_new = row is None
    if row is None:
        if len(rows) >= MAX_STYLES:
            raise Conflict(f"The list may have {MAX_STYLES} styles at most.")
        row = tables.Style(name=style.name)
        session.add(row)
    row.descriptions = list(style.descriptions)
    session.flush()
    return is_new


def delete_style(session: Session, name: str) -> None:
    """Take a style out of the list.

    Raises:
        NotFound: the list has no such style.
        Conflict: it is the last one; an empty list would be the built-in one again.
    """
    rows = _for_editing(session)
    if name not in rows:
        raise no_such_style(name)
    if len(rows) == 1:
        raise Conflict(
            f"{name!r} is the only style left. Add another one first, or reset the list to the "
            "built-in one."
        )
    session.delete(rows[name])
    session.flush()


def reset(session: Session) -> None:
    """Go back to the built-in list."""
    _lock_list(session)
    session.execute(delete(tables.Style))


def no_such_style(name: str) -> NotFound:
    """Return the error for a name that the list does not have."""
    return NotFound(f"The list has no style {name!r}.")


def _lock_list(session: Session) -> None:
    # The list's own rows may not exist yet, so the installation's row is the lock.
    session.execute(select(Installation.id).where(Installation.id == 1).with_for_update())


def _for_editing(session: Session) -> dict[str, tables.Style]:
    """Return the rows of the list by name, copying the built-in list first if there are none."""
    _lock_list(session)
    if session.execute(select(func.count()).select_from(tables.Style)).scalar_one() == 0:
        for style in BUILT_IN_STYLES:
            session.add(tables.Style(name=style.name, descriptions=list(style.descriptions)))
            # One by one, for their order is that of their ids.
            session.flush()
    return {row.name: row for row in session.execute(select(tables.Style)).scalars()}
