"""What was only classified: whose it is, what finds it, and what happens to it when images come and go."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from mirada.classify import remembered as classify
from mirada.classify.remembered import Remark
from mirada.db import changes, spaces
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.models import Content, Embedding, Image, User
from mirada.db.session import Database
from mirada.db.vector_rows import DatabaseVectors
from mirada.embedding import backfill, embed
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector, l2_normalise
from mirada.kernel.errors import NotFound, Unavailable
from mirada.kernel.images import ImageFormat, ImageStatus, PictureFacts
from mirada.pictures import image_lists, images, register
from mirada.search import by_vector
from mirada.search import like_classified as similar
from testing.exact_index import ExactIndex
from testing.registering import register_image
from testing.scopes import query_of, seen_by

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "Toy", "v1", "none", 4)
FACTS = PictureFacts(ImageFormat.PNG, 64, 48, 1)
NEAR: Vector = l2_normalise([1, 0.1, 0, 0])


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


class House:
    """Two people, a space, an index, and what they do."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            self.space_id = spaces.pin_space(session, SPACE).id
            people = [User(username="ana"), User(username="bea")]
            session.add_all(people)
            session.flush()
            self.ana, self.bea = (user.id for user in people)
        self.index = ExactIndex(DatabaseVectors(database, self.space_id))
        self._numbers = itertools.count()

    def send(self, owner_id: int, name: str, vector: Vector = NEAR, **remark: object) -> int:
        """Have a picture classified; return the change number, 0 for no change."""
        with self.database.transaction() as session:
            classify.remember_sent(
                session,
                register.NewPicture(sha(name), 100, FACTS),
                owner_id=owner_id,
                space_id=self.space_id,
                space=SPACE,
                vector=vector,
                is_encoded_now=classify.known_picture(session, sha(name), self.space_id, SPACE)
                is None,
                remark=Remark(**remark),  # type: ignore[arg-type]
            )
        return changes.committed_seq(session) or 0

    def point_at(self, owner_id: int, image_id: int) -> None:
        """Have a stored image classified."""
        with self.database.transaction() as session:
            picture = classify.picture_of_image(
                session, image_id, Audience(owner_id), self.space_id, SPACE
            )
            assert picture is not None
            classify.remember_known(
                session, picture, owner_id=owner_id, remark=Remark(), sent_bytes=False
            )

    def upload(
        self, owner_id: int, name: str, vector: Vector | None = None, *, is_public: bool = False
    ) -> register.Registered:
        key = register.storage_key(sha(name), ImageFormat.PNG)
        with self.database.transaction() as session:
            registered = register_image(
                session,
                register.NewPicture(sha(name), 100, FACTS, key),
                owner_id=owner_id,
                space_id=self.space_id,
                is_public=is_public,
            )
        if vector is not None:
            with self.database.transaction() as session:
                embed.store_embedding(
                    session, registered.image.content_id, self.space_id, SPACE, vector
                )
        return registered

    def delete(self, owner_id: int, image_id: int) -> str | None:
        with self.database.transaction() as session:
            return images.delete_image(session, image_id, owner_id, expected_version=None)

    def similar(self, viewer_id: int, k: int = 5, exclude: str | None = None) -> list[str]:
        self.index.refresh()
        with self.database.reading() as session:
            found = similar.find_similar(
                session,
                self.index,
                query_of(l2_normalise([1, 0, 0, 0])),
                Audience(viewer_id),
                k=k,
                threshold=0.5,
                exclude_sha256=None if exclude is None else sha(exclude),
            )
        return [picture.sha256 for picture in found]

    def searched(self, viewer_id: int | None) -> list[int]:
        self.index.refresh()
        with self.database.reading() as session:
            query = query_of(l2_normalise([1, 0, 0, 0]))
            found = by_vector.find(session, self.index, query, seen_by(viewer_id), k=5)
        assert found.permitted_count == len(found.results)
        return [result.image.id for result in found.results]

    def remembered(self, owner_id: int) -> list[str]:
        with self.database.reading() as session:
            return [row.content.sha256 for row in classify.list_classified(session, owner_id)]

    def content(self, name: str) -> Content | None:
        with self.database.reading() as session:
            return session.execute(
                select(Content).where(Content.sha256 == sha(name))
            ).scalar_one_or_none()


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def test_a_remembered_picture_is_found_by_its_owner_s_similar_pictures_only(house: House) -> None:
    house.send(house.ana, "cat")
    assert house.similar(house.ana) == [sha("cat")]
    assert house.similar(house.bea) == []


def test_a_remembered_picture_is_no_image_and_no_search_finds_it(house: House) -> None:
    house.send(house.ana, "cat")
    assert house.searched(house.ana) == house.searched(house.bea) == house.searched(None) == []
    with house.database.reading() as session:
        assert image_lists.list_images(session, Scope(Audience(house.ana))) == []
    assert house.remembered(house.ana) == [sha("cat")]
    assert house.remembered(house.bea) == []


