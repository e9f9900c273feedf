"""Group the whole library: ask for it, write a run down page by page, and show it.

A run is seen by nobody before `finish`, and is removed by `mirada.groups.removing`. How groups are computed
is in `mirada.groups.grouping`, who sees which in `mirada.groups.as_seen`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, insert, select, update
from sqlalchemy.orm import Session

from mirada.db import audit, changes, spaces
from mirada.db.chunks import chunks
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember, ClusterRun
from mirada.db.models import Job, utc_now
from mirada.db.session import count_changed
from mirada.groups.grouping import GroupPage
from mirada.groups.near_duplicates import DEFAULT_THRESHOLD, LEAST_THRESHOLD
from mirada.groups.rows import contents_locked
from mirada.jobs import ledger
from mirada.kernel.audit import Action
from mirada.kernel.clustering import MAX_K
from mirada.kernel.errors import Conflict, InvalidInput, LeaseLost

__all__ = ["ClusterKind", "begin", "finish", "newest_run", "request", "store"]

CLUSTER_LIBRARY = "cluster_library_task"
STORED_ROWS = 1_000
"""Members written per transaction, so that their contents are locked for a moment only."""


@dataclass(frozen=True, slots=True)
class Whose:
    """The viewers of a run.

    Attributes:
        owner_id: a viewer; None for everybody.
        base_id: the run that it is shown with; None where it stands alone.
        read_at: when its pictures were read; None for now.
    """

    owner_id: int | None = None
    base_id: int | None = None
    read_at: datetime | None = None


EVERYBODY = Whose()


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
    audit.record(session, Action.GROUPS_MAKE, detail={"kind": str(kind)})
    return job


def begin(
    session: Session,
    space_id: int,
    kind: ClusterKind,
    parameters: Mapping[str, Any],
    change_seq: int,
    whose: Whose = EVERYBODY,
) -> int:
    """Begin a run and return its id; `remove_old` was called until nothing unfinished is left.

    Args:
        session: a transaction.
        space_id: whose vectors are grouped.
        kind: how.
        parameters: what was asked for, shown with the groups.
        change_seq: the state of the database it begins at.
        whose: who is shown it.
    """
    run = ClusterRun(
        kind=kind,
        space_id=space_id,
        parameters=dict(parameters),
        change_seq=change_seq,
        owner_id=whose.owner_id,
        base_id=whose.base_id,
    )
    if whose.read_at is not None:
        run.created_at = whose.read_at
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
    session: Session,
    run_id: int,
    page: GroupPage,
    cluster_ids: Mapping[int, int],
    of_ids: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Write some members down and return the ids of clusters that are new, by group number.

    Args:
        session: a transaction of its own; it locks the members' contents.
        run_id: an unfinished run.
        page: at most STORED_ROWS rows; those deleted since are left out.
        cluster_ids: the clusters that this run has already, by group number.
        of_ids: the clusters of another run that those stand with, by group number; None for none.

    Raises:
        LeaseLost: another attempt has removed this run.
    """
    contents = contents_locked(session, page.embedding_ids.tolist())
    _lock_unfinished(session, run_id)
    present = page.present(contents)
    if not present:
        return {}
    missing = sorted({group for _, group, _, _ in present} - cluster_ids.keys())
    made = [Cluster(run_id=run_id, size=0, of_id=(of_ids or {}).get(group)) for group in missing]
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


def _lock_unfinished(session: Session, run_id: int) -> None:
    run = session.execute(
        select(ClusterRun.id)
        .where(ClusterRun.id == run_id, ClusterRun.finished_at.is_(None))
        .with_for_update(read=True)
    ).scalar_one_or_none()
    if run is None:
        raise LeaseLost("Another attempt groups the library now; this one's result is void.")


def finish(session: Session, *run_ids: int, gone_ids: Collection[int] = ()) -> None:
    """Show runs from this transaction's commit on, together, and show others no more.

    Raises:
        LeaseLost: a run was removed.
    """
    for run_id in run_ids:
        run = update(ClusterRun).where(ClusterRun.id == run_id, ClusterRun.finished_at.is_(None))
        if not count_changed(session, run.values(finished_at=utc_now())):
            raise LeaseLost("Another attempt groups the library now; this one's result is void.")
    for chunk in chunks(sorted(gone_ids)):
        gone = update(ClusterRun).where(ClusterRun.id.in_(chunk))
        session.execute(gone.values(finished_at=None).execution_options(synchronize_session=False))
    if run_ids or gone_ids:
        changes.note(session)


def newest_run(
    session: Session, kind: ClusterKind, space_id: int | None = None
) -> ClusterRun | None:
    """Return the newest run of a kind that is finished, whoever is shown it; None where there is none.

    Args:
        session: any.
        kind: which.
        space_id: only of this space; None for any.
    """
    finished = _finished(kind)
    if space_id is not None:
        finished = finished.where(ClusterRun.space_id == space_id)
    return session.execute(finished.limit(1)).scalar_one_or_none()


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
