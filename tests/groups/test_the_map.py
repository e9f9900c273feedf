"""The map: like beside like, the same twice, stable while the library grows, and made when it is due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec

import numpy as np
import pytest
from sqlalchemy import select, update

from mirada.adapters.projection.components import ComponentsProjection
from mirada.db.classifier_models import ClusterRun
from mirada.db.models import Image, Job, JobState, User
from mirada.groups import map_rows, map_seen, mapping
from mirada.groups.as_seen import get_cluster
from mirada.groups.map_seen import Points
from mirada.groups.runs import ClusterKind, newest_run
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.errors import NotFound
from mirada.kernel.filters import Area, ImageFilter
from mirada.kernel.projecting import (
    SIDE,
    aligned,
    apart,
    in_box,
    placed_by_neighbours,
    spread_components,
)
from mirada.pictures import image_lists
from mirada.ports import Projection
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


def new_user(site: Site) -> int:
    with site.runtime.transaction() as session:
        user = User(username="other")
        session.add(user)
        session.flush()
        return user.id


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
    version = map_seen.see_map(site.runtime, scope).version
    assert version is not None
    return map_seen.see_points(site.runtime, version, scope)


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
    assert (nobody.version, nobody.count, nobody.stale_count, nobody.groups) == (None, 0, 0, [])


def due(site: Site) -> bool | None:
    """Return whether the owner's map was made whole when the sweeper looked; None where nothing was due."""
    map_rows.queue_due_map(site.runtime)
    with site.runtime.reading() as session:
        waiting = session.execute(select(Job).where(Job.state == JobState.QUEUED)).scalars().all()
    if not waiting:
        return None
    assert run_job(site.runtime, waiting[0].id)
    return bool(run_of(site).parameters["is_whole"])


def age(site: Site, by: timedelta, *, whole_too: bool = False) -> None:
    run = run_of(site)
    assert run.finished_at is not None
    with site.runtime.transaction() as session:
        ago = int(1_000 * by.total_seconds())
        session.execute(update(Job).values(finished_at_ms=Job.finished_at_ms - ago))
        if whole_too:
            parameters = {**run.parameters, "whole_at": (run.finished_at - by).isoformat()}
            session.execute(
                update(ClusterRun).where(ClusterRun.id == run.id).values(parameters=parameters)
            )


def test_a_map_is_made_when_it_is_due_and_only_then(site: Site, library: Library) -> None:
    me = site.owner_id
    assert due(site) is True
    assert due(site) is None
    library.add(planted(1), owners=[me] * KINDS, public=False)
    assert due(site) is None, "an hour has not passed"
    age(site, timedelta(hours=2))
    assert due(site) is False
    age(site, timedelta(days=8), whole_too=True)
    assert due(site) is None, "nothing is new"
    library.add(planted(1)[:1], owners=[me], public=False)
    assert due(site) is True, "a week has passed"
    library.add(planted(4), owners=[me] * 4 * KINDS, public=False)
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
    if count:
        assert len(points(site).x) == count
    else:
        assert told(site, None) == told(site, site.owner_id) == (None, 0, 0)


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


def told(site: Site, viewer: int | None) -> tuple[object, ...]:
    """Return all that a viewer is told of the map, but for ids, which everywhere go on by all that comes."""
    scope = Scope(Audience(viewer))
    seen = map_seen.see_map(site.runtime, scope)
    if seen.version is None:
        return (None, seen.count, seen.stale_count)
    found = map_seen.see_points(site.runtime, seen.version, scope)
    columns = found.x.tobytes(), found.y.tobytes(), found.groups.tobytes()
    groups = [(one.number, one.x, one.y, one.seen.size) for one in seen.groups]
    at = {image_id: place for place, image_id in enumerate(found.image_ids.tolist())}
    shown = [[at[each.image.id] for each in one.seen.members] for one in seen.groups]
    return (seen.version, seen.method, seen.count, seen.stale_count, columns, groups, shown)


def grown(site: Site, public: int, own: int, *, has_secrets: bool) -> list[tuple[object, ...]]:
    """Return what a viewer, and somebody without a name, are told of a library after each of four runs.

    With secrets another owner has private pictures beside, and more of them before each run: copies of
    what the viewer has and will have, and enough of kinds of their own to fill the map.
    """
    site.runtime.remember("projection", ComponentsProjection())
    me, other = site.owner_id, new_user(site)
    library = Library(site.runtime.database, site.space_id, 12, [me])

    def add(vectors: Matrix, owner: int, *, is_public: bool = False) -> None:
        library.add(vectors, owners=[owner] * len(vectors), public=is_public)

    rows, later = planted(20)[np.random.default_rng(3).permutation(100)], planted(1, seed=9)
    add(rows[:public], other, is_public=True)
    add(rows[public : public + own], me)
    result = []
    for step in range(4):
        if has_secrets:
            add(np.concatenate([rows[-2:], later, -planted(12, seed=step)]), other)
        match step:
            case 2:
                add(later, me)
            case 3:
                add(planted(1, seed=8)[:2], other, is_public=True)
        make(site, is_whole=step == 0)
        result += [told(site, me), told(site, None)]
    return result


