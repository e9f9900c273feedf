"""Grouping the library: read, compute, write down page by page, and only then show."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from mirada.groups import grouping, map_rows, mapping, runs
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
    parameters = {name: value for name, value in job.arguments.items() if name != "kind"}
    _remove_old(runtime, kind, job.space_id, attempt, also_unfinished=True)
    source = runtime.vector_source(job.space_id)
    change_seq = source.current_seq()
    if kind is runs.ClusterKind.MAP:
        pages, parameters = _map(runtime, attempt, is_whole=bool(parameters.get("is_whole", True)))
    else:
        pages = _pages(runtime, attempt, kind, parameters)
    with runtime.transaction() as session:
        run_id = runs.begin(session, job.space_id, kind, parameters, change_seq)
    members, clusters = _store(runtime, attempt, run_id, pages)
    with runtime.transaction() as session:
        runs.finish(session, run_id)
        # In the same transaction: an attempt that lost its lease shows nothing.
        attempts.finish(session, job.id, attempt.token)
    logger.info("%s pictures are in %s groups of kind %s", members, clusters, kind.value)
    # What a kill leaves of this is removed by the next run.
    _remove_old(runtime, kind, job.space_id, None, also_unfinished=False)


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


def _map(
    runtime: Runtime, attempt: Attempt, *, is_whole: bool
) -> tuple[Iterator[grouping.GroupPage], dict[str, Any]]:
    """Return the pages of the next map, and what its row tells."""
    assert attempt.job.space_id is not None
    source = runtime.vector_source(attempt.job.space_id)
    tools = mapping.Tools(runtime.grouping, runtime.projection)
    with runtime.reading() as session:
        run, former = map_rows.former_map(session, attempt.job.space_id)
        is_whole = is_whole or not len(former.embedding_ids)
        parameters = map_rows.parameters_of(
            session, attempt.job.space_id, run, tools.projection.method, is_whole=is_whole
        )
    pages = mapping.map_pages(source, tools, former, attempt.report, is_whole=is_whole)
    return pages, parameters


def _store(
    runtime: Runtime, attempt: Attempt, run_id: int, pages: Iterable[grouping.GroupPage]
) -> tuple[int, int]:
    """Write the pages down in small transactions; return how many members and clusters there are."""
    cluster_ids: dict[int, int] = {}
    members = 0
    for page in pages:
        for part in page.parts(runs.STORED_ROWS):
            attempt.check_long()
            with runtime.transaction() as session:
                new = runs.store(session, run_id, part, cluster_ids)
            # After the commit: a rollback takes its clusters back with it.
            cluster_ids |= new
            members += len(part.groups)
    return members, len(cluster_ids)


def _remove_old(
    runtime: Runtime,
    kind: runs.ClusterKind,
    space_id: int,
    attempt: Attempt | None,
    *,
    also_unfinished: bool,
) -> None:
    has_more = True
    while has_more:
        if attempt is not None:
            attempt.check_long()
        with runtime.transaction() as session:
            has_more = runs.remove_old(
                session, kind, also_unfinished=also_unfinished, space_id=space_id
            )


KIND = Kind(runs.CLUSTER_LIBRARY, cluster_library, title="Group pictures that are alike")
