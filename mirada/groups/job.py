"""Grouping the library: read, compute, write down page by page, and only then show."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from mirada.groups import grouping, map_making, runs
from mirada.groups.removing import remove_all_old
from mirada.groups.storing import store_pages
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.errors import NotFound
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)


def cluster_library(runtime: Runtime, attempt: Attempt) -> None:
    """Group every picture of the job's space, and show the groups instead of the former ones."""
    job = attempt.job
    if job.space_id is None:
        raise NotFound("The job names no embedding space.")
    kind = runs.ClusterKind(job.arguments["kind"])
    remove_all_old(runtime, kind, job.space_id, attempt, also_unfinished=True)
    if kind is runs.ClusterKind.MAP:
        is_whole = bool(job.arguments.get("is_whole", True))
        members, clusters = map_making.make_map(runtime, attempt, job.space_id, is_whole=is_whole)
    else:
        members, clusters = _group(runtime, attempt, kind, job.space_id)
    logger.info("%s pictures are in %s groups of kind %s", members, clusters, kind.value)
    # What a kill leaves of this is removed by the next run.
    remove_all_old(runtime, kind, job.space_id, None, also_unfinished=False)


def _group(
    runtime: Runtime, attempt: Attempt, kind: runs.ClusterKind, space_id: int
) -> tuple[int, int]:
    """Return how many pictures are in how many groups."""
    parameters = {name: value for name, value in attempt.job.arguments.items() if name != "kind"}
    change_seq = runtime.vector_source(space_id).current_seq()
    pages = _pages(runtime, attempt, kind, parameters)
    with runtime.transaction() as session:
        run_id = runs.begin(session, space_id, kind, parameters, change_seq)
    members, cluster_ids = store_pages(runtime, attempt, run_id, pages)
    with runtime.transaction() as session:
        runs.finish(session, run_id)
        # In the same transaction: an attempt that lost its lease shows nothing.
        attempts.finish(session, attempt.job.id, attempt.token)
    return members, len(cluster_ids)


def _pages(
    runtime: Runtime, attempt: Attempt, kind: runs.ClusterKind, parameters: dict[str, Any]
) -> Iterator[grouping.GroupPage]:
    assert attempt.job.space_id is not None
    source = runtime.vector_source(attempt.job.space_id)
    if kind is runs.ClusterKind.NEAR_DUPLICATES:
        threshold = float(parameters["threshold"] or 0)
        return grouping.near_duplicate_pages(source, threshold, attempt.report)
    k = parameters["k"]
    centres = grouping.theme_centres(
        source, runtime.grouping, None if k is None else int(k), attempt.report
    )
    return grouping.theme_pages(source, centres, attempt.report)


KIND = Kind(runs.CLUSTER_LIBRARY, cluster_library, title="Group pictures that are alike")
