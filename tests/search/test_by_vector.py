"""Search over a real database and index: who may see what, and the promise on the count."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sqlalchemy import update

from mirada.db import changes
from mirada.db.models import Content, Embedding, Image, User
from mirada.db.session import Database
from mirada.db.spaces import pin_space
from mirada.db.vector_rows import DatabaseVectors
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, l2_normalise, to_blob
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.images import ImageStatus
from mirada.pictures.images import delete_image
from mirada.pictures.shown_images import _some_shown
from mirada.search.by_vector import find
from mirada.search.found import MAX_K
from mirada.search.queries import vector_of_image
from mirada.search.safety import Safety
from testing.exact_index import ExactIndex
from testing.scopes import query_of, seen_by

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "test", "v1", "none", 8)
ME, OTHER = 1, 2


class Library:
    """Pictures whose vectors lie on an arc: picture n is n degrees away from the first."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            self.space_id = pin_space(session, SPACE).id
            session.add_all([User(id=ME, username="me"), User(id=OTHER, username="other")])
        self.index = ExactIndex(DatabaseVectors(database, self.space_id))
        self._numbers = itertools.count(1)

    def content(self, degrees: float) -> int:
        number = next(self._numbers)
        angle = np.radians(degrees)
        blob, crc32 = to_blob(l2_normalise([np.cos(angle), np.sin(angle), 0, 0, 0, 0, 0, 0]))
        with self.database.transaction() as session:
            content = Content(
                sha256=f"{number:064x}",
                storage_key=f"aa/{number}.png",
                byte_size=1,
                format="PNG",
                width=1,
                height=1,
                is_animated=False,
            )
            session.add(content)
            session.flush()
            session.add(
                Embedding(space_id=self.space_id, content_id=content.id, vector=blob, crc32=crc32)
            )
            changes.touch(session, [content.id])
        return content.id

    def image(self, content_id: int, owner_id: int = ME, *, is_public: bool = False) -> int:
        with self.database.transaction() as session:
            image = Image(
                owner_id=owner_id,
                content_id=content_id,
                is_public=is_public,
                status=ImageStatus.READY,
            )
            session.add(image)
            changes.touch(session, [content_id])
        return image.id

    def found(self, viewer: int | Scope | None, k: int = 10, **options: object) -> list[int]:
        scope = viewer if isinstance(viewer, Scope) else seen_by(viewer)
        query = l2_normalise([1, 0, 0, 0, 0, 0, 0, 0])
        with self.database.reading() as session:
            found = find(session, self.index, query_of(query), scope, k=k, **options)  # type: ignore[arg-type]
        return [result.image.id for result in found.results]


@pytest.fixture
def library(database: Database) -> Library:
    return Library(database)


def test_results_are_the_viewer_s_own_and_public_ones_nearest_first(library: Library) -> None:
    mine = library.image(library.content(20))
    public = library.image(library.content(10), OTHER, is_public=True)
    library.image(library.content(0), OTHER)
    library.index.refresh()

    assert library.found(ME) == [public, mine]
    assert library.found(None) == [public]


def test_every_image_of_a_shared_content_that_the_viewer_may_see_is_a_result(
    library: Library,
) -> None:
    content_id = library.content(0)
    ids = [
        library.image(content_id),
        library.image(content_id),
        library.image(content_id, OTHER, is_public=True),
    ]
    library.image(content_id, OTHER)
    library.index.refresh()

    assert library.found(ME) == ids


def test_a_deleted_image_is_gone_before_the_index_knows(library: Library) -> None:
    near, far = library.image(library.content(5)), library.image(library.content(30))
    library.index.refresh()

    with library.database.transaction() as session:
        delete_image(session, near, ME, expected_version=None)

    assert library.found(ME, k=1) == [far]


def test_an_image_made_private_is_gone_before_the_index_knows(library: Library) -> None:
    public = library.image(library.content(5), OTHER, is_public=True)
    library.index.refresh()
    assert library.found(ME) == [public]

    with library.database.transaction() as session:
        session.execute(update(Image).where(Image.id == public).values(is_public=False))

    assert library.found(ME) == []


def test_what_the_database_withholds_is_made_up_for(library: Library) -> None:
    """Ten nearer pictures were just deleted; the index still proposes them."""
    near = [library.image(library.content(n)) for n in range(10)]
    far = [library.image(library.content(40 + n)) for n in range(5)]
    library.index.refresh()
    for image_id in near:
        with library.database.transaction() as session:
            delete_image(session, image_id, ME, expected_version=None)

    assert library.found(ME, k=3) == far[:3]


def test_nothing_is_never_said_by_an_index_that_has_not_heard_yet(library: Library) -> None:
    library.index.refresh()
    assert library.found(ME) == []

    image_id = library.image(library.content(0))

    assert library.found(ME) == [image_id]


