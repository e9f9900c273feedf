"""Likes: once per person, by who may see the image, counted in its row."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from mirada.db.memory_models import Like
from mirada.db.session import Database
from mirada.kernel.audience import Audience
from mirada.kernel.errors import NotFound
from mirada.pictures import likes
from testing.album import Album


@pytest.fixture
def album(database: Database) -> Album:
    """Three people and no image."""
    return Album(database)


def test_a_like_counts_once_and_is_taken_back_once(album: Album) -> None:
    image = album.image(album.ana)
    assert [album.like(image, album.bea), album.like(image, album.bea)] == [1, 1]
    assert album.like(image, album.ana) == 2
    assert album.counts(image) == (2, 0)
    assert [album.unlike(image, album.bea), album.unlike(image, album.bea)] == [1, 1]
    assert album.unlike(image, album.cleo) == 1
    assert album.counts(image) == (1, 0)
    assert album.like(image, album.bea) == 2
    assert album.counts(image) == (2, 0)


def test_a_like_and_its_taking_back_fit_into_one_transaction(album: Album) -> None:
    image = album.image(album.ana)
    with album.database.transaction() as session:
        counts = [
            turn(session, image, album.bea)
            for turn in (likes.like, likes.unlike, likes.like, likes.like)
        ]
    assert counts == [1, 0, 1, 1]
    assert album.counts(image) == (1, 0)


def test_what_is_undone_is_not_counted(album: Album) -> None:
    image = album.image(album.ana)

    def like_one_that_is_there_and_one_that_is_not() -> None:
        with album.database.transaction() as session:
            likes.like(session, image, album.bea)
            likes.like(session, 99, album.bea)

    with pytest.raises(NotFound):
        like_one_that_is_there_and_one_that_is_not()
    assert album.counts(image) == (0, 0)


def test_likes_and_comments_leave_version_and_time_of_the_image_alone(album: Album) -> None:
    image = album.image(album.ana)
    before = album.row(image)
    album.like(image, album.bea)
    comment = album.write(image, album.bea)
    album.remove(image, comment, album.bea)
    album.unlike(image, album.bea)
    album.like(image, album.cleo)
    after = album.row(image)
    assert (after.version, after.updated_at) == (before.version, before.updated_at)
    assert (after.like_count, after.comment_count) == (1, 0)


def test_changing_an_image_leaves_its_counts_alone(album: Album) -> None:
    image = album.image(album.ana)
    album.like(image, album.bea)
    album.write(image, album.bea)
    album.change(image, album.ana, caption="new")
    assert album.counts(image) == (1, 1)
    assert album.row(image).version == 2


def test_what_one_may_not_see_one_cannot_like(album: Album) -> None:
    image = album.image(album.ana, is_public=False)
    said = []
    for absent in (image, 99):
        for act in (album.like, album.unlike):
            with pytest.raises(NotFound) as refused:
                act(absent, album.bea)
            said.append(refused.value.detail.replace(str(absent), "ID"))
        for viewer in (album.bea, None):
            with album.database.reading() as session, pytest.raises(NotFound) as refused:
                likes.list_likers(session, absent, Audience(viewer))
            said.append(refused.value.detail.replace(str(absent), "ID"))
    assert len(set(said)) == 1
    assert album.counts(image) == (0, 0)
    assert album.like(image, album.ana) == 1


@pytest.mark.parametrize("image_id", [0, -1, 2**63, 10**30])
def test_what_is_no_id_is_an_absent_image(album: Album, image_id: int) -> None:
    for act in (album.like, album.unlike):
        with pytest.raises(NotFound):
            act(image_id, album.ana)


def test_a_like_of_an_image_made_private_stays_counted(album: Album) -> None:
    image = album.image(album.ana)
    album.like(image, album.bea)
    album.change(image, album.ana, is_public=False)
    assert album.counts(image) == (1, 0)
    with pytest.raises(NotFound):
        album.unlike(image, album.bea)
    with album.database.reading() as session:
        (liker,) = likes.list_likers(session, image, Audience(album.ana)).likers
    assert liker.username == "bea"
    album.change(image, album.ana, is_public=True)
    assert album.unlike(image, album.bea) == 0


def test_who_likes_an_image_is_listed_page_by_page(album: Album) -> None:
    image, other = album.image(album.ana), album.image(album.ana, "b")
    for person in (album.cleo, album.ana, album.bea):
        album.like(image, person)
    album.like(other, album.bea)
    with album.database.reading() as session:
        first = likes.list_likers(session, image, Audience(None), limit=2)
        second = likes.list_likers(
            session, image, Audience(None), cursor=first.likers[-1].user_id, limit=2
        )
        beyond = likes.list_likers(session, image, Audience(None), cursor=10**18)
    named = [liker.username for liker in first.likers + second.likers]
    assert named == ["ana", "bea", "cleo"]
    assert first.like_count == second.like_count == beyond.like_count == 3
    assert beyond.likers == []
    assert first.likers[0].since.tzinfo is not None


def test_what_one_likes_among_many_images_is_told(album: Album) -> None:
    ids = [album.image(album.ana, digit) for digit in "abcd"]
    album.like(ids[0], album.bea)
    album.like(ids[2], album.bea)
    album.like(ids[1], album.cleo)
    with album.database.reading() as session:
        assert likes.liked_among(session, album.bea, [*ids[:3], *range(1000, 2000)]) == {
            ids[0],
            ids[2],
        }
        assert likes.liked_among(session, album.cleo, ids[2:]) == frozenset()
        assert likes.liked_among(session, album.bea, []) == frozenset()
        assert likes.liked_among(session, None, ids) == frozenset()


def test_likes_go_with_their_image(album: Album) -> None:
    image = album.image(album.ana)
    album.like(image, album.bea)
    album.delete(image, album.ana)
    with album.database.reading() as session:
        assert session.execute(select(func.count()).select_from(Like)).scalar_one() == 0
