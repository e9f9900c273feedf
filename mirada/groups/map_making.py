"""Make the map: one run for everybody, and one for each owner of private pictures; all are shown together.

A view in which nothing is new keeps its run, and with it its version. So nobody is told that somebody else
has added something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from mirada.db.models import utc_now
from mirada.groups import map_rows, runs
from mirada.groups.grouping import PAGE_ROWS, GroupPage, Uploaded, everything
from mirada.groups.map_rows import NO_FORMER, Former
from mirada.groups.mapping import Among, Tools, View, laid_out, views
from mirada.groups.storing import store_pages
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt
from mirada.runtime import Runtime


@dataclass
class _Public:
    """What everybody is shown: its run and page, the groups' ids by number, and what lies among it."""

    run_id: int
    page: GroupPage
    cluster_ids: Mapping[int, int]
    among: Among


@dataclass
class _Making:
    """A map while it is made.

    Attributes:
        runtime, attempt, space_id: of the job.
        library: all pictures.
        formers: the views before, by the owner.
        is_whole: every place of every view is computed.
        change_seq, read_at: when the library was read.
        run_ids: the new runs.
        members, clusters: how many they have.
    """

    runtime: Runtime
    attempt: Attempt
    space_id: int
    library: Uploaded
    formers: Mapping[int | None, Former]
    is_whole: bool
    change_seq: int
    read_at: datetime
    run_ids: list[int] = field(default_factory=list)
    members: int = 0
    clusters: int = 0

    def is_kept(self, view: View, base_id: int | None) -> bool:
        """Return whether a view stays as it is."""
        former = self.formers.get(view.owner_id)
        return (
            not self.is_whole
            and former is not None
            and former.base_id == (base_id if view.is_among else None)
            and np.array_equal(former.map.embedding_ids, self.library.ids[view.rows])
        )

    def lay_out(
        self, view: View, check: Callable[[float], None]
    ) -> tuple[int, GroupPage, dict[int, int]]:
        """Write a view down that stands alone; return its run, its page and its clusters by number."""
        former = self.formers.get(view.owner_id, NO_FORMER)
        # Among others it had other neighbours.
        has_former = former.base_id is None and len(former.map.embedding_ids) > 0
        is_whole = self.is_whole or not has_former or former.is_outgrown(len(view.rows))
        tools = Tools(self.runtime.grouping, self.runtime.projection)
        page = laid_out(self.library, view, tools, former.map, check, is_whole=is_whole)
        parameters = former.next_parameters(len(view.rows), is_whole=is_whole)
        parameters["method"] = tools.projection.method
        run_id, cluster_ids = self.write(
            runs.Whose(view.owner_id, None, self.read_at), page, parameters
        )
        return run_id, page, cluster_ids

    def write(
        self,
        whose: runs.Whose,
        page: GroupPage,
        parameters: Mapping[str, Any],
        of_ids: Mapping[int, int] | None = None,
    ) -> tuple[int, dict[int, int]]:
        """Return the id of a new run, and its clusters by their numbers."""
        with self.runtime.transaction() as session:
            run_id = runs.begin(
                session, self.space_id, runs.ClusterKind.MAP, parameters, self.change_seq, whose
            )
        pages = page.parts(PAGE_ROWS)
        members, cluster_ids = store_pages(self.runtime, self.attempt, run_id, pages, of_ids)
        self.run_ids.append(run_id)
        self.members += members
        self.clusters += len(cluster_ids)
        return run_id, cluster_ids

    def public(self, view: View, check: Callable[[float], None]) -> _Public:
        """Return what everybody is shown: as it was, or made now."""
        former = self.formers.get(None)
        if former is not None and self.is_kept(view, None):
            ids, places, groups = former.map.embedding_ids, former.map.places, former.map.groups
            page = GroupPage(ids, groups, np.ones(len(ids)), places.astype(np.int64))
            run_id, cluster_ids = (
                former.run_id,
                {int(each): int(each) for each in np.unique(groups)},
            )
        else:
            run_id, page, cluster_ids = self.lay_out(view, check)
        assert page.places is not None
        among = Among(self.library, view, page.places, page.groups)
        return _Public(run_id, page, cluster_ids, among)

    def place(self, view: View, public: _Public) -> None:
        """Write a view down whose pictures lie among public ones."""
        former = self.formers.get(view.owner_id, NO_FORMER)
        parameters = former.next_parameters(len(view.rows), is_whole=True)
        whose = runs.Whose(view.owner_id, public.run_id, self.read_at)
        self.write(whose, public.among.placed(view), parameters, public.cluster_ids)


def make_map(
    runtime: Runtime, attempt: Attempt, space_id: int, *, is_whole: bool
) -> tuple[int, int]:
    """Make what is due of the map, show it, and end the job; return how many pictures and groups are new.

    Args:
        runtime: of the library.
        attempt: at the job; what has ended shows nothing.
        space_id: of the vectors.
        is_whole: every place of every view is computed; else what a view needs.
    """
    source = runtime.vector_source(space_id)
    change_seq, read_at = source.current_seq(), utc_now()
    with runtime.reading() as session:
        formers = map_rows.former_maps(session, space_id)
    library = everything(source, attempt.report)
    # A damaged vector would spoil every place.
    library.vectors[~np.isfinite(library.vectors.sum(axis=1))] = 0.0
    making = _Making(runtime, attempt, space_id, library, formers, is_whole, change_seq, read_at)
    _make_views(making)
    shown = {view.owner_id for view in views(library)}
    gone = [former.run_id for owner_id, former in formers.items() if owner_id not in shown]
    with runtime.transaction() as session:
        runs.finish(session, *making.run_ids, gone_ids=gone)
        # In the same transaction: an attempt that lost its lease shows nothing.
        attempts.finish(session, attempt.job.id, attempt.token)
    return making.members, making.clusters


def _make_views(making: _Making) -> None:
    """Write down each view that is due, the one for everybody first."""
    total, done = len(making.library.ids), 0
    rows = sum(len(view.rows) for view in views(making.library))
    public: _Public | None = None
    for view in views(making.library):
        begun = done

        def check(part: float, begun: int = begun, count: int = len(view.rows)) -> None:
            steps = 2 * total * (begun + part * count) / rows
            making.attempt.report(total + int(steps), 3 * total)

        if view.owner_id is None:
            public = making.public(view, check)
        elif not making.is_kept(view, None if public is None else public.run_id):
            if view.is_among:
                assert public is not None
                making.place(view, public)
            else:
                making.lay_out(view, check)
        done += len(view.rows)
        check(1.0)
    if not total:
        making.attempt.report(0, 0)
