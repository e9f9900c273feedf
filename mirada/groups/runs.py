"""Group the whole library: ask for it, write a run down page by page, show it, remove what is old.

A run is seen by nobody before `finish`. How groups are computed is in `mirada.groups.grouping`,
who sees which in `mirada.groups.as_seen`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from mirada.db import changes, spaces
from mirada.db.chunks import IN_LIST_ROWS
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember, ClusterRun
from mirada.db.models import Job, utc_now
from mirada.db.session import count_changed
from mirada.groups.grouping import GroupPage
from mirada.groups.near_duplicates import DEFAULT_THRESHOLD, LEAST_THRESHOLD
from mirada.groups.rows import contents_locked
from mirada.jobs import ledger
from mirada.kernel.clustering import MAX_K
from mirada.kernel.errors import Conflict, InvalidInput, LeaseLost

__all__ = ["ClusterKind", "begin", "finish", "newest_run", "remove_old", "request", "store"]

CLUSTER_LIBRARY = "cluster_library_task"
STORED_ROWS = 1_000
"""Members written per transaction, so that their contents are locked for a moment only."""
REMOVED_ROWS = 20_000
"""Members removed per transaction: about a second."""


def request(
    session: Session,
    kind: ClusterKind,
    *,
    k: int | None = None,
    threshold: float | None = None,
    owner_id: int | None = None,
    request_id: str | None = None,
) -> Job:
    """Return the queued job that groups the library; ring after the commit.

    Args:
        session: a transaction.
        kind: themes or near-duplicates.
        k: how many themes, 2 to MAX_K; None lets the pictures decide.
        threshold: least cosine of near-duplicates; None means that of the space, or DEFAULT_THRESHOLD.
        owner_id: who may see the job.
        request_id: follows the work into the worker's log.

    Raises:
        InvalidInput: a parameter is out of range, or belongs to the other kind.
        Conflict: nothing was ever embedded, or the same kind is being made in another way.
    """
    space = spaces.pinned_space(session)
    if threshold is None and kind is ClusterKind.NEAR_DUPLICATES and space is not None:
        threshold = space.near_duplicate_cosine
    arguments = {"kind": str(kind), **_parameters(kind, k, threshold)}
    if space is None:
        raise Conflict("No picture has been embedded yet, so there is nothing to group.")
    job = ledger.enqueue(
        session,
        CLUSTER_LIBRARY,
        space_id=space.id,
        arguments=arguments,
        owner_id=owner_id,
        request_id=request_id,
        # One at a time of a kind: a run removes what an earlier one left half done.
        same_work=f"{CLUSTER_LIBRARY}:{kind}",
    )
    if job.arguments != arguments or job.space_id != space.id:
        raise Conflict(
            f"Groups of this kind are being made with other parameters by job {job.id}; "
            "wait until it is done."
        )
    return job


def begin(
    session: Session,
    space_id: int,
    kind: ClusterKind,
    parameters: Mapping[str, Any],
    change_seq: int,
) -> int:
    """Begin a run and return its id; `remove_old` was called until nothing unfinished is left.

    Args:
        session: a transaction.
        space_id: whose vectors are grouped.
        kind: how.
        parameters: what was asked for, shown with the groups.
        change_seq: the state of the database it begins at.
    """
    run = ClusterRun(
        kind=kind, space_id=space_id, parameters=dict(parameters), change_seq=change_seq
    )
    session.add(run)
    session.flush()
    return run.id


_CLUSTERS = Cluster.__table__
_GROW = (
    update(_CLUSTERS)  # type: ignore[arg-type]
    .where(_CLUSTERS.c.id == bindparam("cluster"))
    .values(size=_CLUSTERS.c.size + bindparam("more"))
)


def store(
    session: Session, run_id: int, page: GroupPage, cluster_ids: Mapping[int, int]
) -> dict[int, int]:
    """Write some members down and return the ids of clusters that are new, by group number.

    Args:
        session: a transaction of its own; it locks the members' contents.
        run_id: an unfinished run.
        page: at most STORED_ROWS rows; those deleted since are left out.
        cluster_ids: the clusters that this run has already, by group number.

    Raises:
        LeaseLost: another attempt has removed this run.
    """
    contents = contents_locked(session, page.embedding_ids.tolist())
    run = session.execute(
        select(ClusterRun.id)
        .where(ClusterRun.id == run_id, ClusterRun.finished_at.is_(None))
        .with_for_update(read=True)
    ).scalar_one_or_none()
    if run is None:
        raise LeaseLost("Another attempt groups the library now; this one's result is void.")
    present = page.present(contents)
    if not present:
        return {}
    missing = sorted({group for _, group, _, _ in present} - cluster_ids.keys())
    made = [Cluster(run_id=run_id, size=0) for _ in missing]
    session.add_all(made)
    session.flush()
    new = {group: cluster.id for group, cluster in zip(missing, made, strict=True)}
    known = {group: new.get(group) or cluster_ids[group] for _, group, _, _ in present}
    session.execute(
        insert(ClusterMember),
        [
            {
                "cluster_id": known[group],
                "content_id": content_id,
                "similarity": similarity,
                "x": x,
                "y": y,
            }
            for content_id, group, similarity, (x, y) in present
        ],
    )
    more = Counter(known[group] for _, group, _, _ in present)
    session.connection().execute(
        _GROW, [{"cluster": cluster_id, "more": more[cluster_id]} for cluster_id in sorted(more)]
    )
    return new


def finish(session: Session, run_id: int) -> None:
    """Show the run from this transaction's commit on. Raises LeaseLost when it was removed."""
    unfinished = update(ClusterRun).where(ClusterRun.id == run_id, ClusterRun.finished_at.is_(None))
    if not count_changed(session, unfinished.values(finished_at=utc_now())):
        raise LeaseLost("Another attempt groups the library now; this one's result is void.")
    changes.note(session)


