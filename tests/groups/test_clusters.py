"""Groups of a whole library on real databases: what is planted is found, and seen by whom it may be."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import func, select, update

from mirada.adapters.grouping.faiss_kmeans import FaissKMeans
from mirada.db.classifier_models import ClassifiedPicture, Cluster, ClusterMember, ClusterRun
from mirada.db.models import Content, Embedding, Image, Installation, Job, JobState
from mirada.db.session import Database
from mirada.groups import grouping, removing
from mirada.groups import runs as cluster
from mirada.groups.as_seen import EXAMPLES, SeenCluster, get_cluster, list_clusters, nearest_names
from mirada.groups.grouping import GroupPage
from mirada.groups.runs import ClusterKind
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.errors import Conflict, InvalidInput, LeaseLost, NotFound
from mirada.kernel.filters import ImageFilter
from mirada.pictures.images import delete_image
from testing.vector_library import Library, no_progress, random_vectors

THEMES, NEAR = ClusterKind.THEMES, ClusterKind.NEAR_DUPLICATES
DIMENSION = 64


def around(centre: np.ndarray, count: int, spread: float = 0.3, seed: int = 0) -> Matrix:
    """Return (count, d) unit rows at random distances around a direction."""
    noise = np.random.default_rng(seed).standard_normal((count, len(centre)))
    return l2_normalise(centre + noise * spread / np.sqrt(len(centre)))


def directions(count: int, seed: int = 0) -> Matrix:
    return l2_normalise(np.random.default_rng(seed).standard_normal((count, DIMENSION)))


@pytest.fixture
def library(database: Database) -> Library:
    library = Library.create(database, DIMENSION, owners=2)
    with database.transaction() as session:
        session.execute(update(Installation).values(image_space_id=library.space_id))
    return library


def group(
    library: Library, kind: ClusterKind, *, k: int | None = None, threshold: float = 0.9
) -> int:
    """Do what the worker does; return the run's id."""
    source = library.source
    if kind is THEMES:
        centres = grouping.theme_centres(source, FaissKMeans(), k, no_progress)
        pages = grouping.theme_pages(source, centres, no_progress)
    else:
        pages = grouping.near_duplicate_pages(source, threshold, no_progress)
    run_id = write_down(library, kind, pages)
    with library.database.transaction() as session:
        cluster.finish(session, run_id)
    return run_id


def write_down(library: Library, kind: ClusterKind, pages: Iterator[GroupPage]) -> int:
    """Begin a run and store its members; return its id. Nobody sees it yet."""
    with library.database.transaction() as session:
        run_id = cluster.begin(session, library.space_id, kind, {}, library.source.current_seq())
    cluster_ids: dict[int, int] = {}
    for page in pages:
        for part in page.parts(cluster.STORED_ROWS):
            with library.database.transaction() as session:
                cluster_ids |= cluster.store(session, run_id, part, cluster_ids)
    return run_id


def seen(library: Library, kind: ClusterKind, viewer_id: int | None = None) -> list[SeenCluster]:
    with library.database.reading() as session:
        return list_clusters(session, kind, Scope(Audience(viewer_id)), limit=100).clusters


def contents_of(library: Library, cluster_id: int, viewer_id: int | None = None) -> set[int]:
    """Return the embedding ids of everything a viewer is shown of a group, page by page."""
    shown: list[Image] = []
    cursor = None
    while True:
        with library.database.reading() as session:
            page = get_cluster(
                session, cluster_id, Scope(Audience(viewer_id)), cursor=cursor, limit=100
            ).members
            shown += [member.image for member in page]
            if len(page) < 100:
                break
            cursor = page[-1].image.id
    contents = [image.content_id for image in shown]
    with library.database.reading() as session:
        rows = session.execute(
            select(Embedding.id).where(Embedding.content_id.in_(contents))
        ).scalars()
        return set(rows)


def image_of(library: Library, embedding_id: int) -> Image:
    with library.database.reading() as session:
        return session.execute(
            select(Image)
            .join(Embedding, Embedding.content_id == Image.content_id)
            .where(Embedding.id == embedding_id)
        ).scalar_one()


def delete(library: Library, embedding_id: int) -> None:
    image = image_of(library, embedding_id)
    with library.database.transaction() as session:
        delete_image(session, image.id, image.owner_id, expected_version=None)


