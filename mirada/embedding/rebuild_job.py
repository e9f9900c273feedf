"""The job that builds and publishes a snapshot of one space's index."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mirada.db import spaces
from mirada.embedding import index_rebuild
from mirada.jobs import attempts, leases, ledger
from mirada.jobs.kinds import Kind

if TYPE_CHECKING:
    from mirada.jobs.attempt import Attempt
    from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

REBUILD_INDEX = "rebuild_index"
REBUILD_LEASE_S = 600
"""How long publishing rights look taken to people; what counts is the fencing token."""


def queue_due_rebuilds(runtime: Runtime) -> None:
    """Queue a rebuild of every searched index that wants a new snapshot, and ring for it."""
    with runtime.reading() as session:
        in_use = spaces.searched_spaces(session)
    for space in in_use:
        reason = index_rebuild.rebuild_is_due(runtime.vector_source(space.id))
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
    name = leases.rebuild_lease(space_id)
    with runtime.transaction() as session:
        # The ledger lets one attempt of a space's rebuild run. Whoever held this right before has
        # lost theirs, and the higher token keeps them from publishing.
        fencing_token = leases.acquire(
            session, name, attempt.token, REBUILD_LEASE_S, take_over=True
        )
    assert fencing_token is not None
    try:
        record = index_rebuild.rebuild_index(runtime.index(space_id), fencing_token, attempt.report)
    finally:
        with runtime.transaction() as session:
            leases.release(session, name, fencing_token)
    if record is not None:
        logger.info("Published %s with %s vectors", record.name, record.row_count)
    attempts.finish_alone(runtime, attempt)


KIND = Kind(REBUILD_INDEX, rebuild_index)
