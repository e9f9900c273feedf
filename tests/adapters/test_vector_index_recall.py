"""Recall at a size where the graph is walked, with the beam that the build itself chose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from mirada.adapters.vector_index.faiss import costs
from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Embedding
from mirada.db.session import Database, make_engine
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import Matrix, from_blob, l2_normalise
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import Trust
from testing.forced_ways import force
from testing.scopes import seen_by
from testing.vector_library import Library, clustered_vectors, no_progress

ROWS = 50_000
DIMENSION = 512
CLUSTERS = 500
K = 10


class Big:
    """50,000 clustered vectors, an index built from them, and the vectors read back from BLOBs."""

    def __init__(
        self,
        library: Library,
        index: FaissIndex,
        cluster_of: np.ndarray,
        owners: np.ndarray,
        folder: Path,
    ) -> None:
        self.library = library
        self.folder = folder
        self.index = index
        self.cluster_of = cluster_of
        self.owners = owners
        # Ids ascend in the order of insertion, so row i is the i-th vector that was added.
        self.ids, self.vectors = _blobs(library)
        self.public = owners == library.owners[2]

    def truth(self, queries: Matrix, allowed: np.ndarray) -> list[set[int]]:
        """Return the exact K ids per query, computed from the BLOBs with numpy alone."""
        ids = self.ids[allowed]
        scores = queries @ self.vectors[allowed].T
        return [set(ids[np.lexsort((ids, -row))[:K]].tolist()) for row in scores]


def _blobs(library: Library) -> tuple[np.ndarray, Matrix]:
    with library.database.reading() as session:
        rows = session.execute(
            select(Embedding.id, Embedding.vector, Embedding.crc32).order_by(Embedding.id)
        ).all()
    ids = np.array([row.id for row in rows], np.int64)
    return ids, np.stack([from_blob(row.vector, row.crc32, library.dimension) for row in rows])


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Big]:
    folder = tmp_path_factory.mktemp("big")
    database = Database(make_engine(make_url(f"sqlite:///{folder / 'mirada.db'}"), 4))
    upgrade_to_head(database.engine)
    library = Library.create(database, DIMENSION, owners=3)
    vectors, cluster_of = clustered_vectors(ROWS, DIMENSION, CLUSTERS)
    ann, bob, eve = library.owners
    # Ann owns whole clusters, a tenth of everything, and shows them to nobody: the hardest share.
    # Bob owns as many scattered pictures, private as well; Eve's are public.
    is_anns = cluster_of < CLUSTERS // 10
    is_bobs = ~is_anns & (np.random.default_rng(1).random(ROWS) < 0.1)
    owners = np.where(is_anns, ann, np.where(is_bobs, bob, eve)).tolist()
    for start in range(0, ROWS, 5_000):
        chunk = slice(start, start + 5_000)
        library.add(vectors[chunk], owners[chunk], [owner == eve for owner in owners[chunk]])
    index = FaissIndex(library.source, folder / "faiss_indexes", BuildSettings(recall_target=0.98))
    index.rebuild(1, no_progress)
    yield Big(library, index, cluster_of, np.array(owners), folder / "faiss_indexes")
    index.close()
    database.close()


def _queries(big: Big, rows: np.ndarray, seed: int) -> Matrix:
    noise = np.random.default_rng(seed).standard_normal((rows.size, DIMENSION)) * 0.3
    return l2_normalise(big.vectors[rows] + noise / np.sqrt(DIMENSION))


def _recall(
    big: Big,
    queries: Matrix,
    scope: Scope,
    allowed: np.ndarray,
    index: FaissIndex | None = None,
    form: QueryForm = QueryForm.PICTURE,
) -> tuple[float, set[SearchWay]]:
    found, ways = 0, set()
    answers = (index or big.index).search(queries, K, scope, form=form)
    for answer, truth in zip(answers, big.truth(queries, allowed), strict=True):
        assert len(answer.matches) == K
        assert answer.permitted_count == np.count_nonzero(allowed)
        ids = [match.id for match in answer.matches]
        assert np.isin(ids, big.ids[allowed]).all()
        found += len(truth.intersection(ids))
        ways.add(answer.way)
    return found / (K * len(queries)), ways


def _asked(big: Big, form: QueryForm) -> Matrix:
    """Queries near stored rows, between two of them, or off them all, as texts are."""
    rows = np.random.default_rng(11).integers(0, ROWS, (2, 60))
    near = _queries(big, rows[0], 12)
    if form is QueryForm.PICTURE:
        return near
    if form is QueryForm.BLEND:
        return l2_normalise(near + _queries(big, rows[1], 13))
    aside = np.random.default_rng(14).standard_normal(DIMENSION)
    return l2_normalise(near + 0.6 * aside / np.linalg.norm(aside))


@pytest.fixture(scope="module", params=[SearchWay.QUANTISED, SearchWay.IVF, SearchWay.HNSW])
def forced(big: Big, request: pytest.FixtureRequest) -> Iterator[tuple[SearchWay, FaissIndex]]:
    """The same snapshot, served by one way wherever it can vouch for its answer."""
    force(big.library.source, big.folder, request.param)
    index = FaissIndex(
        big.library.source, big.folder, BuildSettings(recall_target=0.98), exact_rows=0
    )
    index.refresh()
    if request.param is SearchWay.QUANTISED:
        # A part of the lists is cheaper than all of them.
        left_out = {(form, SearchWay.IVF): "for this test" for form in QueryForm}
        index.set_trust(Trust(left_out=left_out))
    costs.kept_path(big.folder / big.library.source.db_epoch(), DIMENSION).unlink()
    yield request.param, index
    index.close()


@pytest.mark.parametrize("form", list(QueryForm))
@pytest.mark.parametrize("who", ["everybody's", "a clustered tenth", "a scattered tenth"])
def test_every_way_reaches_its_recall_for_every_form_and_share(
    big: Big, forced: tuple[SearchWay, FaissIndex], form: QueryForm, who: str
):
    way, index = forced
    if who == "everybody's":
        scope, allowed = seen_by(None), big.public
    else:
        owner_id = big.library.owners[0 if "clustered" in who else 1]
        scope, allowed = seen_by(owner_id, [owner_id]), big.owners == owner_id
    recall, ways = _recall(big, _asked(big, form), scope, allowed, index, form)
    assert recall >= 0.98
    # Blends and texts need all of the few lists, and those are the quantised way.
    if who == "everybody's" and not (way is SearchWay.IVF and form is not QueryForm.PICTURE):
        assert way in ways


def test_the_status_shows_each_way_and_form_and_what_serves(big: Big):
    big.index.refresh()
    status = big.index.status()
    assert status.kind == "hnsw"
    assert {(one.form, one.way) for one in status.ways} == {
        (form, way)
        for form in QueryForm
        for way in (SearchWay.QUANTISED, SearchWay.IVF, SearchWay.HNSW)
    }
    assert all(one.is_in_use and (one.recall or 0) >= 0.98 for one in status.ways)
    manifest = big.library.source.snapshots()[0].manifest
    assert manifest["kind"] == "hnsw"
    assert manifest["costs"]["beam_step"] > 0
    # By these costs a picture is looked for through the graph once everything may be seen.
    assert SearchWay.HNSW in status.planning["first_ways"]["picture"]


def test_the_beam_that_the_build_chose_reaches_its_recall(big: Big):
    big.index.refresh()
    status = big.index.status()
    assert status.kind == "hnsw"
    assert status.parameters["ef_search"]["picture"] is not None
    rows = np.random.default_rng(2).integers(0, ROWS, 200)
    # Everything but Ann's and Bob's private pictures.
    permitted, allowed = seen_by(None), big.public
    recall, ways = _recall(big, _queries(big, rows, 3), permitted, allowed)
    assert SearchWay.HNSW in ways
    assert recall >= 0.98


def test_queries_into_somebody_elses_cluster_are_answered_as_well(big: Big):
    big.index.refresh()
    rows = np.flatnonzero(big.cluster_of < CLUSTERS // 10)[:100]
    recall, _ = _recall(big, _queries(big, rows, 4), seen_by(None), big.public)
    assert recall >= 0.98


@pytest.mark.parametrize("owner", [0, 1])
def test_a_tenth_of_the_library_is_searched_exactly(big: Big, owner: int):
    big.index.refresh()
    owner_id = big.library.owners[owner]
    allowed = big.owners == owner_id
    rows = np.random.default_rng(5).integers(0, ROWS, 50)
    permitted = seen_by(owner_id, owner_ids=frozenset([owner_id]))
    recall, ways = _recall(big, _queries(big, rows, 6), permitted, allowed)
    assert ways == {SearchWay.EXACT}
    assert recall == 1.0


def test_stored_vectors_find_themselves_first(big: Big):
    big.index.refresh()
    public = np.flatnonzero(big.public)
    rows = np.random.default_rng(7).choice(public, 200, replace=False)
    answers = big.index.search(big.vectors[rows], 1, seen_by(None))
    assert [answer.matches[0].id for answer in answers] == big.ids[rows].tolist()
    assert min(answer.matches[0].similarity for answer in answers) >= 0.9999


def test_a_change_after_the_build_is_found_through_the_delta(big: Big):
    big.index.refresh()
    query = _queries(big, np.array([17]), 8)
    [new] = big.library.add(query, [big.library.owners[2]])
    big.index.refresh()
    assert big.index.search(query, 1, seen_by(None))[0].matches[0].id == new
    big.library.delete([new])
    big.index.refresh()
    assert big.index.search(query, 1, seen_by(None))[0].matches[0].id != new