@pytest.mark.parametrize("k", [12, None])
def test_planted_themes_are_found_whether_their_number_is_told_or_not(
    library: Library, k: int | None
) -> None:
    sizes = [40 * (place + 1) for place in range(12)]
    rows = np.vstack(
        [
            around(centre, size, seed=place)
            for place, (centre, size) in enumerate(zip(directions(12), sizes, strict=True))
        ]
    )
    planted = np.repeat(np.arange(12), sizes)
    order = np.random.default_rng(1).permutation(len(rows))
    ids = np.array(library.add(rows[order]))
    group(library, THEMES, k=k)

    found = seen(library, THEMES)

    assert [cluster.size for cluster in found] == sorted(sizes, reverse=True)
    members = [contents_of(library, cluster.id) for cluster in found]
    expected = [set(ids[planted[order] == place].tolist()) for place in range(12)]
    assert members == expected[::-1]
    for shown in found:
        similarities = [member.similarity for member in shown.members]
        assert len(similarities) == EXAMPLES
        assert similarities == sorted(similarities, reverse=True)  # type: ignore[type-var]


def test_near_duplicates_are_found_among_thousands_however_they_are_connected(
    library: Library,
) -> None:
    alone = directions(3_000, seed=2)
    # A chain: every link is near the next one, its ends are far apart.
    angles = np.radians(np.arange(0, 120, 15))
    chain = l2_normalise(_arc(alone[0], alone[1], angles))
    heap = around(alone[2], 40, spread=0.2, seed=3)
    rows = np.vstack([alone[3:], chain, heap])
    order = np.random.default_rng(4).permutation(len(rows))
    ids = np.array(library.add(rows[order]))[np.argsort(order)].tolist()
    chained, heaped = ids[-48:-40], ids[-40:]
    group(library, NEAR, threshold=0.95)

    found = seen(library, NEAR)

    assert [cluster.size for cluster in found] == [40, 8]
    assert contents_of(library, found[0].id) == set(heaped)
    assert contents_of(library, found[1].id) == set(chained)


def _arc(start: np.ndarray, end: np.ndarray, angles: np.ndarray) -> np.ndarray:
    across = l2_normalise(end - (end @ start) * start)
    return np.outer(np.cos(angles), start) + np.outer(np.sin(angles), across)


def test_the_same_bytes_uploaded_twice_are_near_duplicates(library: Library) -> None:
    twice, once, _ = library.add(directions(3))
    library.share(twice, library.owners[1], is_public=True)
    group(library, NEAR)
    (found,) = seen(library, NEAR)
    assert found.size == 2
    assert contents_of(library, found.id) == {twice}
    assert once not in contents_of(library, found.id)


def test_a_deleted_image_disappears_from_its_group_at_once(library: Library) -> None:
    first, second, third = library.add(around(directions(1)[0], 3))
    group(library, NEAR, threshold=0.8)
    (before,) = seen(library, NEAR)

    delete(library, second)

    (after,) = seen(library, NEAR)
    assert (before.size, after.size) == (3, 2)
    assert contents_of(library, after.id) == {first, third}
    assert len(after.members) == 2
    # Of two near-duplicates one is none.
    delete(library, first)
    assert seen(library, NEAR) == []
    with pytest.raises(NotFound), library.database.reading() as session:
        get_cluster(session, after.id, Scope(Audience(None)))


def test_a_private_image_is_neither_counted_nor_shown_nor_named_for_others(
    library: Library,
) -> None:
    me, other = library.owners
    cat, dog = directions(2, seed=4)
    # One group between two names: what is public leans to the one, what is private to the other.
    leaning = l2_normalise(np.vstack([cat + 0.9 * dog, 0.9 * cat + dog]))
    rows = np.vstack([np.repeat(leaning[:1], 3, axis=0), np.repeat(leaning[1:], 9, axis=0)])
    ids = library.add(rows, owners=[me] * 12, public=[True] * 3 + [False] * 9)
    names = ["cat", "dog"]
    vectors = np.vstack([cat, dog])
    for kind in (THEMES, NEAR):
        group(library, kind, k=1 if kind is THEMES else None)
        (mine,), (theirs,) = seen(library, kind, me), seen(library, kind, other)
        assert (mine.size, theirs.size) == (12, 3)
        assert contents_of(library, mine.id, me) == set(ids)
        assert contents_of(library, theirs.id, other) == set(ids[:3])
        assert contents_of(library, theirs.id, None) == set(ids[:3])
        assert all(member.image.is_public for member in theirs.members)
        assert nearest_names([mine], names, vectors) == ["dog"]
        assert nearest_names([theirs], names, vectors) == ["cat"]
        assert theirs.members[0].similarity == pytest.approx(1.0, abs=1e-6)


