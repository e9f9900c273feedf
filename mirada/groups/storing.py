"""Write the pages of a run down in small transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mirada.groups import runs
from mirada.groups.grouping import GroupPage
from mirada.jobs.kinds import Attempt
from mirada.runtime import Runtime


def store_pages(
    runtime: Runtime,
    attempt: Attempt,
    run_id: int,
    pages: Iterable[GroupPage],
    of_ids: Mapping[int, int] | None = None,
) -> tuple[int, dict[int, int]]:
    """Return how many members were written, and the clusters' ids by group number.

    Args:
        runtime: of the library.
        attempt: at the job; raises as `Attempt.check_long` does.
        run_id: an unfinished run.
        pages: what it is of.
        of_ids: as `runs.store` takes them.
    """
    cluster_ids: dict[int, int] = {}
    members = 0
    for page in pages:
        for part in page.parts(runs.STORED_ROWS):
            attempt.check_long()
            with runtime.transaction() as session:
                new = runs.store(session, run_id, part, cluster_ids, of_ids)
            # After the commit: a rollback takes its clusters back with it.
            cluster_ids |= new
            members += len(part.groups)
    return members, cluster_ids
