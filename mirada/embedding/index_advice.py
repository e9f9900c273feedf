"""Advice on an index: what is wrong with it and what to do, in a sentence each; and its size by the day."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import index_days, spaces
from mirada.db.index_days import Day
from mirada.db.models import Job
from mirada.embedding.index_rebuild import REBUILD_INDEX, why_due
from mirada.embedding.live_recall import LEAST_QUERIES, LiveRecall, live_recall
from mirada.jobs.ledger import GIVEN_UP
from mirada.kernel.errors import Unavailable
from mirada.ports import IndexStatus
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice; `code` is for machines."""

    code: str
    text: str


def advice_on(runtime: Runtime, space_id: int, status: IndexStatus) -> list[Advice]:
    """Return what to do about an index, the most pressing first; [] when nothing is.

    Args:
        runtime: reads only.
        space_id: of the index.
        status: of this process's index.
    """
    target = runtime.settings.index_recall_target
    with runtime.reading() as session:
        failed = _failed_rebuild(session, space_id)
        measured = live_recall(session, space_id, status.measured_on)
    reason = why_due(runtime, space_id)
    found = []
    if failed is not None:
        text = (
            f"The last rebuild failed: {failed.last_error} Retry it: "
            f"POST /api/v1/jobs/{failed.id}/retry."
        )
        found.append(Advice("rebuild_failed", text))
    if reason is not None:
        text = (
            f"A rebuild is due: {reason}. A worker begins by itself within a minute or two; searches "
            "are right meanwhile."
        )
        found.append(Advice("rebuild_due", text))
    found += _on_ways(status, measured, target)
    if status.ways and not runtime.settings.recall_sample:
        text = "Nobody measures how much searches find: RECALL_SAMPLE is 0. Set it to 0.01."
        found.append(Advice("recall_not_measured", text))
    return found


def _failed_rebuild(session: Session, space_id: int) -> Job | None:
    query = select(Job).where(
        Job.kind == REBUILD_INDEX, Job.space_id == space_id, Job.state.in_(GIVEN_UP)
    )
    return session.execute(query.order_by(Job.id.desc()).limit(1)).scalar_one_or_none()


def _on_ways(
    status: IndexStatus, measured: Iterable[LiveRecall], target: float
) -> Iterator[Advice]:
    live = {(each.form, each.way): each.whole for each in measured}
    for way in status.ways:
        name = f"{way.way.value} for queries of the form {way.form.value}"
        recall = live.get((way.form, way.way))
        if not way.is_in_use:
            text = (
                f"The way {name} is left out, so searches are slower: {way.reason or 'unknown'}. "
                "A rebuild measures it anew."
            )
            yield Advice("way_left_out", text)
        elif recall and recall.queries >= LEAST_QUERIES and recall.at_most < target:
            text = (
                f"The way {name} found {recall.share:.3f} of the ten nearest, less than "
                f"INDEX_RECALL_TARGET={target:g}: rebuild the index."
            )
            yield Advice("recall_low", text)


def days_of(runtime: Runtime, space_id: int) -> list[Day]:
    """Return the last 30 days of an index of which something is known, the oldest first."""
    with runtime.reading() as session:
        return index_days.days(session, space_id)


def keep_sizes(runtime: Runtime) -> None:
    """Write today's size of every searched index; for the sweeper, now and then."""
    with runtime.reading() as session:
        in_use = spaces.searched_spaces(session)
    for space in in_use:
        try:
            size = runtime.vector_source(space.id).count_live()
            with runtime.transaction() as session:
                index_days.keep_size(session, space.id, size)
        except Unavailable as error:
            logger.info("The size of the %s index was not written: %s", space.kind, error)
