"""The map: like beside like, the same twice, stable while the library grows, and made when it is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec

import numpy as np
import pytest
from sqlalchemy import select, update

from benchmarks.search_source import MemorySource
from mirada.adapters.grouping.faiss_kmeans import FaissKMeans
from mirada.adapters.projection.components import ComponentsProjection
from mirada.db.classifier_models import ClusterRun
from mirada.db.models import Job, JobState
from mirada.groups import map_rows, map_seen, mapping
from mirada.groups.grouping import GroupPage
from mirada.groups.map_seen import Points
from mirada.groups.mapping import FormerMap, Tools, map_pages
from mirada.groups.runs import ClusterKind, newest_run
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.projecting import (
    SIDE,
    aligned,
    apart,
    in_box,
    placed_by_neighbours,
    spread_components,
)
from mirada.ports import Projection, VectorRows
from testing.vector_library import Library
from testing.worksite import Site
from workers.runner import run_job

NEEDS_OPENTSNE = pytest.mark.skipif(find_spec("openTSNE") is None, reason="needs openTSNE")
KINDS = 5


def planted(per_kind: int, seed: int = 0) -> Matrix:
    rng = np.random.default_rng(seed)
    centres = np.repeat(np.eye(12)[:KINDS], per_kind, axis=0)
    return l2_normalise(centres + rng.standard_normal(centres.shape) * 0.1)


@pytest.fixture
def library(site: Site) -> Library:
    """Five planted groups of 30 pictures."""
    site.runtime.remember("projection", ComponentsProjection())
    library = Library(site.runtime.database, site.space_id, 12, [site.owner_id])
    library.add(planted(30), owners=[site.owner_id] * 150, public=False)
    return library


def make(site: Site, *, is_whole: bool = True) -> None:
    with site.runtime.transaction() as session:
        job = map_rows.request_map(session, is_whole=is_whole)
    assert run_job(site.runtime, job.id)


def run_of(site: Site) -> ClusterRun:
    with site.runtime.reading() as session:
        run = newest_run(session, ClusterKind.MAP)
    assert run is not None
    return run


def points(site: Site, viewer: int | None = None) -> Points:
    scope = Scope(Audience(viewer or site.owner_id))
    return map_seen.see_points(site.runtime, run_of(site).id, scope)


def places(site: Site) -> Matrix:
    found = points(site)
    return np.stack([found.x, found.y], axis=1).astype(np.float32)


def own_kind_share(found: Matrix, per_kind: int) -> float:
    """Return how many of the nearest neighbours are of the same planted kind."""
    kinds = np.repeat(np.arange(KINDS), per_kind)
    away = ((found[:, None] - found[None]) ** 2).sum(axis=2)
    np.fill_diagonal(away, np.inf)
    return float((kinds[away.argmin(axis=1)] == kinds).mean())


@pytest.mark.usefixtures("library")
def test_the_map_has_every_picture_in_its_bounds_and_the_same_twice(site: Site) -> None:
    make(site)
    found = places(site)
    assert found.shape == (150, 2)
    assert found.min() >= 0
    assert found.max() <= SIDE
    assert np.ptp(found) > SIDE * 0.8
    # Two components do not tell five kinds apart, but chance would be a fifth.
    assert own_kind_share(found, 30) > 0.5
    make(site)
    # It is turned to where it was, which rounds once more.
    assert np.abs(places(site) - found).max() <= 2


def test_new_pictures_come_between_their_neighbours_and_nothing_else_moves(
    site: Site, library: Library
) -> None:
    make(site)
    before = places(site)
    library.add(planted(30)[:3], owners=[site.owner_id] * 3, public=False)
    seen = map_seen.see_map(site.runtime, Scope(Audience(site.owner_id)))
    assert (seen.count, seen.stale_count) == (150, 3)
    make(site, is_whole=False)
    after = places(site)
    assert np.array_equal(after[:150], before)
    # They are the same pictures as the first three.
    assert np.abs(after[150:] - before[:3]).max() < SIDE * 0.05
    seen = map_seen.see_map(site.runtime, Scope(Audience(site.owner_id)))
    assert (seen.count, seen.stale_count) == (153, 0)


@pytest.mark.usefixtures("library")
def test_groups_lie_where_their_pictures_are_and_count_what_is_seen(site: Site) -> None:
    make(site)
    found = points(site)
    seen = map_seen.see_map(site.runtime, Scope(Audience(site.owner_id)))
    nobody = map_seen.see_map(site.runtime, Scope(Audience(None)))
    assert sum(group.seen.size for group in seen.groups) == seen.count == 150
    for group in seen.groups:
        own = found.groups == group.number
        assert own.sum() == group.seen.size
        assert group.x == pytest.approx(found.x[own].mean(), abs=1)
        assert group.y == pytest.approx(found.y[own].mean(), abs=1)
    assert (nobody.count, nobody.stale_count, nobody.groups) == (0, 0, [])
    assert len(points(site, viewer=10**9).image_ids) == 0


def due(site: Site) -> bool | None:
    """Return what is queued when the sweeper looks, and do it."""
    map_rows.queue_due_map(site.runtime)
    with site.runtime.reading() as session:
        waiting = session.execute(select(Job).where(Job.state == JobState.QUEUED)).scalars().all()
    if not waiting:
        return None
    assert run_job(site.runtime, waiting[0].id)
    return bool(waiting[0].arguments["is_whole"])


def age(site: Site, by: timedelta, *, whole_too: bool = False) -> None:
    run = run_of(site)
    assert run.finished_at is not None
    values = {"created_at": run.created_at, "finished_at": run.finished_at - by}
    if whole_too:
        whole = (run.finished_at - by).isoformat()
        values["parameters"] = {**run.parameters, "whole_at": whole}
    with site.runtime.transaction() as session:
        session.execute(update(ClusterRun).where(ClusterRun.id == run.id).values(**values))


def test_a_map_is_made_when_it_is_due_and_only_then(site: Site, library: Library) -> None:
    assert due(site) is True
    assert due(site) is None
    library.add(planted(1), owners=[site.owner_id] * KINDS)
    assert due(site) is None, "an hour has not passed"
    age(site, timedelta(hours=2))
    assert due(site) is False
    age(site, timedelta(days=8), whole_too=True)
    assert due(site) is None, "nothing is new"
    library.add(planted(1)[:1], owners=[site.owner_id])
    assert due(site) is True, "a week has passed"
    library.add(planted(4), owners=[site.owner_id] * 4 * KINDS)
    age(site, timedelta(hours=2))
    assert due(site) is True, "it has grown by more than a tenth"


def test_a_large_library_is_laid_out_by_a_sample_and_the_rest_between(
    site: Site, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "FITTED_ROWS", 60)
    seen: list[int] = []

    class Counting(ComponentsProjection):
        def project(self, rows: Matrix, *rest: object) -> Matrix:
            seen.append(len(rows))
            return super().project(rows, *rest)  # type: ignore[arg-type]

    site.runtime.remember("projection", Counting())
    make(site)
    assert seen == [60]
    assert len(points(site).x) == 150
    assert own_kind_share(places(site), 30) > 0.5


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
def test_a_few_pictures_or_none_make_a_map_too(site: Site, count: int) -> None:
    library = Library(site.runtime.database, site.space_id, 12, [site.owner_id])
    library.add(planted(2)[:count], owners=[site.owner_id] * count)
    make(site)
    assert len(points(site).x) == count


def test_a_map_is_turned_back_to_where_it_was() -> None:
    before = np.random.default_rng(0).random((40, 2)).astype(np.float32)
    turned = before @ np.array([[0, -1], [-1, 0]], np.float32)
    back = aligned(turned, before, np.ones(40, np.bool_))
    assert np.allclose(back, before - before.mean(axis=0), atol=1e-5)


def test_equal_pictures_have_places_beside_one_another() -> None:
    rows = np.zeros((3, 4), np.float32)
    assert np.array_equal(in_box(spread_components(rows)), in_box(spread_components(rows)))
    found = placed_by_neighbours(rows, rows[:1], np.full((1, 2), 500, np.float32))
    assert len(np.unique(found, axis=0)) == 1
    shown = apart(found).round()
    assert len(np.unique(shown, axis=0)) == 3
    assert np.array_equal(shown[0], found[0].round())


def shown_of(pages: list[GroupPage], ids: set[int]) -> list[tuple[object, ...]]:
    """Return what a viewer of these pictures could learn of a map: which lie together, and where."""
    rows = [
        (int(id_), int(group), *place)
        for page in pages
        if page.places is not None
        for id_, group, place in zip(
            page.embedding_ids, page.groups, page.places.tolist(), strict=True
        )
        if int(id_) in ids
    ]
    together = {group: number for number, group in enumerate(dict.fromkeys(row[1] for row in rows))}
    return [(id_, together[group], x, y) for id_, group, x, y in rows]


class Shown(MemorySource):
    """Rows of which the last ones are private."""

    def __init__(self, vectors: Matrix, public: int) -> None:
        super().__init__(vectors, {})
        self.public = public

    def _page(self, start: int, end: int) -> VectorRows:
        page = super()._page(start, end)
        return replace(page, access_public=page.ids[page.access_rows] <= self.public)


def drawn(
    source: MemorySource, former: FormerMap = mapping.NO_MAP, *, is_whole: bool = True
) -> list[GroupPage]:
    tools = Tools(FaissKMeans(), ComponentsProjection())
    return list(map_pages(source, tools, former, lambda done, total: None, is_whole=is_whole))


def as_former(pages: list[GroupPage]) -> FormerMap:
    places = [page.places for page in pages if page.places is not None]
    return FormerMap(
        np.concatenate([page.embedding_ids for page in pages]),
        np.concatenate(places).astype(np.float32),
        np.concatenate([page.groups for page in pages]),
    )


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_others_keep_for_themselves_leaves_no_trace_on_the_map(is_whole: bool) -> None:
    """Places, extent and groups of public pictures are those of a library without the private ones."""
    public, secret = planted(16), planted(20, seed=1) * np.float32(-1)
    ids = set(range(1, 81))
    alone = drawn(Shown(public, 80))
    beside = drawn(Shown(np.concatenate([public, secret]), 80))
    assert shown_of(alone, ids) == shown_of(beside, ids)
    more = np.concatenate([public, planted(2, seed=2)])
    alone = drawn(Shown(more, 90), as_former(alone), is_whole=is_whole)
    # Of ids that follow: the private ones come last, as each id is a row's place.
    beside = drawn(Shown(np.concatenate([more, secret]), 90), as_former(alone), is_whole=is_whole)
    again = drawn(Shown(more, 90), as_former(alone), is_whole=is_whole)
    assert shown_of(again, ids | set(range(81, 91))) == shown_of(beside, ids | set(range(81, 91)))


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_place_of_one_s_own_picture_tells_of_no_copy_that_others_keep(is_whole: bool) -> None:
    """Whoever adds a picture to see whether it lands on somebody's private one learns nothing."""
    public, probe = planted(16), planted(1, seed=5)[:1]
    secret = np.concatenate([probe, planted(4, seed=7)])
    former = as_former(drawn(Shown(np.concatenate([public, secret]), 80)))
    # The probe's id is 102 with others' private pictures, among them a copy of it, and 81 without.
    beside = drawn(Shown(np.concatenate([public, secret, probe]), 80), former, is_whole=is_whole)
    of_public = FormerMap(former.embedding_ids[:80], former.places[:80], former.groups[:80])
    alone = drawn(Shown(np.concatenate([public, probe]), 80), of_public, is_whole=is_whole)
    (found,), (expected,) = shown_of(beside, {102}), shown_of(alone, {81})
    # Sums of floats in blocks of other sizes.
    assert np.abs(np.subtract(found[2:], expected[2:])).max() <= 2