def test_what_only_others_have_does_not_exist(library: Library) -> None:
    me, other = library.owners
    pictures = around(directions(1)[0], 3, spread=0.1)
    ids = library.add(pictures, owners=[me, other, other], public=[True, False, False])
    group(library, NEAR)
    group(library, THEMES, k=1)
    (theme,) = seen(library, THEMES, me)
    (near,) = seen(library, NEAR, other)

    # My picture duplicates what I must not know of.
    assert seen(library, NEAR, me) == []
    with pytest.raises(NotFound), library.database.reading() as session:
        get_cluster(session, near.id, Scope(Audience(me)))
    assert theme.size == 1
    assert near.size == 3

    library.publish(ids[0], is_public=False)
    assert seen(library, THEMES, None) == []
    assert (seen(library, THEMES, me)[0].size, seen(library, THEMES, other)[0].size) == (1, 2)
    with pytest.raises(NotFound), library.database.reading() as session:
        get_cluster(session, theme.id, Scope(Audience(None)))


def test_an_image_made_public_is_counted_at_once(library: Library) -> None:
    me, other = library.owners
    ids = library.add(around(directions(1)[0], 2), owners=[me, me], public=False)
    group(library, THEMES, k=1)
    assert seen(library, THEMES, other) == []
    library.publish(ids[1], is_public=True)
    (found,) = seen(library, THEMES, other)
    assert contents_of(library, found.id, other) == {ids[1]}


def test_only_a_finished_run_is_seen_and_it_replaces_the_one_before(library: Library) -> None:
    library.add(around(directions(1)[0], 4))
    assert seen(library, THEMES) == []
    group(library, THEMES, k=1)
    (first,) = seen(library, THEMES)

    library.add(around(directions(1)[0], 1, seed=9))
    pages = grouping.theme_pages(library.source, directions(1), no_progress)
    half_done = write_down(library, THEMES, pages)
    (still,) = seen(library, THEMES)
    assert (still.id, still.size) == (first.id, 4)
    with library.database.reading() as session:
        unfinished = session.execute(
            select(Cluster.id).where(Cluster.run_id == half_done)
        ).scalar_one()
    with pytest.raises(NotFound), library.database.reading() as session:
        get_cluster(session, unfinished, Scope(Audience(None)))

    with library.database.transaction() as session:
        cluster.finish(session, half_done)
    (second,) = seen(library, THEMES)
    assert (second.id, second.size) == (unfinished, 5)
    with pytest.raises(NotFound), library.database.reading() as session:
        get_cluster(session, first.id, Scope(Audience(None)))


def runs(library: Library) -> tuple[list[int], int, int]:
    """Return the ids of all runs, and how many clusters and members there are."""
    with library.database.reading() as session:
        return (
            list(session.execute(select(ClusterRun.id).order_by(ClusterRun.id)).scalars()),
            session.execute(select(func.count()).select_from(Cluster)).scalar_one(),
            session.execute(select(func.count()).select_from(ClusterMember)).scalar_one(),
        )


def remove_old(library: Library, kind: ClusterKind, *, also_unfinished: bool) -> int:
    """Remove until nothing is left to remove; return in how many transactions."""
    count = 0
    while True:
        with library.database.transaction() as session:
            if not removing.remove_old(session, kind, also_unfinished=also_unfinished):
                return count
        count += 1


def test_old_runs_are_removed_a_few_rows_at_a_time(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "REMOVED_ROWS", 10)
    library.add(np.vstack([around(centre, 25) for centre in directions(3)]))
    first, second = group(library, THEMES, k=3), group(library, THEMES, k=2)
    near = group(library, NEAR, threshold=0.8)
    writing = write_down(
        library, THEMES, grouping.theme_pages(library.source, directions(1), no_progress)
    )

    steps = remove_old(library, THEMES, also_unfinished=False)

    assert runs(library) == ([second, near, writing], 2 + 3 + 1, 3 * 75)
    assert steps > 75 / 10
    remove_old(library, THEMES, also_unfinished=True)
    remove_old(library, NEAR, also_unfinished=True)
    assert runs(library) == ([second, near], 2 + 3, 2 * 75)
    assert first not in (second, near)
    assert remove_old(library, THEMES, also_unfinished=True) == 0


