"""A list of named values that is built in until an administrator edits it, and how it is edited."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import delete, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mirada.db import audit
from mirada.db.models import Installation
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict, NotFound, PreconditionFailed


class Named(Protocol):
    """A value with a name, in the form of `kernel.labels.normalised_name`."""

    @property
    def name(self) -> str:
        """The one value of a list that is called so."""
        ...


Value = TypeVar("Value", bound=Named)
Holds = Callable[[str | None], bool]
"""Whether a change is still meant, told the revision of what it would change; None where nothing is there."""


def whatever_is_there(_revision: str | None) -> bool:
    """Hold always."""
    return True


@dataclass(frozen=True, slots=True)
class NamedList(Generic[Value]):
    """A list in a table of its own; while the table is empty the built-in list is in force.

    Attributes:
        table: with a column `name` that is unique.
        order: its column that the list is ordered by, and that grows from row to row.
        built_in: values in their order.
        most: how many values a list may have.
        title: of the list, as sentences say it: "default set".
        noun: of one value.
        acts: under which an entry that is put, deleted, or a list that is reset, is written down.
        read: returns the value of a row.
        write: fills a row from a value and, when the row is new, from its place in the order, which
            is None for others.
    """

    table: Any
    order: InstrumentedAttribute[int]
    built_in: Sequence[Value]
    most: int
    title: str
    noun: str
    acts: tuple[Action, Action, Action]
    read: Callable[[Any], Value]
    write: Callable[[Any, Value, int | None], None]

    def in_force(self, session: Session) -> list[Value]:
        """Return the values in their order: the administrator's, or the built-in ones."""
        rows = session.execute(select(self.table).order_by(self.order, self.table.id)).scalars()
        return [self.read(row) for row in rows] or list(self.built_in)

    def is_edited(self, session: Session) -> bool:
        """Return whether the list in force is an administrator's rather than the built-in one."""
        return session.execute(select(self.table.id).limit(1)).first() is not None

    def get(self, session: Session, name: str) -> Value:
        """Return a value by its name. Raises NotFound."""
        for value in self.in_force(session):
            if value.name == name:
                return value
        raise self.absent(name)

    @staticmethod
    def revision(value: Value | Sequence[Value]) -> str:
        """Return 32 hex digits of a value, or of a whole list, that are others once it is changed.

        They are made of the value itself: what is changed back has the same ones again, and nothing is
        lost where that is taken for no change.
        """
        told = repr(list(value) if isinstance(value, Sequence) else value)
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def put(self, session: Session, value: Value, holds: Holds = whatever_is_there) -> bool:
        """Add a value at the end of the list, or replace the one of that name in its place.

        The first edit turns the built-in list into the administrator's.

        Returns:
            Whether the value is new.

        Raises:
            Conflict: the list is full.
            PreconditionFailed: what is there is not what `holds` wants.
        """
        rows = self._for_editing(session)
        row, place = rows.get(value.name), None
        self._require(holds, value.name, row)
        if row is None:
            if len(rows) >= self.most:
                raise Conflict(f"The {self.title} may have {self.most} {self.noun}s at most.")
            row = self.table(name=value.name)
            place = 1 + max(getattr(other, self.order.key) for other in rows.values())
            session.add(row)
        self.write(row, value, place)
        told: dict[str, audit.Fact] = {"name": value.name, "is_new": place is not None}
        audit.record(session, self.acts[0], detail=told)
        session.flush()
        return place is not None

    def delete(self, session: Session, name: str, holds: Holds = whatever_is_there) -> None:
        """Take a value out of the list.

        Raises:
            NotFound: the list has no such value.
            Conflict: it is the last one; an empty list would be the built-in one again.
            PreconditionFailed: what is there is not what `holds` wants.
        """
        rows = self._for_editing(session)
        if name not in rows:
            raise self.absent(name)
        self._require(holds, name, rows[name])
        if len(rows) == 1:
            raise Conflict(
                f"{name!r} is the only {self.noun} left. Add another one first, or reset the "
                f"{self.title.split()[-1]} to the built-in one."
            )
        session.delete(rows[name])
        audit.record(session, self.acts[1], detail={"name": name})
        session.flush()

    def reset(self, session: Session, holds: Holds = whatever_is_there) -> None:
        """Go back to the built-in list.

        Raises:
            PreconditionFailed: the list is not what `holds` wants.
        """
        _lock(session)
        if not holds(self.revision(self.in_force(session))):
            raise PreconditionFailed(
                f"The {self.title} was changed meanwhile: read it again before you reset it."
            )
        session.execute(delete(self.table))
        audit.record(session, self.acts[2])

    def absent(self, name: str) -> NotFound:
        """Return the error for a name that the list does not have."""
        return NotFound(f"The {self.title} has no {self.noun} {name!r}.")

    def _require(self, holds: Holds, name: str, row: Any) -> None:
        if holds(None if row is None else self.revision(self.read(row))):
            return
        if row is None:
            raise PreconditionFailed(f"The {self.noun} {name!r} was taken out meanwhile.")
        raise PreconditionFailed(
            f"The {self.noun} {name!r} was changed meanwhile, or is there already: read it again and "
            "make your change to what it is now."
        )

    def _for_editing(self, session: Session) -> dict[str, Any]:
        """Return the rows by name, copying the built-in list first if there are none."""
        _lock(session)
        if session.execute(select(func.count()).select_from(self.table)).scalar_one() == 0:
            for place, value in enumerate(self.built_in):
                row = self.table(name=value.name)
                self.write(row, value, place)
                session.add(row)
                # One by one, for the order may be that of their ids.
                session.flush()
        return {row.name: row for row in session.execute(select(self.table)).scalars()}


def _lock(session: Session) -> None:
    # The list's own rows may not exist yet, so the installation's row is the lock.
    session.execute(select(Installation.id).where(Installation.id == 1).with_for_update())