def test_fewer_than_k_come_with_the_reason(library: Library) -> None:
    query = l2_normalise([1, 0, 0, 0, 0, 0, 0, 0])
    library.index.refresh()
    with library.database.reading() as session:
        empty = find(session, library.index, query_of(query), seen_by(ME), k=3)
    library.image(library.content(10))
    library.image(library.content(80))
    library.index.refresh()
    with library.database.reading() as session:
        all_there_are = find(session, library.index, query_of(query), seen_by(ME), k=3)
        over = find(session, library.index, query_of(query), seen_by(ME), k=2, threshold=0.9)
        none = find(session, library.index, query_of(query), seen_by(ME), k=2, threshold=0.99)
        enough = find(session, library.index, query_of(query), seen_by(ME), k=2)

    assert "nothing to search: no embedded image" in str(empty.reason)
    assert "all there are" in str(all_there_are.reason)
    assert len(over.results) == 1
    assert over.reason == "Only 1 reaches the similarity threshold of 0.9."
    assert none.reason == "No result reaches the similarity threshold of 0.99."
    assert enough.reason is None


def test_a_picture_uploaded_many_times_leaves_room_for_the_others_within_k(
    library: Library,
) -> None:
    content_id = library.content(0)
    copies = [library.image(content_id) for _ in range(30)]
    other = library.image(library.content(10))
    library.index.refresh()

    assert library.found(ME, k=3) == copies[:3]
    assert library.found(ME, k=31) == [*copies, other]
    assert library.found(seen_by(ME, left_out_ids=frozenset(copies[:29])), k=2) == [
        copies[29],
        other,
    ]


def test_one_s_own_upload_of_an_unsafe_picture_is_found_behind_many_of_others(
    library: Library,
) -> None:
    """With the first axis unsafe and the second safe; two of the picture's images are read for k = 2."""
    axes = np.eye(8, dtype=np.float32)
    safety = Safety(axes[:1], axes[1:2], 20.0, 0.5, library.space_id)
    unsafe, safe = library.content(0), library.content(60)
    others = [library.image(unsafe, OTHER, is_public=True) for _ in range(9)]
    mine, beside = library.image(unsafe), library.image(safe, OTHER, is_public=True)
    library.index.refresh()

    assert library.found(ME, k=3) == others[:3]
    assert library.found(ME, k=2, safety=safety) == [mine, beside]
    assert library.found(OTHER, k=3, safety=safety) == others[:3]
    assert library.found(None, k=2, safety=safety) == [beside]


def test_the_image_searched_with_is_excluded_but_its_copies_are_not(library: Library) -> None:
    content_id = library.content(0)
    query, copy = library.image(content_id), library.image(content_id)
    other = library.image(library.content(10))
    library.index.refresh()

    assert library.found(seen_by(ME).without(query), k=2) == [copy, other]


def test_owners_narrow_the_search(library: Library) -> None:
    library.image(library.content(0))
    theirs = library.image(library.content(10), OTHER, is_public=True)
    library.index.refresh()

    assert library.found(seen_by(ME, owner_ids=frozenset([OTHER]))) == [theirs]


@pytest.mark.parametrize("k", [0, -1, MAX_K + 1, 10**9])
def test_a_k_out_of_range_is_refused(library: Library, k: int) -> None:
    with pytest.raises(InvalidInput, match="between 1 and"):
        library.found(ME, k=k)


def test_the_vector_of_an_image_is_its_viewer_s_only(library: Library) -> None:
    image_id = library.image(library.content(60), OTHER)
    pending = library.image(library.content(1), OTHER)
    with library.database.transaction() as session:
        session.execute(update(Image).where(Image.id == pending).values(status="PENDING"))
        session.execute(update(Embedding).values(is_deleted=Embedding.content_id == 2))

    def vector(image_id: int, viewer_id: int | None) -> np.ndarray:
        with library.database.reading() as session:
            return vector_of_image(
                session,
                image_id,
                seen_by(viewer_id).audience,
                space_id=library.space_id,
                space=SPACE,
            )

    assert vector(image_id, OTHER)[0] == pytest.approx(0.5, abs=1e-6)
    for viewer_id in (ME, None):
        with pytest.raises(NotFound):
            vector(image_id, viewer_id)
    with pytest.raises(Conflict, match="PENDING"):
        vector(pending, OTHER)


def test_searches_by_other_images_are_one_statement() -> None:
    """Making it takes as long as reading ten images, and each search leaves another image out."""
    asked_with_one, with_another = (seen_by(ME, left_out_ids=frozenset({each})) for each in (1, 2))
    assert _some_shown(asked_with_one) is _some_shown(with_another)
    assert _some_shown(asked_with_one) is _some_shown(seen_by(ME))
    assert _some_shown(asked_with_one) is not _some_shown(seen_by(ME + 1))