def test_a_picture_deleted_while_groups_are_computed_is_left_out(library: Library) -> None:
    ids = library.add(around(directions(1)[0], 5))
    pages = list(grouping.theme_pages(library.source, directions(1), no_progress))
    delete(library, ids[2])
    run_id = write_down(library, THEMES, iter(pages))
    with library.database.transaction() as session:
        cluster.finish(session, run_id)
        (size,) = session.execute(select(Cluster.size)).scalars()
    assert size == 4
    (found,) = seen(library, THEMES)
    assert contents_of(library, found.id) == set(ids) - {ids[2]}


def test_pictures_deleted_while_a_run_is_written_down_stop_neither_side(library: Library) -> None:
    ids = library.add(np.vstack([around(centre, 150) for centre in directions(4)]))
    deleted = ids[::3]
    errors: list[BaseException] = []

    def delete_all() -> None:
        try:
            for embedding_id in deleted:
                delete(library, embedding_id)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=delete_all)
    thread.start()
    while thread.is_alive():
        group(library, THEMES, k=4)
        remove_old(library, THEMES, also_unfinished=True)
    thread.join()

    assert errors == []
    shown = seen(library, THEMES)
    members = [contents_of(library, found.id) for found in shown]
    assert set().union(*members) == set(ids) - set(deleted)
    assert sum(found.size for found in shown) == runs(library)[2] == len(ids) - len(deleted)


def test_a_late_attempt_writes_into_no_run_that_was_removed_or_shown(library: Library) -> None:
    library.add(around(directions(1)[0], 3))
    (page,) = grouping.theme_pages(library.source, directions(1), no_progress)
    late = write_down(library, THEMES, iter([]))
    remove_old(library, THEMES, also_unfinished=True)
    shown = group(library, THEMES, k=1)
    for run_id in (late, shown):
        with pytest.raises(LeaseLost), library.database.transaction() as session:
            cluster.store(session, run_id, page, {})
        with pytest.raises(LeaseLost), library.database.transaction() as session:
            cluster.finish(session, run_id)
    assert runs(library) == ([shown], 1, 3)


def test_what_was_merely_classified_is_in_no_group(library: Library) -> None:
    ids = library.add(around(directions(1)[0], 4))
    content_id = image_of(library, ids[0]).content_id
    with library.database.transaction() as session:
        # What remains of a picture whose image is gone but that somebody had classified.
        session.query(Image).filter(Image.content_id == content_id).delete()
        session.execute(update(Content).where(Content.id == content_id).values(storage_key=""))
        session.add(
            ClassifiedPicture(owner_id=library.owners[0], content_id=content_id, sent_bytes=True)
        )
    group(library, THEMES, k=1)
    group(library, NEAR, threshold=0.8)
    assert runs(library)[2] == 6
    for kind in (THEMES, NEAR):
        assert [cluster.size for cluster in seen(library, kind)] == [3]


def test_a_group_of_damaged_vectors_is_listed_without_examples(library: Library) -> None:
    ids = library.add(around(directions(1)[0], 3))
    group(library, THEMES, k=1)
    for embedding_id in ids[:2]:
        library.damage(embedding_id)
    (found,) = seen(library, THEMES)
    assert (found.size, len(found.members)) == (3, 1)
    library.damage(ids[2])
    (found,) = seen(library, THEMES)
    assert (found.size, found.members, found.centre) == (3, [], None)
    assert nearest_names([found], ["cat"], directions(1)) == [None]
    with library.database.reading() as session:
        whole = get_cluster(session, found.id, Scope(Audience(None)))
    assert [member.similarity for member in whole.members] == [None, None, None]


