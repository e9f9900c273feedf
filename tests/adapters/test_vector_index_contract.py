"""What every VectorIndex must do, asked of each backend in each state it can serve from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.adapters.vector_index.exact import ExactIndex as PlainIndex
from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.adapters.vector_index.pgvector.index import PgvectorIndex
from mirada.db.session import Database
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import l2_normalise
from mirada.kernel.errors import InvalidInput, LeaseLost, Unavailable
from mirada.kernel.filters import ImageFilter
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.ports import SearchAnswer, VectorIndex
from testing.exact_index import ExactIndex
from testing.forced_ways import forced_index
from testing.scopes import seen_by
from testing.vector_library import (
    Library,
    clustered_vectors,
    no_progress,
    pgvector_index,
    random_vectors,
)

ANYONE = seen_by(viewer_id=None)
Backend = Callable[[Library, Path], FaissIndex | ExactIndex | PlainIndex | PgvectorIndex]


def _oracle(library: Library, _: Path) -> ExactIndex:
    return ExactIndex(library.source)


def _exact(library: Library, _: Path) -> PlainIndex:
    return PlainIndex(library.source)


def _delta_only(library: Library, folder: Path) -> FaissIndex:
    return FaissIndex(library.source, folder, BuildSettings(recall_target=0.98))


def _flat(library: Library, folder: Path) -> FaissIndex:
    index = FaissIndex(library.source, folder, BuildSettings(recall_target=0.98))
    index.rebuild(1, no_progress)
    return index


def _hnsw(library: Library, folder: Path) -> FaissIndex:
    index = forced_index(library.source, folder, SearchWay.HNSW)
    index.rebuild(1, no_progress)
    return index


def _quantised(library: Library, folder: Path) -> FaissIndex:
    index = forced_index(library.source, folder, SearchWay.QUANTISED)
    index.rebuild(1, no_progress)
    return index


def _ivf(library: Library, folder: Path) -> FaissIndex:
    index = forced_index(library.source, folder, SearchWay.IVF)
    index.rebuild(1, no_progress)
    return index


FORCED = {_hnsw: SearchWay.HNSW, _quantised: SearchWay.QUANTISED, _ivf: SearchWay.IVF}


def _pgvector_scan(library: Library, _: Path) -> PgvectorIndex:
    return pgvector_index(library)


def _pgvector_walk(library: Library, _: Path) -> PgvectorIndex:
    index = pgvector_index(library, graph_min_rows=1, exact_rows=0)
    index.rebuild(1, no_progress)
    return index


IN_POSTGRESQL = (_pgvector_scan, _pgvector_walk)


@pytest.fixture(
    params=[
        _oracle,
        _exact,
        _delta_only,
        _flat,
        *FORCED,
        *(pytest.param(build, marks=pytest.mark.postgresql) for build in IN_POSTGRESQL),
    ],
    ids=lambda build: build.__name__[1:],
)
def backend(request: pytest.FixtureRequest) -> Backend:
    build: Backend = request.param
    return build


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Library:
    build = (
        request.node.callspec.params.get("backend") if hasattr(request.node, "callspec") else None
    )
    kind = "pgvector" if build in IN_POSTGRESQL else "sqlite"
    database: Database = request.getfixturevalue(f"{kind}_database")
    return Library.create(database)


def _found(answer: SearchAnswer) -> list[int]:
    return [match.id for match in answer.matches]


def _same_as_exact(
    index: VectorIndex, library: Library, queries: np.ndarray, k: int, permitted: Scope
) -> None:
    expected = ExactIndex(library.source).search(queries, k, permitted)
    for answer, truth in zip(index.search(queries, k, permitted), expected, strict=True):
        assert answer.matches == truth.matches
        assert answer.permitted_count == truth.permitted_count
        assert answer.change_seq == truth.change_seq
        np.testing.assert_allclose(np.sort(answer.background), np.sort(truth.background), atol=1e-5)


def test_an_empty_index_answers_with_nothing(backend: Backend, library: Library, tmp_path: Path):
    index = backend(library, tmp_path)
    [answer] = index.search(random_vectors(1), 5, ANYONE)
    assert answer.matches == []
    assert answer.way is SearchWay.EMPTY
    assert answer.permitted_count == 0
    assert answer.background.size == 0


def test_a_vector_finds_itself_first_with_cosine_one(
    backend: Backend, library: Library, tmp_path: Path
):
    vectors = random_vectors(200)
    ids = library.add(vectors)
    index = backend(library, tmp_path)
    for row in (0, 57, 199):
        [answer] = index.search(vectors[row : row + 1], 3, ANYONE)
        assert answer.matches[0].id == ids[row]
        assert answer.matches[0].similarity == pytest.approx(1.0, abs=1e-6)
        assert answer.matches[0].similarity <= 1.0
        similarities = [match.similarity for match in answer.matches]
        assert similarities == sorted(similarities, reverse=True)


def test_k_beyond_the_collection_returns_everything_without_padding(
    backend: Backend, library: Library, tmp_path: Path
):
    ids = library.add(random_vectors(30))
    index = backend(library, tmp_path)
    [answer] = index.search(random_vectors(1, seed=9), 10**9, ANYONE)
    assert sorted(_found(answer)) == sorted(ids)


def test_equal_vectors_are_ordered_by_id(backend: Backend, library: Library, tmp_path: Path):
    one = random_vectors(1)
    ids = library.add(np.repeat(one, 40, axis=0))
    library.add(random_vectors(40, seed=5))
    index = backend(library, tmp_path)
    [answer] = index.search(one, 12, ANYONE)
    assert _found(answer) == ids[:12]


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(backend: Backend, library: Library, tmp_path: Path, k: int):
    index = backend(library, tmp_path)
    with pytest.raises(InvalidInput, match="at least 1"):
        index.search(random_vectors(1), k, ANYONE)


@pytest.mark.parametrize(
    "query",
    [
        np.ones((1, 15), np.float32),
        np.full((1, 16), np.nan, np.float32),
        np.full((1, 16), np.inf, np.float32),
        np.ones(16, np.float32),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(
    backend: Backend, library: Library, tmp_path: Path, query: np.ndarray
):
    library.add(random_vectors(3))
    index = backend(library, tmp_path)
    with pytest.raises(InvalidInput):
        index.search(query, 1, ANYONE)


def test_private_vectors_are_found_by_their_owner_only(
    backend: Backend, library: Library, tmp_path: Path
):
    ann, bob, _ = library.owners
    vectors = random_vectors(60)
    library.add(vectors[:30], [ann] * 30, public=False)
    library.add(vectors[30:], [bob] * 30, public=[i % 2 == 0 for i in range(30)])
    index = backend(library, tmp_path)
    queries = random_vectors(4, seed=3)
    for permitted, count in (
        (ANYONE, 15),
        (seen_by(ann), 45),
        (seen_by(bob), 30),
        (seen_by(ann, owner_ids=frozenset([bob])), 15),
        (seen_by(bob, owner_ids=frozenset([bob])), 30),
        (seen_by(bob, owner_ids=frozenset([ann])), 0),
        (seen_by(None, owner_ids=frozenset([ann, bob])), 15),
        (seen_by(ann, owner_ids=frozenset()), 0),
    ):
        _same_as_exact(index, library, queries, 10, permitted)
        [answer] = index.search(queries[:1], 100, permitted)
        assert answer.permitted_count == len(answer.matches) == count


def test_one_content_of_two_owners_is_one_match_for_both(
    backend: Backend, library: Library, tmp_path: Path
):
    ann, bob, eve = library.owners
    vectors = random_vectors(10)
    ids = library.add(vectors, [ann] * 10, public=False)
    library.share(ids[4], bob, is_public=False)
    index = backend(library, tmp_path)
    assert _found(index.search(vectors[4:5], 9, seen_by(bob))[0]) == [ids[4]]
    assert len(_found(index.search(vectors[4:5], 99, seen_by(ann))[0])) == 10
    assert _found(index.search(vectors[4:5], 9, seen_by(eve))[0]) == []


def test_what_somebody_had_classified_is_found_only_where_it_is_asked_for(
    backend: Backend, library: Library, tmp_path: Path
):
    ana, bea, _ = library.owners
    vectors = random_vectors(60)
    ids = library.add(vectors, owners=[ana, bea] * 30, public=False)
    for remembered in ids[1:20:2]:
        library.remember(remembered, ana)
    index = backend(library, tmp_path)
    query = vectors[:1]
    [plain] = index.search(query, 60, seen_by(viewer_id=ana))
    assert sorted(_found(plain)) == ids[::2]
    [with_memory] = index.search(query, 60, seen_by(viewer_id=ana, with_remembered=True))
    assert sorted(_found(with_memory)) == sorted([*ids[::2], *ids[1:20:2]])
    [other] = index.search(query, 60, seen_by(viewer_id=bea, with_remembered=True))
    assert sorted(_found(other)) == ids[1::2]
    narrow = seen_by(viewer_id=ana, owner_ids=frozenset({bea}), with_remembered=True)
    [filtered] = index.search(query, 60, narrow)
    assert sorted(_found(filtered)) == ids[1:20:2]
    _same_as_exact(index, library, random_vectors(4, seed=3), 7, narrow)
    library.remember(ids[21], ana)
    index.refresh()
    [later] = index.search(query, 60, seen_by(viewer_id=ana, with_remembered=True))
    assert ids[21] in _found(later)


def test_a_background_does_not_tell_that_somebody_has_the_same_picture_or_another(
    backend: Backend, library: Library, tmp_path: Path
):
    # In the last digit neither: relevance is made of it, and everybody reads that.
    library = Library.create(library.database, dimension=512)
    ann, bob, _ = library.owners
    ids = library.add(random_vectors(61, 512), owners=[ann] * 61)
    index = backend(library, tmp_path)
    index.refresh()
    queries = random_vectors(20, 512, seed=4)
    before = [np.sort(each.background) for each in index.search(queries, 5, ANYONE)]

    for place in (0, 7, 30, 60):
        library.share(ids[place], bob, is_public=False)
    library.add(random_vectors(3, 512, seed=5), owners=[bob] * 3, public=False)
    index.refresh()
    after = [np.sort(each.background) for each in index.search(queries, 5, ANYONE)]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)

    library.publish(ids[5], is_public=False)
    index.refresh()
    for old, each in zip(before, index.search(queries, 5, ANYONE), strict=True):
        assert set(each.background.tolist()) < set(old.tolist())


def test_a_filter_narrows_what_is_permitted(backend: Backend, library: Library, tmp_path: Path):
    ann, bob, _ = library.owners
    is_private = (3, 30)
    ids = library.add(random_vectors(50), public=[row not in is_private for row in range(50)])
    library.share(ids[7], bob, is_public=False)
    index = backend(library, tmp_path)
    private = ImageFilter(is_public=False)
    for viewer_id, expected in ((ann, [ids[3], ids[30]]), (bob, [ids[7]]), (None, [])):
        [answer] = index.search(
            random_vectors(1, seed=2), 10, replace(seen_by(viewer_id), filter=private)
        )
        assert sorted(_found(answer)) == expected
        assert answer.permitted_count == len(expected)


def test_inserts_changes_and_deletes_show_after_a_refresh(
    backend: Backend, library: Library, tmp_path: Path
):
    ann, bob, _ = library.owners
    vectors = random_vectors(300)
    ids = library.add(vectors, [ann] * 300)
    index = backend(library, tmp_path)
    index.refresh()
    library.delete([ids[0], ids[299]])
    library.replace(ids[1], vectors[0])
    library.publish(ids[2], is_public=False)
    new = library.add(random_vectors(20, seed=8), [bob] * 20)
    library.delete(new[:2])
    library.replace(ids[3], random_vectors(1, seed=77)[0])
    library.replace(ids[3], random_vectors(1, seed=78)[0])
    assert index.refresh() == library.source.current_seq()
    queries = np.concatenate([vectors[:4], vectors[-1:], random_vectors(3, seed=78)])
    for permitted in (ANYONE, seen_by(ann), seen_by(bob), seen_by(ann, frozenset([bob]))):
        for k in (1, 10, 1000):
            _same_as_exact(index, library, queries, k, permitted)
    assert index.search(vectors[:1], 1, ANYONE)[0].matches[0].id == ids[1]


def test_what_is_remembered_of_callers_ends_with_a_change_of_what_they_may_see(
    backend: Backend, library: Library, tmp_path: Path
):
    ann, bob, _ = library.owners
    vectors = random_vectors(300)
    ids = library.add(vectors, [ann, bob, ann] * 100, public=[True, True, False] * 100)
    index = backend(library, tmp_path)
    index.refresh()
    only_public = replace(seen_by(ann), filter=ImageFilter(is_public=True))
    scopes = [ANYONE, seen_by(ann), seen_by(bob), seen_by(ann, [bob]), only_public]
    queries = np.concatenate([vectors[:4], random_vectors(2, seed=5)])
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: library.publish(ids[0], is_public=False),
        lambda: library.publish(ids[2], is_public=True),
        lambda: library.share(ids[5], bob, is_public=False),
        lambda: library.delete([ids[1]]),
        lambda: library.add(vectors[1:2], [bob], public=False),
        lambda: index.rebuild(2, no_progress),
    ]
    for change in changes:
        change()
        index.refresh()
        for scope in scopes:
            for _ in range(2):
                _same_as_exact(index, library, queries, 10, scope)


def test_a_second_rebuild_takes_the_delta_in(backend: Backend, library: Library, tmp_path: Path):
    vectors = random_vectors(120)
    ids = library.add(vectors[:100])
    index = backend(library, tmp_path)
    library.delete(ids[:5])
    library.add(vectors[100:])
    index.rebuild(2, no_progress)
    index.refresh()
    _same_as_exact(index, library, vectors[::17], 7, ANYONE)
    library.delete(ids[5:8])
    index.refresh()
    _same_as_exact(index, library, vectors[::17], 200, ANYONE)
    assert index.status().live_count == 112


def test_a_damaged_vector_is_never_found(
    backend: Backend, library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    vectors = random_vectors(10)
    ids = library.add(vectors)
    library.damage(ids[3])
    index = backend(library, tmp_path)
    [answer] = index.search(vectors[3:4], 100, ANYONE)
    assert sorted(_found(answer)) == sorted(set(ids) - {ids[3]})
    assert f"Embedding {ids[3]} does not match" in caplog.text


@pytest.mark.parametrize("number", [np.nan, np.inf, 3e38, 0.0])
def test_numbers_that_are_no_unit_vector_are_never_found_and_disturb_no_other(
    backend: Backend, library: Library, tmp_path: Path, number: float
):
    vectors = random_vectors(30)
    ids = library.add(vectors)
    spoilt = np.full(16, number, np.float32)
    library.store(ids[3], spoilt)
    index = backend(library, tmp_path)
    library.store(ids[20], spoilt)
    index.refresh()
    for k in (5, 100):
        [answer] = index.search(vectors[:1], k, ANYONE)
        assert len(answer.matches) == min(k, 28)
        assert not {ids[3], ids[20]} & set(_found(answer))
        assert np.isfinite(answer.background).all()
        assert answer.background.size == 28


def test_waiting_for_a_change_makes_it_searchable_at_once(
    backend: Backend, library: Library, tmp_path: Path
):
    index = backend(library, tmp_path)
    index.refresh()
    vectors = random_vectors(1)
    ids = library.add(vectors)
    index.wait_for(library.source.current_seq())
    assert _found(index.search(vectors, 1, ANYONE)[0]) == ids


def test_waiting_for_a_change_that_is_not_committed_gives_up(
    backend: Backend, library: Library, tmp_path: Path
):
    index = backend(library, tmp_path)
    with pytest.raises(Unavailable, match="not caught up"):
        index.wait_for(10**9, timeout_s=0.1)


def test_the_status_says_what_is_served(backend: Backend, library: Library, tmp_path: Path):
    ids = library.add(random_vectors(40))
    index = backend(library, tmp_path)
    assert index.status().live_count == 40
    library.delete(ids[:4])
    seq = index.refresh()
    status = index.status()
    assert (status.change_seq, status.live_count) == (seq, 36)
    index.close()


def test_searches_go_on_while_rows_change_and_snapshots_are_adopted(
    backend: Backend, library: Library, tmp_path: Path
):
    ids = library.add(random_vectors(200))
    index = backend(library, tmp_path)
    index.refresh()
    stop = threading.Event()
    faults: list[str] = []
    searches = [0, 0]

    def search(number: int) -> None:
        queries = random_vectors(20, seed=number)
        while not stop.is_set():
            for answer in index.search(queries, 300, ANYONE):
                found = _found(answer)
                if len(set(found)) != answer.permitted_count:
                    faults.append(f"{len(set(found))} of {answer.permitted_count}")
            searches[number] += 1

    threads = [threading.Thread(target=search, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(6):
            new = library.add(random_vectors(5, seed=100 + number))
            library.delete([ids[number], new[0]])
            if number % 3 == 2:
                index.rebuild(number, no_progress)
            index.refresh()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert faults == []
    assert min(searches) > 0
    _same_as_exact(index, library, random_vectors(3, seed=9), 20, ANYONE)


@pytest.mark.parametrize("build", FORCED, ids=lambda build: build.__name__[1:])
def test_a_way_that_meets_mostly_forbidden_rows_is_not_trusted(
    sqlite_database: Database, tmp_path: Path, build: Backend
):
    """Near the query lies somebody's private cluster, as large as the widest search or larger."""
    library = Library.create(sqlite_database, dimension=128)
    ann, bob, _ = library.owners
    rng = np.random.default_rng(0)
    centre = random_vectors(1, 128, seed=1)
    secret = l2_normalise(centre + 0.02 * rng.standard_normal((1_000, 128)))
    others, _ = clustered_vectors(8_000, 128, clusters=200, spread=0.5, seed=2)
    library.add(secret, [ann] * len(secret), public=False)
    library.add(others, [bob] * len(others))
    index = build(library, tmp_path)
    index.refresh()
    for scope in (ANYONE, seen_by(bob)):
        _same_as_exact(index, library, centre, 10, scope)
    assert index.search(others[:1], 10, ANYONE)[0].way is FORCED[build]