def test_similar_pictures_are_images_and_remembered_ones_each_content_once(house: House) -> None:
    house.upload(house.ana, "own", l2_normalise([1, 0.3, 0, 0]))
    house.upload(house.bea, "shown", l2_normalise([1, 0.2, 0, 0]), is_public=True)
    house.upload(house.bea, "hidden", l2_normalise([1, 0, 0, 0]))
    house.send(house.ana, "cat", l2_normalise([1, 0.1, 0, 0]), asset_id="a-1")
    house.send(house.ana, "own", l2_normalise([1, 0.3, 0, 0]))
    house.send(house.ana, "far", l2_normalise([0, 0, 0, 1]))
    assert house.similar(house.ana) == [sha("cat"), sha("shown"), sha("own")]
    assert house.similar(house.ana, exclude="cat") == [sha("shown"), sha("own")]
    assert house.similar(house.ana, k=1, exclude="cat") == [sha("shown")]
    with house.database.reading() as session:
        best, second, _ = similar.find_similar(
            session, house.index, query_of(NEAR), Audience(house.ana), k=3, threshold=0.5
        )
    assert (best.asset_id, second.asset_id) == ("a-1", None)
    assert best.similarity == pytest.approx(1.0, abs=1e-6)


def test_what_was_forgotten_is_not_found_before_the_index_knows(house: House) -> None:
    house.send(house.ana, "cat")
    house.index.refresh()
    with house.database.transaction() as session:
        classify.forget(session, house.ana, sha("cat"))
    with house.database.reading() as session:
        assert (
            similar.find_similar(
                session, house.index, query_of(NEAR), Audience(house.ana), k=3, threshold=0.5
            )
            == []
        )
    assert house.content("cat") is None
    with house.database.reading() as session:
        assert session.execute(select(Embedding.is_deleted)).scalars().all() == [True]
    with house.database.transaction() as session, pytest.raises(NotFound):
        classify.forget(session, house.ana, sha("cat"))


def test_sending_the_same_picture_again_changes_no_search_and_keeps_what_was_said(
    house: House,
) -> None:
    assert house.send(house.ana, "cat", asset_id="a-1", theme="pets") > 0
    result = {"category": "cat", "none_of_these": True}
    assert house.send(house.ana, "cat", result=result) == 0
    with house.database.reading() as session:
        (row,) = classify.list_classified(session, house.ana)
    assert (row.asset_id, row.theme, row.result, row.label) == ("a-1", "pets", result, None)
    house.send(house.ana, "cat", asset_id="a-2")
    with house.database.reading() as session:
        assert classify.get_classified(session, house.ana, sha("cat")).asset_id == "a-2"
    # Filters find it by another label now.
    fitting = {"category": "cat", "none_of_these": False}
    assert house.send(house.ana, "cat", result=fitting) > 0
    with house.database.reading() as session:
        assert classify.get_classified(session, house.ana, sha("cat")).label == "cat"


def test_two_people_s_memories_of_one_picture_are_forgotten_one_by_one(house: House) -> None:
    house.send(house.ana, "cat", asset_id="a-1")
    house.send(house.bea, "cat", asset_id="b-1")
    with house.database.transaction() as session:
        classify.forget(session, house.ana, sha("cat"))
    assert house.similar(house.ana) == []
    assert house.similar(house.bea) == [sha("cat")]
    assert house.content("cat") is not None


def test_an_upload_after_the_classification_adopts_the_content_and_its_vector(
    house: House,
) -> None:
    house.send(house.ana, "cat")
    before = house.content("cat")
    assert before is not None
    assert before.storage_key == ""
    registered = house.upload(house.ana, "cat", is_public=True)
    assert registered.is_new_content
    assert registered.job_id is None
    assert registered.image.status == ImageStatus.READY
    after = house.content("cat")
    assert after is not None
    assert (after.id, after.storage_key != "") == (before.id, True)
    assert house.searched(None) == [registered.image.id]


def test_the_second_upload_after_a_classification_leaves_the_first_one_s_file(house: House) -> None:
    house.send(house.ana, "cat")
    first, second = house.upload(house.bea, "cat"), house.upload(house.ana, "cat")
    assert (first.is_new_content, second.is_new_content) == (True, False)
    assert first.image.content.storage_key == second.image.content.storage_key


def test_a_classification_completes_an_upload_that_waits_for_its_vector(house: House) -> None:
    registered = house.upload(house.bea, "cat", is_public=True)
    assert registered.image.status == ImageStatus.PENDING
    house.send(house.ana, "cat")
    assert house.searched(None) == [registered.image.id]
    with house.database.reading() as session:
        assert session.get_one(Image, registered.image.id).status == ImageStatus.READY


def test_deleting_the_last_image_removes_the_bytes_but_not_what_another_remembers(
    house: House,
) -> None:
    image = house.upload(house.bea, "cat", NEAR).image
    house.send(house.ana, "cat")
    assert house.delete(house.bea, image.id) == image.content.storage_key
    kept = house.content("cat")
    assert kept is not None
    assert kept.storage_key == ""
    assert house.similar(house.ana) == [sha("cat")]
    assert house.similar(house.bea) == []
    assert house.searched(house.bea) == []


