"""Sets of queries: named, of one person each, and told to nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from mirada.db.deadlocks import retried
from mirada.db.evaluation_models import EvaluationQuery, EvaluationSet
from mirada.db.idempotency import once
from mirada.db.models import User, utc_now
from mirada.db.pages import newest_first
from mirada.kernel.commands import command_line
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.ids import in_range
from mirada.kernel.labels import normalised_name

MOST_SETS = 50
"""Of one person."""


@dataclass(frozen=True, slots=True)
class QuerySet:
    """A set as its owner sees it.

    Attributes:
        id: of the set.
        owner_id: whose it is.
        name: unique among the owner's.
        query_count: how many queries it has.
        created_at: when it was made.
        updated_at: when it, or one of its queries, was last changed.
    """

    id: int
    owner_id: int
    name: str
    query_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MadeSet:
    """A new set; `was_replayed`: an earlier request with the same Idempotency-Key made it."""

    set: QuerySet
    was_replayed: bool = False


def make_set(session: Session, owner_id: int, name: object, *, key: str | None = None) -> MadeSet:
    """Insert an empty set.

    Args:
        session: a transaction.
        owner_id: whose it is.
        name: any name, see `normalised_name`.
        key: the request's Idempotency-Key.

    Raises:
        InvalidInput: the name cannot be one, or the key is another request's.
        Conflict: a set of theirs has that name, they have as many as one person may, or the key's set
            is gone since.
    """
    checked = _checked_name(name)
    request = once(owner_id, key, "evaluation set", {"name": checked})
    # One owner's requests come one after the other, so that none gets past the bound.
    session.get(User, owner_id, with_for_update=True)
    earlier = request.earlier(session)
    if earlier is not None:
        try:
            return MadeSet(get_set(session, earlier, owner_id), was_replayed=True)
        except NotFound as error:
            raise Conflict(
                "The set of this Idempotency-Key was deleted since. Send a new key to make it again."
            ) from error
    mine = select(func.count(EvaluationSet.id)).where(EvaluationSet.owner_id == owner_id)
    if session.execute(mine).scalar_one() >= MOST_SETS:
        raise Conflict(f"You have {MOST_SETS} sets, as many as one person may. Delete one first.")
    _refuse_name(session, owner_id, checked)
    row = EvaluationSet(owner_id=owner_id, name=checked)
    session.add(row)
    session.flush()
    request.keep(session, row.id)
    return MadeSet(get_set(session, row.id, owner_id))


def list_sets(
    session: Session, owner_id: int, *, cursor: int | None = None, limit: int = 50
) -> list[QuerySet]:
    """Return a person's sets, newest first.

    Args:
        session: for reading.
        owner_id: whose.
        cursor: the id of the last set of the page before; None for the first page.
        limit: >= 1.
    """
    query = _sets().where(EvaluationSet.owner_id == owner_id)
    rows = session.execute(newest_first(query, EvaluationSet.id, cursor, limit))
    return [QuerySet(*row) for row in rows]


def get_set(session: Session, set_id: int, owner_id: int) -> QuerySet:
    """Return a person's set. Raises NotFound: there is none, or it is somebody else's."""
    mine = _sets().where(EvaluationSet.id == in_range(set_id), EvaluationSet.owner_id == owner_id)
    row = session.execute(mine).one_or_none()
    if row is None:
        raise _absent(set_id)
    return QuerySet(*row)


def set_named(session: Session, owner_id: int, name: object) -> QuerySet:
    """Return a person's set by its name; raises NotFound, and InvalidInput where it can be no name."""
    checked = _checked_name(name)
    mine = _sets().where(EvaluationSet.owner_id == owner_id, EvaluationSet.name == checked)
    row = session.execute(mine).one_or_none()
    if row is None:
        raise NotFound(
            f"There is no evaluation set '{checked}'. Make it from a CSV file or from verdicts: "
            f"{command_line('evaluate import NAME FILE.csv')}, {command_line('evaluate fill NAME')}"
        )
    return QuerySet(*row)


def rename_set(session: Session, set_id: int, owner_id: int, name: object) -> QuerySet:
    """Give a set another name; raises as `make_set` and `get_set` do."""
    checked = _checked_name(name)
    row = locked_set(session, set_id, owner_id)
    if row.name != checked:
        _refuse_name(session, owner_id, checked)
        row.name = checked
        session.flush()
    return get_set(session, set_id, owner_id)


def delete_set(session: Session, set_id: int, owner_id: int) -> None:
    """Delete a set with its queries, judgements and reports; raises as `get_set` does."""
    session.delete(locked_set(session, set_id, owner_id))
    session.flush()


def forget_set(session: Session, set_id: int) -> None:
    """Delete a set of somebody who was ended; harmless when it is gone."""
    row = session.get(EvaluationSet, set_id, with_for_update=True)
    if row is not None:
        session.delete(row)
        session.flush()


def locked_set(session: Session, set_id: int, owner_id: int) -> EvaluationSet:
    """Return a person's set, locked until the transaction ends; raises as `get_set` does."""
    row = session.execute(
        select(EvaluationSet)
        .where(EvaluationSet.id == in_range(set_id), EvaluationSet.owner_id == owner_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if row is None:
        raise _absent(set_id)
    return row


def note_change(row: EvaluationSet) -> None:
    """Keep that one of a set's queries has changed."""
    row.updated_at = utc_now()


make = retried(make_set)
rename = retried(rename_set)
remove = retried(delete_set)


def _sets() -> Select[Any]:
    count = (
        select(func.count(EvaluationQuery.id))
        .where(EvaluationQuery.set_id == EvaluationSet.id)
        .correlate(EvaluationSet)
        .scalar_subquery()
    )
    return select(
        EvaluationSet.id,
        EvaluationSet.owner_id,
        EvaluationSet.name,
        count,
        EvaluationSet.created_at,
        EvaluationSet.updated_at,
    )


def _checked_name(name: object) -> str:
    try:
        return normalised_name(name)
    except InvalidInput as error:
        raise InvalidInput(f"The set: {error.detail}", fields={"name": [error.detail]}) from error


def _refuse_name(session: Session, owner_id: int, name: str) -> None:
    taken = select(EvaluationSet.id).where(
        EvaluationSet.owner_id == owner_id, EvaluationSet.name == name
    )
    if session.execute(taken).first() is not None:
        raise Conflict(f"A set of yours is called '{name}' already.")


def _absent(set_id: int) -> NotFound:
    return NotFound(f"There is no evaluation set {set_id}, or it is not yours.")


def sets_of(session: Session, owner_id: int) -> Sequence[int]:
    """Return the ids of a person's sets."""
    mine = select(EvaluationSet.id).where(EvaluationSet.owner_id == owner_id)
    return session.execute(mine.order_by(EvaluationSet.id)).scalars().all()
