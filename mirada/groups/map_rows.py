"""The map in the tables: the former one, and when a new one is due."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import false, func, select, true
from sqlalchemy.orm import Session, aliased

from mirada.db import audit, spaces
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember, ClusterRun
from mirada.db.models import Embedding, Image, Job, Space, utc_now
from mirada.db.session import now_ms
from mirada.groups.mapping import NO_MAP, FormerMap
from mirada.groups.runs import CLUSTER_LIBRARY
from mirada.jobs import ledger
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

SAME_WORK = f"{CLUSTER_LIBRARY}:{ClusterKind.MAP}"
"""The key of the job: one makes the map at a time."""
LONG_AGO = "1970-01-01T00:00:00+00:00"

LEAST_PICTURES = 2
"""One picture makes no map."""
MOST_GROWTH = 0.1
"""Past it every place is computed anew: new pictures have moved what lies around them."""
WHOLE_EVERY = timedelta(days=7)
PLACE_EVERY = timedelta(hours=1)
"""New pictures wait at most so long for a place, or twenty times as long as the last run took."""


def request_map(
    session: Session,
    *,
    is_whole: bool = True,
    owner_id: int | None = None,
    request_id: str | None = None,
) -> Job:
    """Return the queued job that makes the map, or the one that makes it already; ring after the commit.

    Args:
        session: a transaction.
        is_whole: every place is computed; else each view gets what it needs.
        owner_id: who may see the job.
        request_id: follows the work into the worker's log.

    Raises:
        Conflict: nothing was ever embedded.
    """
    space = spaces.pinned_space(session)
    if space is None:
        raise Conflict("No picture has been embedded yet, so there is nothing to lay out.")
    if is_whole:
        audit.record(session, Action.MAP_MAKE)
    return ledger.enqueue(
        session,
        CLUSTER_LIBRARY,
        space_id=space.id,
        arguments={"kind": str(ClusterKind.MAP), "is_whole": is_whole},
        owner_id=owner_id,
        request_id=request_id,
        same_work=SAME_WORK,
    )


def queue_due_map(runtime: Runtime) -> None:
    """Queue a run of the map where one is due, and ring for it."""
    with runtime.transaction() as session:
        space = spaces.pinned_space(session)
        if space is None or not _is_due(session, space):
            return
        job = request_map(session, is_whole=False)
    logger.info("The map is due")
    runtime.doorbell.ring(job.id, job.kind)


def _is_due(session: Session, space: Space) -> bool:
    """Return whether pictures wait for a place, or have gone, and the last run is long enough ago."""
    job = session.execute(select(Job).where(Job.same_work == SAME_WORK)).scalar_one_or_none()
    if job is not None and job.space_id == space.id:
        if job.finished_at_ms is None:
            return False
        took = job.finished_at_ms - (job.started_at_ms or job.finished_at_ms)
        age = session.execute(select(now_ms())).scalar_one() - job.finished_at_ms
        if age < max(1_000 * PLACE_EVERY.total_seconds(), 20 * took):
            return False
    runs = _newest_runs(session, space.id)
    there = _there(session, space.id)
    if not runs:
        return sum(count for count, _ in there.values()) >= LEAST_PICTURES
    public = there.get(None, (0, None))[0]
    placed = {run.owner_id: (run, size) for run, size in runs}
    for owner_id, (count, newest) in there.items():
        run, size = placed.pop(owner_id, (None, 0))
        is_joined = run is not None and run.base_id is None and owner_id is not None
        if run is None or size != count + (public if is_joined else 0) or newest > run.created_at:
            return True
    return any(size for _, size in placed.values())


def _there(session: Session, space_id: int) -> dict[int | None, tuple[int, datetime]]:
    """Return how many pictures have a vector, and when the newest image of them came, by the owner.

    None stands for the public ones; an owner's are those of which no image is public.
    """
    vectors = select(Embedding.content_id).where(
        Embedding.space_id == space_id, Embedding.is_deleted.is_(False)
    )
    seen = Image.content_id.in_(vectors)
    count, newest = func.count(func.distinct(Image.content_id)), func.max(Image.created_at)
    public = select(count, newest).where(seen, Image.is_public == true())
    other = aliased(Image)
    is_public = select(other.id).where(
        other.content_id == Image.content_id, other.is_public == true()
    )
    own = select(Image.owner_id, count, newest).where(
        seen, Image.is_public == false(), ~is_public.correlate(Image).exists()
    )
    found: dict[int | None, tuple[int, datetime]] = {
        owner_id: (int(number), moment)
        for owner_id, number, moment in session.execute(own.group_by(Image.owner_id))
    }
    number, moment = session.execute(public).one()
    return {**found, None: (number, moment)} if number else found


def _newest_runs(session: Session, space_id: int) -> list[tuple[ClusterRun, int]]:
    """Return the run of each viewer, and of everybody, that is shown, each with how many pictures it has."""
    newest = select(func.max(ClusterRun.id)).where(
        ClusterRun.kind == ClusterKind.MAP,
        ClusterRun.space_id == space_id,
        ClusterRun.finished_at.is_not(None),
    )
    size = select(func.coalesce(func.sum(Cluster.size), 0)).where(Cluster.run_id == ClusterRun.id)
    query = select(ClusterRun, size.correlate(ClusterRun).scalar_subquery()).where(
        ClusterRun.id.in_(newest.group_by(ClusterRun.owner_id))
    )
    return [(run, int(count)) for run, count in session.execute(query)]


@dataclass(frozen=True, slots=True)
class Former:
    """A view of the map that is shown.

    Attributes:
        run_id, base_id: its run, and the one whose places it goes on from.
        parameters: of the run.
        map: its places.
    """

    run_id: int
    base_id: int | None
    parameters: Mapping[str, Any]
    map: FormerMap

    def is_outgrown(self, count: int) -> bool:
        """Return whether every place of a view of so many pictures is computed anew."""
        made_whole = datetime.fromisoformat(self.parameters.get("whole_at", LONG_AGO))
        base = int(self.parameters.get("whole_count", 0))
        return count > base * (1 + MOST_GROWTH) or utc_now() - made_whole > WHOLE_EVERY

    def next_parameters(self, count: int, *, is_whole: bool) -> dict[str, Any]:
        """Return what the row of the next run of so many pictures tells.

        That is its version, and when and of how many it was made whole.
        """
        version = int(self.parameters.get("version", 0)) + 1
        if not is_whole:
            return {**self.parameters, "version": version, "is_whole": False}
        whole_at = utc_now().isoformat()
        return {"version": version, "is_whole": True, "whole_at": whole_at, "whole_count": count}


NO_FORMER = Former(0, None, {}, NO_MAP)
"""Before the first one."""


def former_maps(session: Session, space_id: int) -> dict[int | None, Former]:
    """Return the views that are shown, by the owner who is shown each; None for everybody's."""
    found: dict[int | None, Former] = {}
    for run, _ in _newest_runs(session, space_id):
        query = (
            select(Embedding.id, ClusterMember.x, ClusterMember.y, ClusterMember.cluster_id)
            .join(ClusterMember, ClusterMember.content_id == Embedding.content_id)
            .join(Cluster, Cluster.id == ClusterMember.cluster_id)
            .where(
                Embedding.space_id == space_id,
                Cluster.run_id == run.id,
                ClusterMember.x.is_not(None),
            )
            .order_by(Embedding.id)
        )
        rows = np.array([tuple(row) for row in session.execute(query)], np.int64).reshape(-1, 4)
        places = FormerMap(rows[:, 0], rows[:, 1:3].astype(np.float32), rows[:, 3])
        found[run.owner_id] = Former(run.id, run.base_id, run.parameters, places)
    return found
