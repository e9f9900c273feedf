"""The vectors that pass a filter: remembered, and never out of date where more may pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mirada.classify.remembered import KnownPicture, Remark, remember_known
from mirada.db import passing
from mirada.db.classifier_models import ClusterKind
from mirada.db.models import Content, Embedding, Image, Installation, utc_now
from mirada.db.passing import PassingVectors
from mirada.db.session import Database
from mirada.db.vector_tables import PICTURE_VECTORS
from mirada.feedback.verdicts import delete_feedback, give_feedback
from mirada.groups import runs
from mirada.groups.grouping import GroupPage
from mirada.kernel import model_view
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.filters import ImageFilter, Judged
from mirada.kernel.images import ImageFormat
from mirada.kernel.model_view import ModelView
from mirada.pictures.images import change_image, delete_image
from mirada.pictures.likes import like, unlike
from testing.statements import statements_of
from testing.vector_library import Library, random_vectors


@dataclass
class Passing:
    """A library of ten vectors, and what passes there."""

    library: Library
    ids: list[int]

    @classmethod
    def of(cls, database: Database) -> Passing:
        library = Library.create(database, owners=2)
        with database.transaction() as session:
            session.get_one(Installation, 1).image_space_id = library.space_id
        return cls(library, library.add(random_vectors(10), public=[True] * 5 + [False] * 5))

    @property
    def me(self) -> int:
        return self.library.owners[0]

    def vectors(self, **limits: Any) -> PassingVectors:
        return PassingVectors(
            self.library.database, PICTURE_VECTORS, self.library.space_id, **limits
        )

    def scope(self, viewer_id: int | None = None, **asked: Any) -> Scope:
        return Scope(Audience(viewer_id), ImageFilter(**asked))

    def image_of(self, session: Session, embedding_id: int) -> Image:
        query = select(Image).join(Embedding, Embedding.content_id == Image.content_id)
        return session.execute(query.where(Embedding.id == embedding_id)).scalars().first()  # type: ignore[return-value]


@pytest.fixture
def world(database: Database) -> Passing:
    return Passing.of(database)


def count_statements(database: Database, work: Callable[[], object]) -> int:
    with statements_of(database.engine) as told:
        work()
    return len(told)


def test_what_passes_is_asked_once_until_something_changes(world: Passing) -> None:
    vectors, scope = world.vectors(), world.scope(world.me, is_public=True)
    assert vectors.ids(scope).tolist() == world.ids[:5]
    # The change counter alone.
    assert count_statements(world.library.database, lambda: vectors.ids(scope)) == 1
    world.library.publish(world.ids[7], True)
    assert vectors.ids(scope).tolist() == [*world.ids[:5], world.ids[7]]
    world.library.publish(world.ids[0], False)
    assert vectors.ids(scope).tolist() == [*world.ids[1:5], world.ids[7]]


def test_viewers_and_filters_are_remembered_apart(world: Passing) -> None:
    vectors = world.vectors()
    for _ in range(2):
        assert vectors.ids(world.scope(is_public=False)).size == 0
        assert vectors.ids(world.scope(world.me, is_public=False)).tolist() == world.ids[5:]
        assert vectors.ids(world.scope(world.me, is_public=True)).tolist() == world.ids[:5]
        narrowed = Scope(Audience(world.me).own_alone(), ImageFilter(is_public=True))
        assert vectors.ids(narrowed).tolist() == world.ids[:5]


def test_a_vector_of_several_images_comes_once_and_one_left_out_counts(world: Passing) -> None:
    world.library.share(world.ids[2], world.library.owners[1], is_public=True)
    with world.library.database.reading() as session:
        image_id = world.image_of(session, world.ids[0]).id
    scope = world.scope(world.me, is_public=True).without(image_id)
    assert world.vectors().ids(scope).tolist() == world.ids[:5]


def test_new_and_deleted_vectors_are_followed_by_their_numbers(
    world: Passing, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, scope = world.vectors(), world.scope(world.me, is_animated=False)
    assert vectors.ids(scope).tolist() == world.ids
    more = world.library.add(random_vectors(3, seed=5))
    world.library.delete([world.ids[3]])
    expected = sorted({*world.ids, *more} - {world.ids[3]})
    assert count_statements(world.library.database, lambda: vectors.ids(scope)) == 3
    assert vectors.ids(scope).tolist() == expected
    # Of very many changes it is asked anew.
    monkeypatch.setattr(passing, "MOST_CHANGED", 1)
    more = world.library.add(random_vectors(3, seed=6))
    assert vectors.ids(scope).tolist() == sorted([*expected, *more])


def test_memory_is_bounded_and_lets_go_of_what_was_used_least_lately(world: Passing) -> None:
    vectors = world.vectors(max_bytes=2 * (passing.ENTRY_BYTES + 80))
    first, second = (
        world.scope(world.me, is_animated=False),
        world.scope(world.me, has_prompt=False),
    )
    for scope in (first, second, first):
        vectors.ids(scope)
    assert count_statements(world.library.database, lambda: vectors.ids(first)) == 1
    vectors.ids(world.scope(world.me, is_liked=False))
    assert count_statements(world.library.database, lambda: vectors.ids(second)) == 2
    assert len(vectors._known) <= 2


def test_what_is_remembered_cannot_be_written(world: Passing) -> None:
    ids = world.vectors().ids(world.scope(world.me, is_animated=False))
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 7


# Every change after which more may pass, done as the product does it.


def _like(session: Session, world: Passing, image: Image) -> None:
    like(session, image.id, world.me)


def _unlike(session: Session, world: Passing, image: Image) -> None:
    unlike(session, image.id, world.me)


def _accept(session: Session, world: Passing, image: Image) -> None:
    sha256 = session.get_one(Content, image.content_id).sha256
    give_feedback(session, user_id=world.me, sha256=sha256, theme="Cats", accepted=True)


def _reject(session: Session, world: Passing, image: Image) -> None:
    sha256 = session.get_one(Content, image.content_id).sha256
    give_feedback(session, user_id=world.me, sha256=sha256, theme="Cats", accepted=False)


def _classify(session: Session, world: Passing, image: Image) -> None:
    content = session.get_one(Content, image.content_id)
    picture = KnownPicture(content.id, content.sha256, ImageFormat.PNG, np.zeros(16, np.float32))
    result = {"category": "cat", "none_of_these": False}
    remember_known(
        session, picture, owner_id=world.me, remark=Remark(result=result), sent_bytes=False
    )


def _name(session: Session, world: Passing, image: Image) -> None:
    change_image(
        session, image.id, world.me, expected_version=None, changes={"filename": "Cat.png"}
    )


def _write_prompt(session: Session, world: Passing, image: Image) -> None:
    changes = {"prompt": "film still"}
    change_image(session, image.id, world.me, expected_version=None, changes=changes)


def _group(session: Session, world: Passing, image: Image) -> None:
    run_id = runs.begin(session, world.library.space_id, ClusterKind.THEMES, {"k": None}, 1)
    embedding_id = session.execute(
        select(Embedding.id).where(Embedding.content_id == image.content_id)
    ).scalar_one()
    zero = np.zeros(1, np.int64)
    runs.store(session, run_id, GroupPage(np.array([embedding_id]), zero, np.ones(1)), {})
    runs.finish(session, run_id)


def _take_private(session: Session, world: Passing, image: Image) -> None:
    change_image(session, image.id, world.me, expected_version=None, changes={"is_public": False})


CHANGES: dict[str, tuple[dict[str, Any], Callable[[Session, Passing, Image], None] | None, Any]] = {
    "a like": ({"is_liked": True}, None, _like),
    "a like taken back": ({"is_liked": False}, _like, _unlike),
    "a verdict": ({"theme": "cats"}, None, _accept),
    "a verdict that is replaced": ({"theme": "cats"}, _reject, _accept),
    "a classification": ({"labels": frozenset(["cat"])}, None, _classify),
    "a file's name": ({"filename": "cat"}, None, _name),
    "a prompt": ({"has_prompt": True}, None, _write_prompt),
    "groups": ({"group_id": 1}, None, _group),
    "visibility": ({"is_public": False}, None, _take_private),
}


@pytest.mark.parametrize("what", CHANGES)
def test_more_passes_at_once_after(world: Passing, what: str) -> None:
    asked, before, change = CHANGES[what]
    database, vectors = world.library.database, world.vectors()
    scope, it = world.scope(world.me, **asked), world.ids[1]
    if before is not None:
        with database.transaction() as session:
            before(session, world, world.image_of(session, it))
    assert it not in vectors.ids(scope)
    with database.transaction() as session:
        change(session, world, world.image_of(session, it))
    assert it in vectors.ids(scope)
    assert vectors.ids(scope).tolist() == world.vectors().ids(scope).tolist()


def test_a_verdict_taken_back_and_a_deletion_leave_what_is_read_again(world: Passing) -> None:
    """Too much remembered is no wrong answer: images are read with the filter once more."""
    database, scope = world.library.database, world.scope(world.me, theme="cats")
    with database.transaction() as session:
        image = world.image_of(session, world.ids[1])
        _accept(session, world, image)
    vectors = world.vectors()
    assert vectors.ids(scope).tolist() == [world.ids[1]]
    with database.transaction() as session:
        delete_feedback(session, 1, world.me)
    with database.transaction() as session:
        delete_image(session, image.id, world.me, expected_version=None)
    assert vectors.ids(scope).size == 0


def test_scores_of_one_model_are_not_taken_for_those_of_another(world: Passing) -> None:
    vectors = world.vectors()
    scope = world.scope(world.me, nsfw=Judged(is_unsafe=False, threshold=0.5))
    with world.library.database.transaction() as session:
        session.execute(
            update(Content).values(nsfw_score=0.1, judged_at=utc_now(), judged_space_id=1)
        )
    # Nothing changes between these, as between a flip and the end of what began before it.
    for space_id, passing_ids in ((1, world.ids), (2, []), (1, world.ids)):
        with model_view.working_in(ModelView({SpaceKind.IMAGE: space_id})):
            assert vectors.ids(scope).tolist() == passing_ids


def test_another_database_s_numbers_are_not_trusted(world: Passing) -> None:
    vectors, scope = world.vectors(), world.scope(world.me, is_public=True)
    vectors.ids(scope)
    with world.library.database.transaction() as session:
        # A backup that was restored: the counter is lower, and another image is public.
        session.execute(update(Image).where(Image.is_public.is_(True)).values(is_public=False))
    vectors._known[scope, None] = passing._Known(vectors._known[scope, None].ids, 10**9)
    assert vectors.ids(scope).size == 0