def test_damaged_and_equal_vectors_have_places_of_their_own() -> None:
    damaged = planted(4)
    damaged[3] = np.nan
    for rows in (damaged, np.tile(planted(1)[:1], (2, 1)), np.tile(planted(1)[:1], (30, 1))):
        places = apart(as_former(drawn(MemorySource(rows.copy(), {}))).places)
        assert np.isfinite(places).all()
        assert len(np.unique(places, axis=0)) == len(rows)


@NEEDS_OPENTSNE
@pytest.mark.filterwarnings("default")
def test_with_opentsne_like_lies_beside_like_and_stays_there() -> None:
    from mirada.adapters.projection.opentsne import OpenTsneProjection

    projection: Projection = OpenTsneProjection()
    parts: list[float] = []
    rows = planted(30)
    first = projection.project(rows, None, 0, parts.append)
    assert own_kind_share(first, 30) > 0.98
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    assert np.array_equal(projection.project(rows, None, 0, parts.append), first)
    known = np.ones(150, np.bool_)
    start = in_box(first)
    again = in_box(aligned(projection.project(rows, start, 1, parts.append), start, known))
    # A map from another seed would put a picture anywhere: half the side away.
    assert np.median(np.linalg.norm(again - start, axis=1)) < SIDE * 0.1
