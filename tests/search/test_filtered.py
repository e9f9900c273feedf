"""Filtered searches through the flow: exact, and always k results where k images pass."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update

from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.db import filters
from mirada.db.memory_models import Like
from mirada.db.models import Content, Embedding, Image
from mirada.db.session import Database
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.filters import ImageFilter, Shape
from mirada.pictures.likes import unlike
from mirada.search.by_vector import find
from testing.exact_index import ExactIndex
from testing.scopes import query_of
from testing.vector_library import Library, clustered_vectors

ROWS, DIMENSION = 400, 16


class World:
    """A clustered library whose images differ in what filters ask for; some contents have several."""

    def __init__(self, database: Database, seed: int) -> None:
        random_ = random.Random(seed)
        self.library = Library.create(database, DIMENSION, owners=3)
        self.vectors, _ = clustered_vectors(ROWS, DIMENSION, 8)
        owners = [random_.choice(self.library.owners) for _ in range(ROWS)]
        public = [random_.random() < 0.7 for _ in range(ROWS)]
        self.ids = self.library.add(self.vectors, owners, public)
        for embedding_id in random_.sample(self.ids, 80):
            self.library.share(
                embedding_id, random_.choice(self.library.owners), is_public=random_.random() < 0.5
            )
        with database.transaction() as session:
            for content in session.execute(select(Content)).scalars():
                content.is_animated = random_.random() < 0.1
                content.width, content.height = random_.choice([(1, 1), (4, 3), (3, 4)])
            images = session.execute(select(Image)).scalars().all()
            for image in images:
                image.prompt = random_.choice([None, None, None, "film still"])
                if random_.random() < 0.05:
                    session.add(Like(image_id=image.id, user_id=self.library.owners[0]))

    def scopes(self) -> Iterator[Scope]:
        me, other, _ = self.library.owners
        asked: list[dict[str, Any]] = [
            {"is_animated": True},
            {"shapes": frozenset([Shape.SQUARE])},
            {"has_prompt": True, "is_public": True},
            {"is_liked": True},
            {"is_liked": False, "owner_ids": frozenset([other])},
            {"is_animated": True, "shapes": frozenset([Shape.PORTRAIT]), "has_prompt": True},
            {"filename": "nothing is called so"},
        ]
        for conditions in asked:
            for viewer_id in (me, None):
                yield Scope(Audience(viewer_id), ImageFilter(**conditions))

    def expected(self, scope: Scope, query: Matrix, k: int) -> list[int]:
        """Return the ids of the images that pass, nearest first, computed one by one."""
        with self.library.database.reading() as session:
            rows = session.execute(
                select(Image.id, Embedding.id)
                .join(Embedding, Embedding.content_id == Image.content_id)
                .where(filters.in_scope(scope))
            ).all()
        place = {id_: at for at, id_ in enumerate(self.ids)}
        scored = [(-float(self.vectors[place[e]] @ query), image_id) for image_id, e in rows]
        return [image_id for _, image_id in sorted(scored)[:k]]


@pytest.mark.parametrize("of", ["faiss", "exact"])
def test_every_filter_finds_exactly_the_nearest_that_pass(
    database: Database, tmp_path: Path, of: str
) -> None:
    world = World(database, 1)
    source = world.library.source
    index = (
        FaissIndex(source, tmp_path, BuildSettings(recall_target=0.98))
        if of == "faiss"
        else ExactIndex(source)
    )
    index.refresh()
    rng = np.random.default_rng(3)
    queries = l2_normalise(rng.standard_normal((6, DIMENSION)))
    kept = 0
    for scope in world.scopes():
        for query in queries:
            for k in (1, 10, 300):
                with database.reading() as session:
                    found = find(session, index, query_of(query), scope, k=k)
                ids = [result.image.id for result in found.results]
                expected = world.expected(scope, query, k)
                assert len(ids) == len(expected), scope
                assert set(ids) == set(expected), scope
                assert (found.reason is None) == (len(ids) == k)
                kept += len(ids)
    assert kept > 1_000
    index.close()


def test_what_stopped_passing_a_moment_ago_is_made_up_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered may hold too much; k results come all the same."""
    world = World(database, 2)
    me = world.library.owners[0]
    index = FaissIndex(world.library.source, tmp_path, BuildSettings(recall_target=0.98))
    index.refresh()
    scope = Scope(Audience(me), ImageFilter(is_liked=True))
    query = world.vectors[0]
    before = world.expected(scope, query, 10)
    source: Any = index._source
    stale = source.passing(scope)
    with database.transaction() as session:
        for image_id in before[:5]:
            unlike(session, image_id, me)
    monkeypatch.setattr(source, "passing", lambda _: stale)
    with database.reading() as session:
        found = find(session, index, query_of(query), scope, k=5)
    ids = [result.image.id for result in found.results]
    assert ids == world.expected(scope, query, 5)
    assert len(ids) == 5
    index.close()


def test_an_image_of_the_same_content_that_does_not_pass_is_no_result(database: Database) -> None:
    library = Library.create(database, DIMENSION, owners=2)
    me, other = library.owners
    vectors, _ = clustered_vectors(3, DIMENSION, 1)
    ids = library.add(vectors, [me] * 3)
    library.share(ids[0], other, is_public=True)
    with database.transaction() as session:
        mine = select(Image.id).where(Image.owner_id == other)
        image_id = session.execute(mine).scalar_one()
        session.execute(update(Image).where(Image.id == image_id).values(prompt="film still"))
    index = ExactIndex(library.source)
    with database.reading() as session:
        scope = Scope(Audience(None), ImageFilter(has_prompt=True))
        found = find(session, index, query_of(vectors[0]), scope, k=5)
        both = Scope(Audience(None), ImageFilter(has_prompt=True, owner_ids=frozenset([me])))
        nothing = find(session, index, query_of(vectors[0]), both, k=5)
    assert [result.image.id for result in found.results] == [image_id]
    assert (nothing.results, nothing.permitted_count) == ([], 0)