@pytest.mark.parametrize("build", FORCED, ids=lambda build: build.__name__[1:])
@pytest.mark.parametrize("form", list(QueryForm))
def test_a_forced_way_is_the_one_that_answers(
    library: Library, tmp_path: Path, build: Backend, form: QueryForm
):
    ann, bob, _ = library.owners
    library.add(random_vectors(600), [ann, bob] * 300, public=[True, False] * 300)
    index = build(library, tmp_path)
    way = FORCED[build]
    for scope in (seen_by(bob), ANYONE):
        [answer] = index.search(random_vectors(1, seed=4), 10, scope, form=form)
        if way is SearchWay.IVF and form is not QueryForm.PICTURE:
            # Among vectors without structure these need every list, and that is the quantised way.
            assert answer.way in {way, SearchWay.QUANTISED}
        else:
            assert answer.way in {way, SearchWay.WIDENED}
        assert (answer.plan.ef_search is None) == (way is not SearchWay.HNSW)
        assert (answer.plan.depth is None) == (way is SearchWay.HNSW)


def test_a_build_stops_when_its_lease_is_lost(library: Library, tmp_path: Path):
    library.add(random_vectors(50))
    index = _delta_only(library, tmp_path)

    def lost(done: int, total: int) -> None:
        raise LeaseLost("gone")

    with pytest.raises(LeaseLost):
        index.rebuild(1, lost)
    assert library.source.snapshots() == []
    assert list(tmp_path.rglob("snap-*")) == []


def test_what_is_loaded_is_told_without_loading_anything(
    backend: Backend, library: Library, tmp_path: Path
) -> None:
    library.add(random_vectors(20))
    index = backend(library, tmp_path)
    assert index.known_status() is None
    index.refresh()
    known = index.known_status()
    assert known is not None
    assert (known.live_count, known.change_seq) == (20, 1)
    assert known == index.status()
    assert (known.snapshot is None) == (known.snapshot_created_at is None)
    index.close()
    assert index.known_status() is None
