"""Runs of imports and exports as people see them: how far each is, how it ended, and what to do now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from sqlalchemy import ColumnElement, Select, func, select, true
from sqlalchemy.orm import Session

from mirada.db.models import Role
from mirada.db.pages import newest_first
from mirada.db.session import now_ms
from mirada.db.transfer_models import Transfer
from mirada.jobs.summary import DAY_MS
from mirada.kernel.errors import NotFound
from mirada.people.identity import Person
from mirada.transfer.claims import LEASE_S, is_dead
from mirada.transfer.runs import RunKind, RunState

MOST_RECENT = 20
"""Runs of a day that a page shows."""
RUN_AGAIN = "Run the same command again: it goes on where it was."
MEND_IT = "See to what the error says, then run the same command again: it goes on where it was."
_CREDENTIALS = re.compile(r"(?<=://)[^\s/@]+@")
_PATH = re.compile(r"(?<![\w.:/~])~?/(?:[^\s/'\"]+/)+(?=[^\s/'\"])")


class SeenState(StrEnum):
    """How a run stands, for whoever looks at it."""

    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was not taken.

    Attributes:
        row: its number in the source, from 1.
        external_id: what the source calls it; None where that could not be read.
        reason: a sentence.
    """

    row: int
    external_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """What is told of one run. Times are Unix milliseconds of the database's clock.

    Attributes:
        source: the name of what an import reads; of an export the name of its folder, without the way to it.
        done, total: rows of an import, or images of an export; total is None where nobody can say.
        refusals: the first of the refused rows.
        resumed: how many runs before it came to no end.
        error: why it failed, without addresses' passwords and without the ways to files.
        hint: what to do now; None where there is nothing to do, or a later run has done it.
        seen_at_ms: when it last wrote how far it is.
    """

    id: int
    kind: RunKind
    source: str
    state: SeenState
    done: int
    total: int | None
    taken: int
    already_there: int
    refused: int
    refusals: Sequence[RefusedRow]
    resumed: int
    error: str | None
    hint: str | None
    started_at_ms: int
    seen_at_ms: int
    ended_at_ms: int | None


def may_see_run(viewer: Person) -> ColumnElement[bool]:
    """Return the condition on runs for whom the viewer sees: their own; an administrator sees all."""
    if viewer.role == Role.ADMINISTRATOR:
        return true()
    return Transfer.owner_id == viewer.id


def list_runs(
    session: Session, viewer: Person, *, cursor: int | None = None, limit: int = 20
) -> list[RunReport]:
    """Return the runs that the viewer may see, newest first.

    Args:
        session: reads only.
        viewer: who asks.
        cursor: ids below this one, for the next page.
        limit: at most so many.
    """
    query = select(Transfer).where(may_see_run(viewer))
    return _reports(session, viewer, newest_first(query, Transfer.id, cursor, limit))


def recent_runs(session: Session, viewer: Person) -> list[RunReport]:
    """Return those that were heard of within 24 hours: what runs first, then the newest.

    Args:
        session: reads only.
        viewer: who asks.
    """
    query = select(Transfer).where(may_see_run(viewer), Transfer.seen_at_ms > now_ms() - DAY_MS)
    found = _reports(session, viewer, newest_first(query, Transfer.id, None, MOST_RECENT))
    return sorted(found, key=lambda run: run.state is not SeenState.RUNNING)


def get_run(session: Session, run_id: int, viewer: Person) -> RunReport:
    """Return a run. Raises NotFound: there is none, or it is not the viewer's to see."""
    query = select(Transfer).where(Transfer.id == run_id, may_see_run(viewer))
    found = _reports(session, viewer, query)
    if not found:
        raise NotFound(f"There is no import or export {run_id}.")
    return found[0]


def told_of(text: str) -> str:
    """Return a text without what an address was opened with, and files without the way to them.

    >>> told_of("postgresql://ana:secret@db/shop: no table. /srv/old/pictures/a.png is damaged.")
    'postgresql://db/shop: no table. a.png is damaged.'
    """
    return _PATH.sub("", _CREDENTIALS.sub("", text))


def _reports(session: Session, viewer: Person, query: Select[Transfer]) -> list[RunReport]:
    rows = list(session.execute(query).scalars())
    if not rows:
        return []
    at_ms = session.execute(select(now_ms())).scalar_one()
    latest = (
        select(Transfer.kind, Transfer.subject, func.max(Transfer.id).label("id"))
        .where(may_see_run(viewer), Transfer.subject.in_({row.subject for row in rows}))
        .group_by(Transfer.kind, Transfer.subject)
    )
    last = {row.id for row in session.execute(latest)}
    return [_report(row, at_ms, is_last=row.id in last) for row in rows]


def _report(row: Transfer, at_ms: int, *, is_last: bool) -> RunReport:
    kind, state = RunKind(row.kind), _state(row, at_ms)
    hints = {SeenState.STOPPED: RUN_AGAIN, SeenState.FAILED: MEND_IT}
    return RunReport(
        id=row.id,
        kind=kind,
        source=row.subject if kind is RunKind.IMPORT else PurePath(row.subject).name,
        state=state,
        done=row.done,
        total=row.total,
        taken=row.taken,
        already_there=row.already_there,
        refused=row.refused,
        refusals=[
            RefusedRow(each["row"], each["external_id"], told_of(each["reason"]))
            for each in row.refusals
        ],
        resumed=row.resumed,
        error=None if row.error is None else told_of(row.error),
        hint=hints.get(state) if is_last else None,
        started_at_ms=row.started_at_ms,
        seen_at_ms=row.seen_at_ms,
        ended_at_ms=row.ended_at_ms,
    )


def _state(row: Transfer, at_ms: int) -> SeenState:
    """A killed run says "running" for ever: its silence tells, or that its process is gone."""
    match RunState(row.state):
        case RunState.DONE:
            return SeenState.ENDED
        case RunState.FAILED:
            return SeenState.FAILED
        case RunState.INTERRUPTED:
            return SeenState.STOPPED
        case RunState.RUNNING:
            # Whoever is silent for so long has lost the right to its source.
            is_silent = at_ms - row.seen_at_ms > LEASE_S * 1000
            return SeenState.STOPPED if is_silent or is_dead(row.place) else SeenState.RUNNING