@pytest.mark.parametrize(
    ("public", "own"),
    [
        pytest.param(60, 20, id="among public ones"),
        pytest.param(20, 40, id="with a few public ones"),
        pytest.param(0, 40, id="alone"),
        pytest.param(60, 0, id="none of their own at first"),
    ],
)
def test_a_map_is_the_same_to_the_byte_whatever_others_keep_for_themselves(
    make_site: Callable[..., Site], public: int, own: int
) -> None:
    alone = grown(make_site(), public, own, has_secrets=False)
    beside = grown(make_site(), public, own, has_secrets=True)
    assert alone == beside
    mine, everybody = alone[::2], alone[1::2]
    # What is new to somebody is a new version, and what is new to others is none.
    assert mine[0] == mine[1] != mine[2] != mine[3]
    assert everybody[0] == everybody[1] == everybody[2] != everybody[3]


def test_each_has_a_map_on_postgresql_too(
    make_site: Callable[..., Site], postgresql_url: str
) -> None:
    site = make_site(database_url=postgresql_url)
    mine = grown(site, 20, 40, has_secrets=True)[::2]
    # Version, method and how many are on it; pictures of others count for nothing.
    assert [each[:3] for each in mine] == [
        (1, "components", 60),
        (1, "components", 60),
        (2, "components", 65),
        (3, "components", 67),
    ]
    age(site, timedelta(hours=2))
    assert due(site) is None, "nothing is new"


def test_others_copies_of_a_picture_are_placed_for_each_owner_alone(site: Site) -> None:
    """The same private bytes of two owners lie for each among what they see themselves."""
    site.runtime.remember("projection", ComponentsProjection())
    other = new_user(site)
    library = Library(site.runtime.database, site.space_id, 12, [site.owner_id])
    mine = library.add(planted(4), owners=[site.owner_id] * 20, public=False)
    theirs = library.add(-planted(6), owners=[other] * 30, public=False)
    library.share(mine[0], other, is_public=False)
    make(site)
    first, second = points(site), points(site, other)
    assert (len(first.x), len(second.x)) == (20, 31)
    assert len(theirs) == 30
    scope = Scope(Audience(other))
    seen = map_seen.see_map(site.runtime, scope)
    own = map_seen.see_map(site.runtime, Scope(Audience(site.owner_id)))
    for group in own.groups:
        with site.runtime.reading() as session, pytest.raises(NotFound):
            get_cluster(session, group.seen.id, scope)
    with site.runtime.reading() as session:
        sizes = [get_cluster(session, one.seen.id, scope).size for one in seen.groups]
        listed = [
            image_lists.total(
                session, replace(scope, filter=ImageFilter(group_id=one.seen.id))
            ).value
            for one in (*seen.groups, *own.groups)
        ]
        whole = ImageFilter(area=Area(0, 0, SIDE, SIDE))
        in_area = image_lists.total(session, replace(scope, filter=whole)).value
    assert sizes == [one.seen.size for one in seen.groups]
    assert listed == [*sizes, *([0] * len(own.groups))]
    assert in_area == 31


def test_private_pictures_stand_in_the_groups_of_public_ones(site: Site) -> None:
    site.runtime.remember("projection", ComponentsProjection())
    other, scope = new_user(site), Scope(Audience(site.owner_id))
    library = Library(site.runtime.database, site.space_id, 12, [site.owner_id])
    library.add(planted(16), owners=[other] * 80, public=True)
    library.add(planted(2, seed=4), owners=[site.owner_id] * 10, public=False)
    make(site)
    seen = map_seen.see_map(site.runtime, scope)
    nobody = map_seen.see_map(site.runtime, Scope(Audience(None)))
    assert {one.seen.id for one in seen.groups} == {one.seen.id for one in nobody.groups}
    assert (seen.count, nobody.count) == (90, 80)
    with site.runtime.reading() as session:
        for one in seen.groups:
            narrowed = replace(scope, filter=ImageFilter(group_id=one.seen.id))
            assert image_lists.total(session, narrowed).value == one.seen.size
            shown = get_cluster(session, one.seen.id, scope, limit=100)
            assert len(shown.members) == shown.size == one.seen.size
    # Gone with the last private picture.
    with site.runtime.transaction() as session:
        session.execute(update(Image).where(Image.owner_id == site.owner_id).values(is_public=True))
    make(site, is_whole=False)
    with site.runtime.reading() as session:
        runs = session.execute(select(ClusterRun).where(ClusterRun.finished_at.is_not(None)))
        assert [run.owner_id for run in runs.scalars()] == [None]
    assert map_seen.see_map(site.runtime, scope).count == 90


def test_damaged_and_equal_vectors_have_places_of_their_own(site: Site) -> None:
    site.runtime.remember("projection", ComponentsProjection())
    library = Library(site.runtime.database, site.space_id, 12, [site.owner_id])
    ids = library.add(np.concatenate([planted(1), np.tile(planted(1)[:1], (30, 1))]))
    library.store(ids[1], np.full(12, np.nan, np.float32))
    make(site)
    found = places(site)
    assert len(np.unique(found, axis=0)) == len(found) == 34


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
