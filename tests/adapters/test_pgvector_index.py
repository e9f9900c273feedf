"""pgvector's index: its graph is walked where that is as good, and never gives less than a scan would."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sqlalchemy import func, select, text

from mirada.adapters.vector_index.pgvector.index import PgvectorIndex
from mirada.adapters.vector_index.pgvector.planning import MOST_EF_SEARCH, beam
from mirada.db.pgvector.filling import prepare
from mirada.db.pgvector.reading import CopiedVectors
from mirada.db.pgvector.tables import name_of
from mirada.db.session import Database
from mirada.kernel.embeddings import l2_normalise
from mirada.kernel.errors import LeaseLost
from mirada.kernel.similarity import QueryForm, SearchWay
from testing.exact_index import ExactIndex
from testing.scopes import seen_by
from testing.vector_library import (
    Library,
    clustered_vectors,
    no_progress,
    pgvector_index,
    random_vectors,
)

ANYONE = seen_by(viewer_id=None)
ROWS = 3_000


@pytest.fixture
def library(pgvector_database: Database) -> Library:
    return Library.create(pgvector_database)


@pytest.fixture
def walked(library: Library) -> tuple[Library, PgvectorIndex, np.ndarray]:
    """A library whose graph is walked; every tenth cluster is private."""
    vectors, cluster = clustered_vectors(ROWS, 16, 60, seed=4)
    library.add(vectors, [library.owners[0]] * ROWS, (cluster % 10 != 0).tolist())
    index = pgvector_index(library, graph_min_rows=1, exact_rows=0)
    index.rebuild(1, no_progress)
    return library, index, vectors


def _copies(library: Library) -> dict[int, str]:
    with library.database.reading() as session:
        rows = session.execute(text(f"SELECT id, v::text FROM {name_of(library.space_id)}"))
        return {row.id: row.v for row in rows}


def _graph(library: Library) -> object:
    copies = CopiedVectors(library.database, library.space_id, library.source.space)
    with copies.moment() as moment:
        return moment.graph


def test_a_walk_finds_what_a_scan_does(walked: tuple[Library, PgvectorIndex, np.ndarray]) -> None:
    library, index, vectors = walked
    owner = seen_by(library.owners[0])
    queries = l2_normalise(vectors[::101] + 0.02 * random_vectors(len(vectors[::101]), seed=1))
    for scope in (ANYONE, owner):
        exact = ExactIndex(library.source).search(queries, 10, scope)
        found = index.search(queries, 10, scope)
        assert {answer.way for answer in found} == {SearchWay.HNSW}
        assert all(answer.plan.ef_search for answer in found)
        hits = [
            len({m.id for m in a.matches} & {m.id for m in b.matches})
            for a, b in zip(found, exact, strict=True)
        ]
        assert sum(hits) / (10 * len(queries)) >= 0.98
        for answer, truth in zip(found, exact, strict=True):
            known = {match.id: match.similarity for match in truth.matches}
            assert len(answer.matches) == 10
            assert all(known.get(m.id, m.similarity) == m.similarity for m in answer.matches)
            assert answer.permitted_count == truth.permitted_count


def test_a_walk_among_forbidden_rows_goes_on_until_there_are_enough(library: Library) -> None:
    """Near the query lie a thousand rows of somebody else, more than any beam of the walk."""
    ann, bob, _ = library.owners
    centre = random_vectors(1, seed=1)
    rng = np.random.default_rng(0)
    library.add(
        l2_normalise(centre + 0.05 * rng.standard_normal((1_000, 16))), [ann] * 1_000, False
    )
    library.add(random_vectors(2_000, seed=2), [bob] * 2_000)
    index = pgvector_index(library, graph_min_rows=1, exact_rows=0)
    index.rebuild(1, no_progress)
    for scope in (ANYONE, seen_by(bob), seen_by(ann)):
        [answer] = index.search(centre, 10, scope)
        [truth] = ExactIndex(library.source).search(centre, 10, scope)
        assert len(answer.matches) == 10
        near = sum(a.id in {b.id for b in truth.matches} for a in answer.matches)
        assert near >= 9


def test_rows_that_rounding_cannot_tell_apart_are_told_apart(library: Library) -> None:
    """A hundred vectors whose copies are nearly all equal: the stored ones decide."""
    centre = random_vectors(1, seed=3)
    vectors = l2_normalise(centre + 1e-5 * random_vectors(100, seed=4))
    library.add(vectors)
    index = pgvector_index(library)
    assert len(set(_copies(library).values())) < 100
    for k in (1, 10, 50):
        [answer] = index.search(centre, k, ANYONE)
        [truth] = ExactIndex(library.source).search(centre, k, ANYONE)
        assert answer.matches == truth.matches


def test_a_graph_is_made_from_so_many_rows_on_and_described(library: Library) -> None:
    library.add(random_vectors(300))
    index = pgvector_index(library, graph_min_rows=1_000)
    index.rebuild(1, no_progress)
    assert index.status().kind == "none"
    library.add(random_vectors(900, seed=1))
    index.rebuild(2, no_progress)
    status = index.status()
    assert (status.backend, status.kind, status.delta_count) == ("pgvector", "hnsw", 0)
    assert status.parameters["hnsw_m"] in (16, 32)
    assert set(status.parameters["ef_search_by_form"]) == {form.value for form in QueryForm}
    assert status.parameters["index_bytes"] > 0
    assert min(status.recall["at_ef_search"].values()) >= 0.98
    library.add(random_vectors(5, seed=2))
    assert index.status().delta_count == 5


def test_a_rebuild_without_a_change_does_nothing(
    walked: tuple[Library, PgvectorIndex, np.ndarray],
) -> None:
    library, index, _ = walked
    before, told = _graph(library), []
    index.rebuild(2, lambda done, total: told.append((done, total)))
    assert _graph(library) == before
    assert told == [(0, ROWS)]


def test_a_build_that_loses_its_lease_leaves_nothing_behind(library: Library) -> None:
    library.add(random_vectors(1_000))
    index = pgvector_index(library, graph_min_rows=1)
    told = 0

    def lost(done: int, total: int) -> None:
        nonlocal told
        told += 1
        if told > 1:
            raise LeaseLost("gone")

    with pytest.raises(LeaseLost):
        index.rebuild(1, lost)
    assert index.status().kind == "none"
    copies = CopiedVectors(library.database, library.space_id, library.source.space)
    copies.graph.remove()
    assert copies.graph.byte_size() == 0


def test_copies_are_committed_with_their_vectors(library: Library) -> None:
    pgvector_index(library)
    ids = library.add(random_vectors(4))
    assert set(_copies(library)) == set(ids)
    before = _copies(library)
    library.publish(ids[0], is_public=False)
    library.replace(ids[1], random_vectors(1, seed=9)[0])
    library.delete([ids[2]])
    after = _copies(library)
    assert set(after) == {ids[0], ids[1], ids[3]}
    assert after[ids[0]] == before[ids[0]]
    assert after[ids[1]] != before[ids[1]]


def test_rows_of_before_are_copied_at_the_start(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    ids = library.add(random_vectors(50))
    library.delete(ids[:5])
    library.damage(ids[7])
    caplog.set_level(logging.INFO)
    pgvector_index(library)
    assert set(_copies(library)) == set(ids[5:]) - {ids[7]}
    assert f"Embedding {ids[7]} does not match" in caplog.text
    assert "44 vectors of the image space were copied" in caplog.text


def test_a_table_of_copies_that_is_gone_is_made_again(library: Library) -> None:
    ids = library.add(random_vectors(3))
    pgvector_index(library)
    with library.database.transaction() as session:
        session.execute(text(f"DROP TABLE {name_of(library.space_id)}"))
    assert prepare(library.database, library.space_id, library.source.space) is None
    assert set(_copies(library)) == set(ids)


def test_damage_after_the_copy_is_found_by_the_search(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = random_vectors(60)
    ids = library.add(vectors)
    index = pgvector_index(library)
    library.damage(ids[3])
    [answer] = index.search(vectors[3:4], 10, ANYONE)
    assert ids[3] not in {match.id for match in answer.matches}
    assert len(answer.matches) == 10
    assert f"Embedding {ids[3]} does not match" in caplog.text


def test_what_is_remembered_of_a_scope_ends_with_the_next_change(library: Library) -> None:
    ids = library.add(random_vectors(20))
    index = pgvector_index(library)
    query = random_vectors(1, seed=2)
    assert index.search(query, 5, ANYONE)[0].permitted_count == 20
    library.publish(ids[0], is_public=False)
    assert index.search(query, 5, ANYONE)[0].permitted_count == 19


def test_beams_grow_with_the_rank_and_end_where_a_scan_is_cheaper() -> None:
    graph = {"ef_search": {"picture": 40, "blend": None, "text": 300}}
    picture, blend, text_form = QueryForm.PICTURE, QueryForm.BLEND, QueryForm.TEXT
    assert beam(graph, picture, 10, 100_000, 100_000) == 40
    assert beam(graph, picture, 20, 100_000, 100_000) == 80
    assert beam(graph, picture, 10, 50_000, 100_000) == 80
    assert beam(graph, picture, 10, 20_000, 100_000) is None
    assert beam(graph, blend, 10, 100_000, 100_000) is None
    assert beam(graph, text_form, 40, 1_000_000, 1_000_000) is None
    assert MOST_EF_SEARCH == 1_000
    assert beam(None, picture, 10, 100_000, 100_000) is None


def test_a_space_of_too_many_numbers_is_left_to_others(library: Library) -> None:
    wide = Library.create(library.database, dimension=4_001)
    reason = prepare(wide.database, wide.space_id, wide.source.space)
    assert reason is not None
    assert "4,000" in reason
    with wide.database.reading() as session:
        there = session.execute(select(func.to_regclass(name_of(wide.space_id)))).scalar_one()
    assert there is None
