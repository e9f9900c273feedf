"""Runs of imports and exports: each a row with how far it is, seen while it goes and afterwards.

The row is written in the transactions that write what the run brings, so it never says more than is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.models import Content
from mirada.db.session import count_changed, now_ms
from mirada.db.transfer_models import Transfer
from mirada.kernel.errors import MiradaError
from mirada.runtime import Runtime
from mirada.transfer.claims import this_place

MOST_REFUSALS = 50
"""Refused rows that a run keeps with their reasons; the others are counted, and the report names them."""
EARLIER = 50
"""Earlier runs of one source that are looked at for files that they had in hand."""


class RunKind(StrEnum):
    """What a run does."""

    IMPORT = "import"
    EXPORT = "export"


class RunState(StrEnum):
    """How a run stands. One that was killed is RUNNING until the next one of its subject begins."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a run is, in rows of an import or images of an export.

    Attributes:
        done: that were looked at.
        taken, already_there, refused: what became of them.
        refusals: the first of the refused rows, as JSON has them.
    """

    done: int = 0
    taken: int = 0
    already_there: int = 0
    refused: int = 0
    refusals: Sequence[dict[str, Any]] = ()


@dataclass(slots=True)
class Run:
    """The row of a run that goes on; `id` is None for a dry one, of which nothing is written."""

    id: int | None = None
    latest: Counts = field(default_factory=Counts)

    def note(self, session: Session, counts: Counts, in_hand: Sequence[str] = ()) -> None:
        """Write how far it is, in the transaction that brings it there.

        Args:
            session: that transaction.
            counts: how far the run is once it is committed.
            in_hand: keys of files in the store that no row names yet.
        """
        self.latest = counts
        self._write(session, **_columns(counts), in_hand=list(in_hand))

    def _write(self, session: Session, **values: Any) -> None:
        if self.id is not None:
            mine = update(Transfer).where(Transfer.id == self.id)
            count_changed(session, mine.values(seen_at_ms=now_ms(), **values))

    def end(self, session: Session, state: RunState, error: str | None = None) -> None:
        """Write how it ended; files that a failed run had in hand are looked at by the next one."""
        done: dict[str, Any] = {"in_hand": []} if state is RunState.DONE else {}
        self._write(
            session,
            **_columns(self.latest),
            **done,
            state=state,
            error=error,
            ended_at_ms=now_ms(),
        )


def _columns(counts: Counts) -> dict[str, Any]:
    return {
        "done": counts.done,
        "taken": counts.taken,
        "already_there": counts.already_there,
        "refused": counts.refused,
        "refusals": list(counts.refusals)[:MOST_REFUSALS],
    }


@contextmanager
def running(
    runtime: Runtime, kind: RunKind, subject: str, owner_id: int, total: int | None
) -> Iterator[Run]:
    """Keep a row of a run while the block runs, and write how it ended.

    The caller has the right to this subject alone: an earlier run of it writes nothing more. Files that
    an earlier one had in hand when it was killed are removed, unless a row names them.

    Args:
        runtime: a migrated one.
        kind: what it does.
        subject: the source of an import, or the folder of an export.
        owner_id: who sees it, beside administrators.
        total: rows or images that there are; None where nobody can say.
    """
    with runtime.transaction() as session:
        run = Run(_begin(session, kind, subject[-191:], owner_id, total))
    _tidy(runtime, kind, subject[-191:], run)
    try:
        yield run
    except BaseException as error:
        is_told = isinstance(error, MiradaError)
        state = RunState.FAILED if isinstance(error, Exception) else RunState.INTERRUPTED
        told = error.detail if isinstance(error, MiradaError) else type(error).__name__
        # Where the database is away the row says when the run was heard of last.
        with suppress(MiradaError), runtime.transaction() as session:
            run.end(session, state, told if is_told or state is RunState.FAILED else None)
        raise
    with runtime.transaction() as session:
        run.end(session, RunState.DONE)


def _begin(session: Session, kind: RunKind, subject: str, owner_id: int, total: int | None) -> int:
    """Insert the row of a run; those of this subject that were killed came to no end."""
    same = (Transfer.kind == kind, Transfer.subject == subject)
    killed = update(Transfer).where(*same, Transfer.state == RunState.RUNNING)
    count_changed(
        session, killed.values(state=RunState.INTERRUPTED, ended_at_ms=Transfer.seen_at_ms)
    )
    last = session.execute(
        select(Transfer.state, Transfer.resumed).where(*same).order_by(Transfer.id.desc()).limit(1)
    ).one_or_none()
    is_resumed = last is not None and last.state != RunState.DONE
    now = session.execute(select(now_ms())).scalar_one()
    row = Transfer(
        kind=kind,
        subject=subject,
        owner_id=owner_id,
        place=this_place(),
        state=RunState.RUNNING,
        total=total,
        resumed=last.resumed + 1 if last is not None and is_resumed else 0,
        started_at_ms=now,
        seen_at_ms=now,
    )
    session.add(row)
    session.flush()
    return row.id


def _tidy(runtime: Runtime, kind: RunKind, subject: str, run: Run) -> None:
    """Remove the files that earlier runs had in hand and that no row names."""
    with runtime.reading() as session:
        found = session.execute(
            select(Transfer.id, Transfer.in_hand)
            .where(Transfer.kind == kind, Transfer.subject == subject, Transfer.id != (run.id or 0))
            .order_by(Transfer.id.desc())
            .limit(EARLIER)
        ).all()
        left = {row.id: set(row.in_hand) for row in found if row.in_hand}
        keys = set().union(*left.values())
        query = select(Content.storage_key)
        named = {row.storage_key for row in rows_in(session, query, Content.storage_key, keys)}
    for key in keys - named:
        runtime.handed.drop(key)
        runtime.image_store.delete(key)
    if left:
        with runtime.transaction() as session:
            cleared = update(Transfer).where(Transfer.id.in_(left))
            count_changed(session, cleared.values(in_hand=[]))
