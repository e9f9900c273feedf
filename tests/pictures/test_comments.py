"""Comments: by who may see the image, kept as written, deleted by three, counted in its row."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from mirada.db.memory_models import Comment
from mirada.db.session import Database
from mirada.feedback import verdicts
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.pictures import comments
from testing.album import Album

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"


@pytest.fixture
def album(database: Database) -> Album:
    """Three people and no image."""
    return Album(database)


def texts(album: Album, image_id: int, viewer_id: int | None, **options: int) -> list[str]:
    with album.database.reading() as session:
        found = comments.list_comments(session, image_id, Audience(viewer_id), **options).comments
        return [comment.body for comment in found]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        f"{FAMILY} ❤\ufe0f",
        "a\u202eb\u202c שלום",
        "one\ntwo",
        "😀" * 2000,
    ],
)
def test_a_comment_is_read_as_it_was_written(album: Album, text: str) -> None:
    image = album.image(album.ana)
    written = album.write(image, album.bea, text)
    with album.database.reading() as session:
        comment = comments.get_comment(session, image, written, Audience(None))
    assert (comment.body, comment.user.username) == (text, "bea")
    assert texts(album, image, album.cleo) == [text]
    assert album.counts(image) == (0, 1)


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "x" * 2001, "a\x00", "\ud83d", None, 7])
def test_what_cannot_be_kept_is_refused_and_not_counted(album: Album, text: object) -> None:
    image = album.image(album.ana)
    with pytest.raises(InvalidInput):
        album.write(image, album.bea, text)
    assert album.counts(image) == (0, 0)


def test_what_one_may_not_see_one_can_neither_comment_nor_read(album: Album) -> None:
    image = album.image(album.ana, is_public=False)
    comment = album.write(image, album.ana)
    said = []
    for absent in (image, 99):
        with album.database.transaction() as session:
            for act in (
                lambda session, absent: comments.write_comment(session, absent, album.bea, "x"),
                lambda session, absent: comments.list_comments(session, absent, Audience(None)),
                lambda session, absent: comments.list_comments(
                    session, absent, Audience(album.bea)
                ),
                lambda session, absent: comments.get_comment(
                    session, absent, comment, Audience(album.bea)
                ),
                lambda session, absent: comments.delete_comment(
                    session, absent, comment, album.bea, is_administrator=True
                ),
            ):
                with pytest.raises(NotFound) as refused:
                    act(session, absent)
                said.append(refused.value.detail.replace(str(absent), "ID"))
    assert len(said) == 10
    assert len(set(said)) == 1
    assert album.counts(image) == (0, 1)


def test_comments_are_listed_oldest_first_page_by_page(album: Album) -> None:
    image, other = album.image(album.ana), album.image(album.ana, "b")
    ids = [album.write(image, album.bea, f"{n}") for n in range(3)]
    album.write(other, album.bea, "elsewhere")
    assert texts(album, image, None, limit=2) == ["0", "1"]
    assert texts(album, image, None, limit=2, cursor=ids[1]) == ["2"]
    assert texts(album, image, None, cursor=10**18) == []
    with album.database.reading() as session:
        assert comments.list_comments(session, image, Audience(None), limit=1).comment_count == 3


def test_a_comment_is_deleted_by_its_author_the_owner_or_an_administrator(album: Album) -> None:
    image = album.image(album.ana)
    first, second, third = (album.write(image, album.bea, f"{n}") for n in range(3))
    with pytest.raises(NotFound):
        album.remove(image, first, album.cleo)
    assert album.counts(image) == (0, 3)
    album.remove(image, first, album.bea)
    album.remove(image, second, album.ana)
    album.remove(image, third, album.cleo, is_administrator=True)
    assert album.counts(image) == (0, 0)
    with pytest.raises(NotFound):
        album.remove(image, first, album.bea)
    assert album.counts(image) == (0, 0)


def test_a_comment_is_found_under_its_own_image_only(album: Album) -> None:
    image, other = album.image(album.ana), album.image(album.ana, "b")
    comment = album.write(image, album.ana)
    said = set()
    for image_id, comment_id, user_id in (
        (other, comment, album.ana),
        (image, comment + 1, album.ana),
        (image, comment, album.cleo),
    ):
        with pytest.raises(NotFound) as refused:
            album.remove(image_id, comment_id, user_id)
        named = f"comment {comment_id} under image {image_id}"
        said.add(refused.value.detail.replace(named, "THIS"))
    assert len(said) == 1
    for absent in (0, -1, 2**63, 10**30):
        with pytest.raises(NotFound):
            album.remove(image, absent, album.ana)
        with album.database.reading() as session, pytest.raises(NotFound):
            comments.get_comment(session, image, absent, Audience(album.ana))
    with album.database.reading() as session, pytest.raises(NotFound):
        comments.get_comment(session, other, comment, Audience(album.ana))
    assert (album.counts(image), album.counts(other)) == ((0, 1), (0, 0))


def test_an_idempotency_key_writes_once(album: Album) -> None:
    image, other = album.image(album.ana), album.image(album.ana, "b")
    first = album.write(image, album.bea, "hello", idempotency_key="k")
    assert album.write(image, album.bea, " hello ", idempotency_key="k") == first
    assert album.write(image, album.cleo, "hello", idempotency_key="k") != first
    assert album.counts(image) == (0, 2)
    for image_id, text in ((image, "other"), (other, "hello")):
        with pytest.raises(InvalidInput, match="another request"):
            album.write(image_id, album.bea, text, idempotency_key="k")
    for key in ("", "a b", "x" * 192):
        with pytest.raises(InvalidInput):
            album.write(image, album.bea, "hello", idempotency_key=key)
    album.remove(image, first, album.bea)
    with pytest.raises(Conflict):
        album.write(image, album.bea, "hello", idempotency_key="k")
    assert (album.counts(image), album.counts(other)) == ((0, 1), (0, 0))


def test_a_key_that_made_something_else_is_not_taken_for_a_comment(album: Album) -> None:
    image = album.image(album.ana)
    with album.database.transaction() as session:
        verdicts.give_feedback(
            session,
            user_id=album.bea,
            sha256="a" * 64,
            theme="cats",
            accepted=True,
            idempotency_key="k",
        )
    with pytest.raises(InvalidInput, match="another request"):
        album.write(image, album.bea, "hello", idempotency_key="k")
    assert album.counts(image) == (0, 0)


def test_comments_go_with_their_image(album: Album) -> None:
    image = album.image(album.ana)
    album.write(image, album.bea)
    album.delete(image, album.ana)
    with album.database.reading() as session:
        assert session.execute(select(func.count()).select_from(Comment)).scalar_one() == 0
