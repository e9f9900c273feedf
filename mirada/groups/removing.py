"""Remove runs of groups that are shown no more, some rows at a time."""

from __future__ import annotations

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from mirada.db.chunks import IN_LIST_ROWS
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember, ClusterRun
from mirada.jobs.kinds import Attempt
from mirada.runtime import Runtime

REMOVED_ROWS = 20_000
"""Members removed per transaction: about a second."""


def remove_all_old(
    runtime: Runtime,
    kind: ClusterKind,
    space_id: int,
    attempt: Attempt | None,
    *,
    also_unfinished: bool,
) -> None:
    """Do what `remove_old` does until nothing is left; raises as `Attempt.check_long` does."""
    has_more = True
    while has_more:
        if attempt is not None:
            attempt.check_long()
        with runtime.transaction() as session:
            has_more = remove_old(session, kind, also_unfinished=also_unfinished, space_id=space_id)


def remove_old(
    session: Session, kind: ClusterKind, *, also_unfinished: bool, space_id: int | None = None
) -> bool:
    """Remove some rows of runs that are shown no more; return whether there is more to remove.

    Args:
        session: a transaction of its own.
        kind: of the runs.
        also_unfinished: runs that an attempt left half done as well; only for whoever holds the
            job, since another attempt may be writing one.
        space_id: only runs of this space; None for any.
    """
    old = select(ClusterRun.id).where(ClusterRun.kind == kind)
    if space_id is not None:
        old = old.where(ClusterRun.space_id == space_id)
    newest = select(func.max(ClusterRun.id)).where(
        ClusterRun.kind == kind, ClusterRun.finished_at.is_not(None)
    )
    if space_id is not None:
        newest = newest.where(ClusterRun.space_id == space_id)
    # One of each viewer: of most kinds everybody is shown the same.
    old = old.where(ClusterRun.id.not_in(newest.group_by(ClusterRun.owner_id)))
    if not also_unfinished:
        old = old.where(ClusterRun.finished_at.is_not(None))
    return _remove_some(session, old)


def remove_some_of(session: Session, kind: ClusterKind, space_id: int) -> bool:
    """Remove some rows of a space's runs, shown or not; return whether there is more to remove."""
    of_space = ClusterRun.space_id == space_id
    return _remove_some(session, select(ClusterRun.id).where(ClusterRun.kind == kind, of_space))


def _remove_some(session: Session, old: Select[int]) -> bool:
    """Remove some rows of the first of these runs; return whether there was one."""
    run_id = session.execute(old.order_by(ClusterRun.id).limit(1)).scalar_one_or_none()
    if run_id is None:
        return False
    clusters = session.execute(
        select(Cluster.id, Cluster.size)
        .where(Cluster.run_id == run_id)
        .order_by(Cluster.id)
        .limit(IN_LIST_ROWS)
    ).all()
    if clusters and clusters[0].size > REMOVED_ROWS and _thinned_out(session, clusters[0].id):
        return True
    # A few at a time: one statement for a run of a million members would run into a time-out.
    removed, rows = [], 0
    for cluster_id, size in clusters:
        removed.append(cluster_id)
        rows += size
        if rows >= REMOVED_ROWS:
            break
    if removed:
        session.execute(delete(ClusterMember).where(ClusterMember.cluster_id.in_(removed)))
        session.execute(delete(Cluster).where(Cluster.id.in_(removed)))
    else:
        session.execute(delete(ClusterRun).where(ClusterRun.id == run_id))
    return True


def _thinned_out(session: Session, cluster_id: int) -> bool:
    """Remove the first REMOVED_ROWS members of a cluster; return False when it has no more."""
    mine = ClusterMember.cluster_id == cluster_id
    beyond = session.execute(
        select(ClusterMember.content_id)
        .where(mine)
        .order_by(ClusterMember.content_id)
        .offset(REMOVED_ROWS)
        .limit(1)
    ).scalar_one_or_none()
    if beyond is not None:
        session.execute(delete(ClusterMember).where(mine, ClusterMember.content_id < beyond))
    return beyond is not None
