"""Reading, listing, changing and deleting images: who sees what, and what is left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from mirada.db import changes, spaces
from mirada.db.models import Content, Embedding, Image, User
from mirada.db.session import Database
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import InvalidInput, NotFound, PreconditionFailed
from mirada.kernel.images import ImageFormat, PictureFacts
from mirada.pictures import image_lists, images, register
from mirada.pictures.image_lists import Place
from testing.registering import register_image

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "Toy", "v1", "none", 2)
AddImage = Callable[..., Image]


@pytest.fixture
def people(database: Database) -> tuple[int, int]:
    """The ids of two users."""
    with database.transaction() as session:
        ana, bea = User(username="ana"), User(username="bea")
        session.add_all([ana, bea])
        session.flush()
        return ana.id, bea.id


@pytest.fixture
def add_image(database: Database) -> AddImage:
    """Register an image of the bytes that a letter stands for."""

    def add(owner_id: int, letter: str = "a", *, is_public: bool = False) -> Image:
        key = register.storage_key(letter * 64, ImageFormat.GIF)
        facts = PictureFacts(ImageFormat.GIF, 1, 1, 1)
        picture = register.NewPicture(letter * 64, 1, facts, key)
        with database.transaction() as session:
            return register_image(
                session, picture, owner_id=owner_id, space_id=None, is_public=is_public
            ).image

    return add


def embed(database: Database, content_id: int) -> None:
    with database.transaction() as session:
        space = spaces.pin_space(session, SPACE)
        vector = Embedding(space_id=space.id, content_id=content_id, vector=b"x" * 8, crc32=7)
        session.add(vector)
        changes.touch(session, [content_id])


def vector_of(database: Database, content_id: int) -> Embedding:
    with database.reading() as session:
        return session.execute(
            select(Embedding).where(Embedding.content_id == content_id)
        ).scalar_one()


def test_an_image_is_seen_by_its_owner_and_when_public_by_anyone(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    private, public = add_image(ana), add_image(ana, "b", is_public=True)
    with database.reading() as session:
        assert images.get_image(session, private.id, Audience(ana)).owner.username == "ana"
        for viewer in (bea, None):
            assert images.get_image(session, public.id, Audience(viewer)).content.format == "GIF"
            with pytest.raises(NotFound):
                images.get_image(session, private.id, Audience(viewer))


@pytest.mark.parametrize("image_id", [0, -1, 999, 2**63, 10**30])
def test_an_id_that_names_nothing_is_not_found(database: Database, image_id: int) -> None:
    with database.reading() as session, pytest.raises(NotFound):
        images.get_image(session, image_id, Audience(None))


def test_a_list_is_newest_first_paged_and_holds_what_the_viewer_may_see(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    hers = [add_image(ana, is_public=number % 2 == 0).id for number in range(5)]
    other = add_image(bea).id
    with database.reading() as session:

        def listed(viewer: int | None, *, own_alone: bool = False, **options: object) -> list[int]:
            audience = Audience(viewer).own_alone() if own_alone else Audience(viewer)
            found = image_lists.list_images(session, Scope(audience), **options)  # type: ignore[arg-type]
            return [image.id for image in found]

        assert listed(ana) == hers[::-1]
        assert listed(bea) == [other, hers[4], hers[2], hers[0]]
        assert listed(None) == [hers[4], hers[2], hers[0]]
        assert listed(bea, own_alone=True) == [other]
        assert listed(None, own_alone=True) == []
        first = listed(ana, limit=2)
        assert first + listed(ana, limit=9, after=Place(first[-1])) == hers[::-1]
        assert listed(ana, after=Place(10**30)) == hers[::-1]


def test_a_listed_image_can_be_read_after_the_session(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    add_image(people[0])
    with database.reading() as session:
        (image,) = image_lists.list_images(session, Scope(Audience(people[0])))
    assert (image.owner_name, image.width) == ("ana", 1)


def test_a_change_makes_a_new_version_and_an_old_one_cannot_be_changed(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, _ = people
    image = add_image(ana)
    assert image.version == 1
    with database.transaction() as session:
        changed = images.change_image(
            session, image.id, ana, expected_version=1, changes={"prompt": "p", "filename": "a/b"}
        )
    assert (changed.version, changed.prompt, changed.filename) == (2, "p", "b")
    with database.transaction() as session, pytest.raises(PreconditionFailed, match="version 2"):
        images.change_image(session, image.id, ana, expected_version=1, changes={"prompt": "q"})
    with database.transaction() as session:
        same = images.change_image(
            session, image.id, ana, expected_version=None, changes={"prompt": "p"}
        )
    assert same.version == 2
    assert images.committed_change(session) is None


def test_nobody_changes_or_deletes_what_is_not_theirs(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    image = add_image(ana, is_public=True)
    with database.transaction() as session:
        with pytest.raises(NotFound):
            images.change_image(session, image.id, bea, expected_version=None, changes={})
        with pytest.raises(NotFound):
            images.delete_image(session, image.id, bea, expected_version=None)


def test_only_known_fields_change_and_only_to_what_can_be_stored(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, _ = people
    image = add_image(ana)
    for wrong in ({"owner_id": 2}, {"caption": "x" * 10_001}):
        with database.transaction() as session, pytest.raises(InvalidInput) as caught:
            images.change_image(session, image.id, ana, expected_version=None, changes=wrong)
        assert set(caught.value.fields) == set(wrong)


def test_showing_an_image_to_others_reaches_the_indexes(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, _ = people
    image = add_image(ana)
    embed(database, image.content_id)
    before = vector_of(database, image.content_id).change_seq
    with database.transaction() as session:
        images.change_image(
            session, image.id, ana, expected_version=None, changes={"is_public": True}
        )
    assert images.committed_change(session) == before + 1
    assert vector_of(database, image.content_id).change_seq == before + 1


def test_the_content_stays_while_another_image_shows_it(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, bea = people
    first, second = add_image(ana), add_image(bea)
    embed(database, first.content_id)
    before = vector_of(database, first.content_id).change_seq
    with database.transaction() as session:
        assert images.delete_image(session, first.id, ana, expected_version=1) is None
    kept = vector_of(database, first.content_id)
    assert not kept.is_deleted
    assert kept.change_seq == before + 1
    with database.reading() as session:
        assert images.get_image(session, second.id, Audience(bea))


def test_the_last_image_takes_the_content_with_it_and_leaves_a_tombstone(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, _ = people
    image = add_image(ana)
    embed(database, image.content_id)
    before = vector_of(database, image.content_id).change_seq
    with database.transaction() as session:
        key = images.delete_image(session, image.id, ana, expected_version=None)
    assert key == image.content.storage_key
    tombstone = vector_of(database, image.content_id)
    assert tombstone.is_deleted
    assert (tombstone.vector, tombstone.crc32, tombstone.change_seq) == (b"", 0, before + 1)
    with database.reading() as session:
        assert session.execute(select(Content.id)).first() is None
    # The same bytes come back under another id: an index never takes one for the other.
    assert add_image(ana).content_id > image.content_id


def test_deleting_twice_is_not_found_and_an_old_version_is_not_deleted(
    database: Database, people: tuple[int, int], add_image: AddImage
) -> None:
    ana, _ = people
    image = add_image(ana)
    with database.transaction() as session, pytest.raises(PreconditionFailed):
        images.delete_image(session, image.id, ana, expected_version=7)
    with database.transaction() as session:
        images.delete_image(session, image.id, ana, expected_version=None)
    with database.transaction() as session, pytest.raises(NotFound):
        images.delete_image(session, image.id, ana, expected_version=None)
