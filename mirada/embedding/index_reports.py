"""Reports on the indexes that searches run on, as administrators read them. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mirada.db import spaces
from mirada.db.index_days import Day
from mirada.embedding.index_advice import Advice, advice_on, days_of
from mirada.embedding.live_recall import LiveRecall, live_recall
from mirada.ports import IndexStatus
from mirada.runtime import Runtime


@dataclass(frozen=True, slots=True)
class IndexReport:
    """An index of this process.

    Attributes:
        space_id, space, kind: whose vectors it holds.
        status: its size, snapshot and ways.
        behind: changes of the database that searches do not reflect yet.
        live: the recall of live searches that were repeated exactly, by form and way.
        days: the last 30 days of which something is known, the oldest first.
        advice: what to do, the most pressing first.
    """

    space_id: int
    space: str
    kind: str
    status: IndexStatus
    behind: int
    live: Sequence[LiveRecall]
    days: Sequence[Day]
    advice: Sequence[Advice]

    @property
    def recall(self) -> float | None:
        """The share of the ten nearest that live searches found, in [0, 1]; None before any was repeated."""
        queries = sum(each.whole.queries for each in self.live)
        found = sum(each.whole.queries * each.whole.share for each in self.live)
        return found / queries if queries else None


def index_reports(runtime: Runtime) -> list[IndexReport]:
    """Return a report for each space that is searched; none before an encoder was chosen.

    Raises:
        Unavailable: the database cannot be reached.
    """
    with runtime.reading() as session:
        searched = spaces.searched_spaces(session)
    return [_report(runtime, space.id, space.name, str(space.kind)) for space in searched]


def _report(runtime: Runtime, space_id: int, name: str, kind: str) -> IndexReport:
    status = runtime.index(space_id).status()
    current = runtime.vector_source(space_id).current_seq()
    with runtime.reading() as session:
        live = live_recall(session, space_id, status.measured_on)
    return IndexReport(
        space_id=space_id,
        space=name,
        kind=kind,
        status=status,
        behind=max(0, current - status.change_seq),
        live=live,
        days=days_of(runtime, space_id),
        advice=advice_on(runtime, space_id, status),
    )


def find_space(runtime: Runtime, space_id: int) -> int:
    """Return the id of a space that there is. Raises NotFound."""
    with runtime.reading() as session:
        return int(spaces.space_by_name(session, str(space_id)).id)