def test_groups_go_page_by_page_until_the_library_is_grouped_anew(library: Library) -> None:
    rows = [around(centre, 3 + place // 2) for place, centre in enumerate(directions(7))]
    library.add(np.vstack(rows))
    group(library, THEMES, k=7)
    ids: list[int] = []
    cursor = None
    while True:
        with library.database.reading() as session:
            page = list_clusters(
                session, THEMES, Scope(Audience(None)), cursor=cursor, limit=3
            ).clusters
        ids += [shown.id for shown in page]
        if len(page) < 3:
            break
        cursor = ids[-1]
    assert ids == [shown.id for shown in seen(library, THEMES)]
    assert len(set(ids)) == 7
    group(library, THEMES, k=7)
    with pytest.raises(Conflict), library.database.reading() as session:
        list_clusters(session, THEMES, Scope(Audience(None)), cursor=ids[2])


def test_an_empty_library_has_no_groups(library: Library) -> None:
    group(library, THEMES)
    group(library, NEAR)
    assert (seen(library, THEMES), seen(library, NEAR)) == ([], [])
    with library.database.reading() as session:
        assert list_clusters(session, THEMES, Scope(Audience(None))).run is not None


def test_the_same_library_is_grouped_the_same_way_twice(library: Library) -> None:
    library.add(directions(400, seed=5))
    members = []
    for _ in range(2):
        group(library, THEMES, k=9)
        found = seen(library, THEMES)
        members.append({frozenset(contents_of(library, shown.id)) for shown in found})
    assert members[0] == members[1]


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        (THEMES, {"k": 1}, "k"),
        (THEMES, {"k": 501}, "k"),
        (THEMES, {"threshold": 0.9}, "threshold"),
        (NEAR, {"k": 5}, "k"),
        (NEAR, {"threshold": 0.49}, "threshold"),
        (NEAR, {"threshold": 1.01}, "threshold"),
        (NEAR, {"threshold": float("nan")}, "threshold"),
    ],
)
def test_a_grouping_that_makes_no_sense_is_refused(
    library: Library, kind: ClusterKind, options: dict[str, float], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused, library.database.transaction() as session:
        cluster.request(session, kind, **options)  # type: ignore[arg-type]
    assert list(refused.value.fields) == [field]
    with library.database.reading() as session:
        assert session.execute(select(func.count()).select_from(Job)).scalar_one() == 0


def test_a_kind_is_grouped_once_at_a_time(library: Library) -> None:
    with library.database.transaction() as session:
        job = cluster.request(session, THEMES, k=5)
    with library.database.transaction() as session:
        assert cluster.request(session, THEMES, k=5).id == job.id
        assert cluster.request(session, NEAR, threshold=0.9).id != job.id
    with pytest.raises(Conflict, match=f"job {job.id}"), library.database.transaction() as session:
        cluster.request(session, THEMES, k=6)
    with library.database.transaction() as session:
        session.execute(update(Job).values(state=JobState.DONE))
    with library.database.transaction() as session:
        again = cluster.request(session, THEMES, k=6)
        assert (again.id, again.arguments) == (job.id, {"kind": "themes", "k": 6})


def test_before_the_first_picture_there_is_nothing_to_group(database: Database) -> None:
    with pytest.raises(Conflict), database.transaction() as session:
        cluster.request(session, THEMES)
    with database.reading() as session:
        assert list_clusters(session, THEMES, Scope(Audience(None))).clusters == []
        with pytest.raises(NotFound):
            get_cluster(session, 1, Scope(Audience(None)))


def test_a_filter_narrows_groups_to_what_passes(library: Library) -> None:
    me, other = library.owners
    near = [
        library.add(random_vectors(1, DIMENSION, seed=1), [owner], True)[0]
        for owner in (me, me, other)
    ]
    library.add(random_vectors(1, DIMENSION, seed=9), [other], True)
    group(library, NEAR)
    with library.database.reading() as session:

        def asked(**conditions: object) -> Scope:
            return Scope(Audience(None), ImageFilter(**conditions))  # type: ignore[arg-type]

        def sizes(scope: Scope) -> list[int]:
            return [found.size for found in list_clusters(session, NEAR, scope).clusters]

        assert sizes(asked()) == [3]
        assert sizes(asked(owner_ids=frozenset([me]))) == [2]
        # One alone duplicates nothing.
        assert sizes(asked(owner_ids=frozenset([other]))) == []
        (whole,) = list_clusters(session, NEAR, asked()).clusters
        narrowed = get_cluster(session, whole.id, asked(owner_ids=frozenset([other])))
        assert (narrowed.size, len(narrowed.members)) == (1, 1)
        assert narrowed.members[0].image.id == image_of(library, near[2]).id
        nothing = get_cluster(session, whole.id, asked(is_animated=True))
        assert (nothing.size, nothing.members) == (0, [])
