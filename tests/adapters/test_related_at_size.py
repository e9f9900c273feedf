"""Related images among 30,000, for owners of little and of much: all ten, every time, as exact as numpy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import bindparam, select, update
from sqlalchemy.engine import make_url

from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.db import changes
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Image
from mirada.db.session import Database, make_engine
from mirada.db.vector_rows import DatabaseVectors
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, Vector, l2_normalise
from mirada.search.queries import Query, QueryKind
from mirada.search.related import Aspect, find_related
from testing.scopes import seen_by
from testing.vector_library import Library, clustered_vectors, no_progress
from tests.adapters.prompt_library import add_prompts

ROWS = 30_000
PICTURE_DIMENSION, PROMPT_DIMENSION = 128, 64
PROMPTS = 5_000
K = 10
QUERIES = 15
IMAGES: Any = Image.__table__


class Gallery:
    """One owner's 30,000 private images with prompts, of which others are then given shares."""

    def __init__(self, folder: object, database: Database) -> None:
        self.database = database
        self.library = library = Library.create(database, PICTURE_DIMENSION, owners=5)
        self.pictures, cluster_of = clustered_vectors(ROWS, PICTURE_DIMENSION)
        for start in range(0, ROWS, 5_000):
            library.add(self.pictures[start : start + 5_000], public=False)
        chance = np.random.default_rng(11)
        centres = chance.standard_normal((500, PROMPT_DIMENSION))
        prompts = chance.standard_normal((PROMPTS, PROMPT_DIMENSION))
        prompts += 0.7 * centres[np.arange(PROMPTS) % 500]
        self.prompts: Matrix = l2_normalise(prompts)
        # Pictures of a cluster have prompts about the same, but for a third, and a tenth has none.
        own = cluster_of + 500 * chance.integers(0, PROMPTS // 500, ROWS)
        self.prompt_of = np.where(
            chance.random(ROWS) < 0.33, chance.integers(0, PROMPTS, ROWS), own
        )
        self.prompt_of[chance.random(ROWS) < 0.1] = -1
        self.space_id = add_prompts(library, self.prompts, self.prompt_of)
        self.by_picture = FaissIndex(
            library.source,
            folder / "pictures",  # type: ignore[operator]
            BuildSettings(recall_target=0.98),
        )
        self.by_prompt = FaissIndex(
            DatabaseVectors(database, self.space_id),
            folder / "prompts",  # type: ignore[operator]
            BuildSettings(recall_target=0.98),
        )
        for index in (self.by_picture, self.by_prompt):
            index.rebuild(1, no_progress)
            index.refresh()
        with database.reading() as session:
            rows = session.execute(select(Image.id).order_by(Image.id)).scalars()
            self.image_ids = np.array(list(rows))
        self.owners = np.full(ROWS, library.owners[0])

    def give(self, rows: np.ndarray, owner_id: int) -> None:
        """Make somebody else the owner of some images, as the product would."""
        with self.database.transaction() as session:
            session.connection().execute(
                update(IMAGES)
                .where(IMAGES.c.id == bindparam("image"))
                .values(owner_id=bindparam("owner")),
                [{"image": i, "owner": owner_id} for i in self.image_ids[rows].tolist()],
            )
            for start in range(0, rows.size, 500):
                found = session.execute(
                    select(Image.content_id, Image.prompt_text_id).where(
                        Image.id.in_(self.image_ids[rows[start : start + 500]].tolist())
                    )
                ).all()
                changes.touch(session, [row.content_id for row in found])
                changes.touch_texts(session, [row.prompt_text_id for row in found])
        self.owners[rows] = owner_id
        self.by_picture.refresh()
        self.by_prompt.refresh()

    def aspect(self, kind: SpaceKind, vector: Vector) -> Aspect:
        """Return one side of the question."""
        is_picture = kind is SpaceKind.IMAGE
        space_id = self.library.space_id if is_picture else self.space_id
        space = EmbeddingSpace(kind, "test", "test", "test", len(vector))
        index = self.by_picture if is_picture else self.by_prompt
        return Aspect(Query(vector, space_id, space, QueryKind.IMAGE_ID), index)

    def truth(self, row: int, blend: float, neutral: float) -> list[int]:
        """Return the best K images of the row's owner by numpy alone."""
        mine = np.flatnonzero(self.owners == self.owners[row])
        pictures = self.pictures[mine].astype(np.float64) @ self.pictures[row].astype(np.float64)
        has_prompt = self.prompt_of[mine] >= 0
        prompts = self.prompts[self.prompt_of[mine]].astype(np.float64) @ self.prompts[
            self.prompt_of[row]
        ].astype(np.float64)
        scores = (1 - blend) * pictures + blend * np.where(has_prompt, prompts, neutral)
        best = mine[np.lexsort((mine, -scores))]
        return self.image_ids[best[best != row][:K]].tolist()  # type: ignore[no-any-return]

    def recall(self, owner_id: int, blend: float) -> float:
        """Return the share of the true ten that are found, and fail where fewer come back."""
        mine = np.flatnonzero((self.owners == owner_id) & (self.prompt_of >= 0))
        rows = np.random.default_rng(5).choice(mine, min(QUERIES, mine.size), replace=False)
        found = 0
        with self.database.reading() as session:
            for row in rows.tolist():
                picture = self.aspect(SpaceKind.IMAGE, self.pictures[row])
                prompt = self.aspect(SpaceKind.PROMPT, self.prompts[self.prompt_of[row]])
                results = find_related(
                    session,
                    picture,
                    prompt,
                    scope=seen_by(owner_id, left_out_ids=frozenset({int(self.image_ids[row])})),
                    k=K,
                    blend=blend,
                )
                assert len(results) == K
                ids = {image_id for image_id, _ in results}
                truth = self.truth(row, blend, self._neutral(prompt, owner_id))
                found += len(ids.intersection(truth))
        return found / (K * rows.size)

    @staticmethod
    def _neutral(prompt: Aspect, owner_id: int) -> float:
        answer = prompt.index.search(prompt.query.vector.reshape(1, -1), 1, seen_by(owner_id))[0]
        return float(np.median(answer.background))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("related")
    database = Database(make_engine(make_url(f"sqlite:///{folder / 'mirada.db'}"), 4))
    upgrade_to_head(database.engine)
    gallery = Gallery(folder, database)
    yield gallery
    gallery.by_picture.close()
    gallery.by_prompt.close()
    database.close()


@pytest.mark.parametrize("blend", [0.0, 0.5, 1.0])
def test_an_owner_of_everything_finds_the_ten_most_related(gallery: Gallery, blend: float) -> None:
    assert gallery.recall(gallery.library.owners[0], blend) == 1.0


def test_owners_of_shares_find_the_ten_most_related_of_their_own(gallery: Gallery) -> None:
    chance = np.random.default_rng(3)
    shuffled = chance.permutation(ROWS)
    taken = 0
    for owner_id, share in zip(gallery.library.owners[1:], (0.001, 0.01, 0.1), strict=False):
        rows = shuffled[taken : taken + int(share * ROWS)]
        taken += rows.size
        gallery.give(rows, owner_id)
    for owner_id in gallery.library.owners[1:4]:
        for blend in (0.0, 0.5):
            assert gallery.recall(owner_id, blend) == 1.0, (owner_id, blend)


def test_an_owner_of_few_gets_them_all(gallery: Gallery) -> None:
    owner_id = gallery.library.owners[4]
    gallery.give(np.array([10, 20_000, 29_000]), owner_id)
    row = 20_000
    with gallery.database.reading() as session:
        results = find_related(
            session,
            gallery.aspect(SpaceKind.IMAGE, gallery.pictures[row]),
            None,
            scope=seen_by(owner_id, left_out_ids=frozenset({int(gallery.image_ids[row])})),
            k=K,
        )
    assert {image_id for image_id, _ in results} == set(gallery.image_ids[[10, 29_000]].tolist())
