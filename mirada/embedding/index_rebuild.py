"""The rule for when an index needs a new snapshot, and the job that builds and publishes one."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from mirada.background import giving_way
from mirada.config import VectorBackend
from mirada.db import audit, spaces
from mirada.db.models import Job
from mirada.db.vector_rows import lease_name
from mirada.jobs import attempts, leases, ledger
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.audit import Action
from mirada.ports import IndexStatus, RebuildProgress, SnapshotRecord, VectorIndex, VectorSource
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

REBUILD_INDEX = "rebuild_index"
REBUILD_LEASE_S = 600
"""How long publishing rights look taken to people; what counts is the fencing token."""
FIRST_SNAPSHOT_ROWS = 5_000
"""Fewer rows are read from the database in well under a second: no file is worth it."""
FIRST_GRAPH_ROWS = 20_000
"""Fewer vectors are compared, all of them: PostgreSQL takes 10 to 40 ms for that."""
MAX_DELTA_ROWS = 20_000
"""SEARCH, snapshot + delta: scanning a delta of this size takes 3 to 4 ms."""
MAX_DEAD_SHARE = 0.1
"""SEARCH, snapshot + delta."""
WITH_GRAPH = "hnsw"
"""The kind of a snapshot that is complete where a graph is wanted."""
LEAST_DEAD_ROWS = 500
"""In a small snapshot a tenth is a handful, and a rebuild after every few deletions a nuisance."""


def rebuild_is_due(source: VectorSource) -> str | None:
    """Return why a snapshot should be built now, None when it should not.

    Answered by the database's index on change numbers alone, cheaply enough to ask every minute.
    """
    newest = next(iter(source.snapshots()), None)
    if newest is None:
        count = source.count_changed_since(0)
        if count >= FIRST_SNAPSHOT_ROWS:
            # Those were the dead as well, which the database counts more cheaply.
            count = source.count_live()
        return f"{count} rows and no snapshot" if count >= FIRST_SNAPSHOT_ROWS else None
    delta = source.count_changed_since(newest.change_seq)
    if delta > MAX_DELTA_ROWS:
        return f"{delta} rows changed since the snapshot"
    # A changed row that is no newer than the snapshot's newest one replaces or removes one of it.
    dead = source.count_changed_since(newest.change_seq, through_id=newest.manifest["last_id"])
    if dead >= max(LEAST_DEAD_ROWS, MAX_DEAD_SHARE * newest.row_count):
        return f"{dead} of the snapshot's {newest.row_count} rows are dead"
    if newest.manifest.get("graph_wanted") and newest.manifest.get("kind") != WITH_GRAPH:
        return f"the graph of its {newest.row_count} rows is missing"
    return None


def graph_is_due(status: IndexStatus) -> str | None:
    """Return why pgvector's graph should be made or measured now, None when it should not."""
    if status.kind == "none":
        enough = status.live_count >= FIRST_GRAPH_ROWS
        return f"{status.live_count} vectors and no graph" if enough else None
    if status.delta_count > MAX_DELTA_ROWS:
        return f"{status.delta_count} vectors changed since the graph was measured"
    return None


def why_due(runtime: Runtime, space_id: int) -> str | None:
    """Return why a space's index should be built anew now, None when it should not."""
    match runtime.backend(space_id):
        case VectorBackend.PGVECTOR:
            return graph_is_due(runtime.index(space_id).status())
        case VectorBackend.EXACT:
            return None
        case _:
            return rebuild_is_due(runtime.vector_source(space_id))


def build_snapshot(
    index: VectorIndex, fencing_token: int, progress: RebuildProgress
) -> SnapshotRecord | None:
    """Build and publish a snapshot, and let this process serve from it.

    Args:
        index: of the space whose lease (`lease_name`) the caller holds.
        fencing_token: of that lease; a newer holder's token makes publishing fail.
        progress: called about once a second with rows done and rows in all; it renews the lease
            and raises LeaseLost when that fails.

    Returns:
        The snapshot, None when there was nothing to build.

    Raises:
        LeaseLost: another builder took over; nothing was published.
        StorageFull: no room; nothing was published.
    """
    # People search meanwhile, and a build takes a core for minutes.
    record = giving_way(lambda: index.rebuild(fencing_token, progress))
    index.refresh()
    return record


def request_rebuild(
    session: Session, space_id: int, *, owner_id: int | None = None, request_id: str | None = None
) -> Job:
    """Return the queued job that builds an index anew, for somebody; ring after the commit.

    Args:
        session: a transaction.
        space_id: whose index.
        owner_id: who may see the job; None for the command line.
        request_id: follows the work into the worker's log.
    """
    audit.record(session, Action.INDEX_REBUILD, space_id)
    return ledger.enqueue(
        session, REBUILD_INDEX, space_id=space_id, owner_id=owner_id, request_id=request_id
    )


def queue_due_rebuilds(runtime: Runtime) -> None:
    """Queue a rebuild of every searched index that wants a new snapshot, and ring for it."""
    with runtime.reading() as session:
        in_use = spaces.searched_spaces(session)
    for space in in_use:
        reason = why_due(runtime, space.id)
        if reason is None:
            continue
        logger.info("A snapshot of the %s index is due: %s", space.kind, reason)
        with runtime.transaction() as session:
            job = ledger.enqueue(session, REBUILD_INDEX, space_id=space.id)
        runtime.doorbell.ring(job.id, job.kind)


def rebuild_index(runtime: Runtime, attempt: Attempt) -> None:
    """Build and publish a snapshot of the space's index."""
    space_id = attempt.job.space_id
    if space_id is None:
        space_id, _ = runtime.space()
    rebuild_space(runtime, attempt, space_id)
    attempts.finish_alone(runtime, attempt)


def rebuild_space(runtime: Runtime, attempt: Attempt, space_id: int) -> None:
    """Build and publish a snapshot of a space's index in an attempt of any job."""
    name = lease_name(space_id)
    with runtime.transaction() as session:
        # The ledger lets one attempt of a space's rebuild run. Whoever held this right before has
        # lost theirs, and the higher token keeps them from publishing.
        fencing_token = leases.acquire(
            session, name, attempt.token, REBUILD_LEASE_S, take_over=True
        )
    assert fencing_token is not None
    try:
        record = build_snapshot(runtime.index(space_id), fencing_token, attempt.report)
    finally:
        with runtime.transaction() as session:
            leases.release(session, name, fencing_token)
    if record is not None:
        logger.info("Published %s with %s vectors", record.name, record.row_count)


KIND = Kind(REBUILD_INDEX, rebuild_index, title="Build the index anew")