def newest_run(
    session: Session, kind: ClusterKind, space_id: int | None = None
) -> ClusterRun | None:
    """Return the run of a kind that is shown, None before the first has finished.

    Args:
        session: any.
        kind: which.
        space_id: only of this space; None for any.
    """
    finished = _finished(kind)
    if space_id is not None:
        finished = finished.where(ClusterRun.space_id == space_id)
    return session.execute(finished.limit(1)).scalar_one_or_none()


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
    newest = newest_run(session, kind, space_id)
    if newest is not None:
        old = old.where(ClusterRun.id != newest.id)
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


def _parameters(
    kind: ClusterKind, k: int | None, threshold: float | None
) -> dict[str, int | float | None]:
    if kind is ClusterKind.THEMES:
        if threshold is not None:
            raise _wrong("threshold", "Belongs to near_duplicates; themes have `k`.")
        if k is not None and not 2 <= k <= MAX_K:
            raise _wrong("k", f"Must be between 2 and {MAX_K}.")
        return {"k": k}
    if kind is ClusterKind.MAP:
        return {}
    if k is not None:
        raise _wrong("k", "Belongs to themes; near-duplicates have `threshold`.")
    threshold = DEFAULT_THRESHOLD if threshold is None else threshold
    if not LEAST_THRESHOLD <= threshold <= 1.0:
        raise _wrong("threshold", f"Must be between {LEAST_THRESHOLD:g} and 1.")
    return {"threshold": threshold}


def _wrong(field: str, message: str) -> InvalidInput:
    return InvalidInput("The library cannot be grouped like that.", fields={field: [message]})


def _finished(kind: ClusterKind) -> Select[ClusterRun]:
    # By id: one run of a kind is made at a time, and machines' clocks differ.
    return (
        select(ClusterRun)
        .where(ClusterRun.kind == kind, ClusterRun.finished_at.is_not(None))
        .order_by(ClusterRun.id.desc())
    )