def test_deleting_one_s_last_image_forgets_one_s_own_classification(house: House) -> None:
    first, second = (house.upload(house.ana, "cat", NEAR).image for _ in range(2))
    house.send(house.ana, "cat")
    assert house.delete(house.ana, first.id) is None
    assert house.remembered(house.ana) == [sha("cat")]
    assert house.delete(house.ana, second.id) is not None
    assert house.remembered(house.ana) == []
    assert house.content("cat") is None


def test_what_was_classified_by_its_image_goes_with_the_image(house: House) -> None:
    image = house.upload(house.bea, "cat", NEAR, is_public=True).image
    house.point_at(house.ana, image.id)
    assert house.remembered(house.ana) == [sha("cat")]
    house.delete(house.bea, image.id)
    assert house.remembered(house.ana) == []
    assert house.content("cat") is None
    with house.database.reading() as session:
        assert session.execute(select(ClassifiedPicture.id)).first() is None


def test_what_was_classified_by_its_image_is_hidden_with_the_image(house: House) -> None:
    image = house.upload(house.bea, "cat", NEAR, is_public=True).image
    house.point_at(house.ana, image.id)
    with house.database.transaction() as session:
        images.change_image(
            session, image.id, house.bea, expected_version=None, changes={"is_public": False}
        )
    assert house.remembered(house.ana) == []
    assert house.similar(house.ana) == []
    with house.database.reading() as session, pytest.raises(NotFound):
        classify.get_classified(session, house.ana, sha("cat"))
    with house.database.reading() as session, pytest.raises(NotFound):
        classify.picture_of_image(session, image.id, Audience(house.ana), house.space_id, SPACE)


def test_nobody_tries_to_embed_or_to_find_the_file_of_a_remembered_picture(house: House) -> None:
    house.send(house.ana, "cat")
    content = house.content("cat")
    assert content is not None
    with house.database.transaction() as session:
        session.execute(update(Embedding).values(is_deleted=True, vector=b"", crc32=0))
        assert backfill.count_to_embed(session, house.space_id, skip_existing=False) == 0
        assert embed.begin_embedding(session, content.id, house.space_id, replace=True) is None
        assert backfill.count_to_embed(session, house.space_id, only_unqueued=True) == 0


def test_a_damaged_vector_is_not_used_and_written_over(house: House) -> None:
    house.send(house.ana, "cat")
    with house.database.transaction() as session:
        session.execute(update(Embedding).values(crc32=Embedding.crc32 + 1))
    with house.database.reading() as session:
        assert classify.known_picture(session, sha("cat"), house.space_id, SPACE) is None
    assert house.send(house.ana, "cat") > 0
    with house.database.reading() as session:
        assert classify.known_picture(session, sha("cat"), house.space_id, SPACE) is not None


def test_a_list_pages_and_narrows_to_a_job(house: House) -> None:
    for number in range(5):
        house.send(house.ana, f"cat {number}", job_id=7 if number % 2 else None)
    with house.database.reading() as session:
        first = classify.list_classified(session, house.ana, limit=3)
        rest = classify.list_classified(session, house.ana, limit=3, cursor=first[-1].id)
        of_job = classify.list_classified(session, house.ana, job_id=7)
    assert [row.content.sha256 for row in [*first, *rest]] == [
        sha(f"cat {n}") for n in (4, 3, 2, 1, 0)
    ]
    assert [row.content.sha256 for row in of_job] == [sha("cat 3"), sha("cat 1")]


def test_sending_uploading_deleting_and_forgetting_one_picture_at_once_breaks_nothing(
    house: House,
) -> None:
    failures: list[BaseException] = []
    together = threading.Barrier(4)

    def again_and_again(act: Callable[[], object]) -> None:
        together.wait()
        for _ in range(15):
            try:
                act()
            except (NotFound, Unavailable):
                # Somebody else was first; or the database picked a victim, who would try again.
                continue
            except BaseException as error:
                failures.append(error)

    def forget(owner_id: int) -> None:
        with house.database.transaction() as session:
            classify.forget(session, owner_id, sha("cat"))

    def come_and_go() -> None:
        image = house.upload(house.bea, "cat", NEAR, is_public=True).image
        house.delete(house.bea, image.id)

    acts = [
        lambda: house.send(house.ana, "cat"),
        lambda: house.send(house.bea, "cat"),
        lambda: forget(house.ana),
        come_and_go,
    ]
    threads = [threading.Thread(target=again_and_again, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []

    for owner_id in (house.ana, house.bea):
        for name in house.remembered(owner_id):
            assert name == sha("cat")
            forget(owner_id)
    with house.database.reading() as session:
        mine = image_lists.list_images(session, Scope(Audience(house.bea)))
    for image in mine:
        house.delete(house.bea, image.id)
    assert house.content("cat") is None
    with house.database.reading() as session:
        assert session.execute(select(Embedding.id).where(~Embedding.is_deleted)).all() == []
