"""The map in the tables: the former one, and when a new one is due."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from mirada.db import spaces
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember, ClusterRun
from mirada.db.models import Embedding, Image, Job, Space, utc_now
from mirada.groups.mapping import FormerMap
from mirada.groups.runs import CLUSTER_LIBRARY, newest_run
from mirada.jobs import ledger
from mirada.kernel.errors import Conflict
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

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
        is_whole: every place is computed; else new pictures get theirs.
        owner_id: who may see the job.
        request_id: follows the work into the worker's log.

    Raises:
        Conflict: nothing was ever embedded.
    """
    space = spaces.pinned_space(session)
    if space is None:
        raise Conflict("No picture has been embedded yet, so there is nothing to lay out.")
    return ledger.enqueue(
        session,
        CLUSTER_LIBRARY,
        space_id=space.id,
        arguments={"kind": str(ClusterKind.MAP), "is_whole": is_whole},
        owner_id=owner_id,
        request_id=request_id,
        same_work=f"{CLUSTER_LIBRARY}:{ClusterKind.MAP}",
    )


def queue_due_map(runtime: Runtime) -> None:
    """Queue a run of the map where one is due, and ring for it."""
    with runtime.transaction() as session:
        space = spaces.pinned_space(session)
        is_whole = None if space is None else _due(session, space)
        if is_whole is None:
            return
        job = request_map(session, is_whole=is_whole)
    logger.info("The map is due, %s", "as a whole" if is_whole else "for new pictures")
    runtime.doorbell.ring(job.id, job.kind)


def _due(session: Session, space: Space) -> bool | None:
    """Return whether a whole run is due, or one for new pictures (False), or none (None)."""
    uploaded = _uploaded(space.id)
    run = newest_run(session, ClusterKind.MAP, space.id)
    there = session.execute(uploaded).scalar_one()
    if run is None or run.finished_at is None:
        return True if there >= LEAST_PICTURES else None
    placed = session.execute(
        select(func.coalesce(func.sum(Cluster.size), 0)).where(Cluster.run_id == run.id)
    ).scalar_one()
    new = session.execute(uploaded.where(Image.created_at > run.created_at)).scalar_one()
    age = utc_now() - run.finished_at
    pause = max(PLACE_EVERY, 20 * (run.finished_at - run.created_at))
    if age < pause or not (new or there != placed):
        return None
    made_whole = datetime.fromisoformat(run.parameters.get("whole_at", "1970-01-01T00:00:00+00:00"))
    base = max(1, int(run.parameters.get("whole_count", placed)))
    return there > base * (1 + MOST_GROWTH) or utc_now() - made_whole > WHOLE_EVERY


def _uploaded(space_id: int) -> Select[int]:
    contents = select(Embedding.content_id).where(
        Embedding.space_id == space_id, Embedding.is_deleted.is_(False)
    )
    count = func.count(func.distinct(Image.content_id))
    return select(count).where(Image.content_id.in_(contents))


def parameters_of(
    session: Session, space_id: int, former: ClusterRun | None, method: str, *, is_whole: bool
) -> dict[str, Any]:
    """Return what a run's row tells: how it was made, and when and of how much it was made whole."""
    if not is_whole and former is not None and "whole_at" in former.parameters:
        return {**former.parameters, "is_whole": False}
    return {
        "is_whole": True,
        "method": method,
        "whole_at": utc_now().isoformat(),
        "whole_count": session.execute(_uploaded(space_id)).scalar_one(),
    }


def former_map(session: Session, space_id: int) -> tuple[ClusterRun | None, FormerMap]:
    """Return the map that is shown, and its places; without rows before the first."""
    run = newest_run(session, ClusterKind.MAP, space_id)
    query = (
        select(Embedding.id, ClusterMember.x, ClusterMember.y, ClusterMember.cluster_id)
        .join(ClusterMember, ClusterMember.content_id == Embedding.content_id)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .where(
            Embedding.space_id == space_id,
            Cluster.run_id == (0 if run is None else run.id),
            ClusterMember.x.is_not(None),
        )
        .order_by(Embedding.id)
    )
    rows = np.array([tuple(row) for row in session.execute(query)], np.int64).reshape(-1, 4)
    return run, FormerMap(rows[:, 0], rows[:, 1:3].astype(np.float32), rows[:, 3])
