"""Prompts as texts with vectors: written once, embedded once, gone with the last image that has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, update

from mirada.db import spaces
from mirada.db.memory_models import TextContent, TextEmbedding
from mirada.db.migrate import MIGRATIONS_DIR
from mirada.db.models import Embedding, Image, Job, JobState, User
from mirada.db.session import Database
from mirada.db.vector_rows import DatabaseVectors
from mirada.embedding import backfill, embed
from mirada.embedding import texts as prompts
from mirada.embedding.looks import Look
from mirada.embedding.palette import Colour
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, l2_normalise
from mirada.kernel.errors import Conflict, EmbeddingSpaceMismatch
from mirada.kernel.images import ImageFormat, ImageStatus, PictureFacts
from mirada.kernel.prompts import prompt_digest
from mirada.memory import history
from mirada.pictures import images, register
from mirada.search import queries, related
from testing.exact_index import ExactIndex
from testing.registering import register_image
from testing.scopes import seen_by

PICTURES = EmbeddingSpace(SpaceKind.IMAGE, "Toy", "v1", "none", 4)
PROMPTS = EmbeddingSpace(SpaceKind.PROMPT, "Toy", "v1", "none", 3)

LOOK = Look([Colour("#102030", 1.0)], False, "IAgCBw==", "#102030", 0.2, None)


class Desk:
    """One owner, two spaces, and what a worker does by hand."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            self.space_id = spaces.pin_space(session, PICTURES).id
            self.prompt_space_id = spaces.pin_space(session, PROMPTS).id
            people = [User(username="ana"), User(username="bea")]
            session.add_all(people)
            session.flush()
            self.ana, self.bea = (person.id for person in people)

    def upload(self, name: str, prompt: str | None, **options: object) -> register.Registered:
        sha256 = prompt_digest(name)
        key = register.storage_key(sha256, ImageFormat.PNG)
        picture = register.NewPicture(sha256, 10, PictureFacts(ImageFormat.PNG, 8, 8, 1), key)
        fields = {"owner_id": self.ana, "space_id": self.space_id, "prompt": prompt, **options}
        with self.database.transaction() as session:
            return register_image(session, picture, **fields)  # type: ignore[arg-type]

    def work(self, content_id: int) -> list[str] | None:
        """Embed what is missing and return the prompts that were; None for nothing at all."""
        with self.database.transaction() as session:
            subject = embed.begin_embedding(
                session, content_id, self.space_id, prompt_space_id=self.prompt_space_id
            )
        if subject is None:
            return None
        vector = l2_normalise([1, 0, 0, 0])
        with self.database.transaction() as session:
            assert embed.store_vectors(
                session,
                subject,
                image=(self.space_id, PICTURES, vector) if subject.storage_key else None,
                prompt_space=(self.prompt_space_id, PROMPTS),
                prompt_vectors={text: l2_normalise([1, 1, 0]) for text in subject.prompts},
                look=LOOK if subject.storage_key else None,
            )
        return sorted(subject.prompts.values())

    def vectors(self, *, dead: bool = False) -> int:
        with self.database.reading() as session:
            query = select(func.count()).select_from(TextEmbedding)
            return session.execute(query.where(TextEmbedding.is_deleted.is_(dead))).scalar_one()

    def texts(self) -> list[str]:
        with self.database.reading() as session:
            return sorted(session.execute(select(TextContent.body)).scalars())

    def seen_by(self, viewer_id: int | None) -> int:
        """Return how many prompts a fresh index lets somebody search."""
        index = ExactIndex(DatabaseVectors(self.database, self.prompt_space_id))
        query = l2_normalise([[1, 1, 0]])
        return len(index.search(query, 10, seen_by(viewer_id=viewer_id))[0].matches)


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    return Desk(database)


def test_a_picture_and_its_prompt_are_embedded_by_one_job(desk: Desk) -> None:
    first = desk.upload("cat", "a cat")
    assert desk.work(first.image.content_id) == ["a cat"]
    assert desk.work(first.image.content_id) is None
    assert (desk.vectors(), desk.seen_by(desk.ana), desk.seen_by(desk.bea)) == (1, 1, 0)


def test_a_prompt_of_many_pictures_is_embedded_once(desk: Desk) -> None:
    for name in ("one", "two", "three"):
        desk.work(desk.upload(name, "the same  prompt").image.content_id)
    assert (desk.texts(), desk.vectors()) == (["the same prompt"], 1)


def test_a_prompt_that_comes_while_a_job_runs_is_not_forgotten(desk: Desk) -> None:
    first = desk.upload("cat", "a cat")
    with desk.database.transaction() as session:
        subject = embed.begin_embedding(
            session, first.image.content_id, desk.space_id, prompt_space_id=desk.prompt_space_id
        )
    assert subject is not None
    desk.upload("cat", "another cat")
    with desk.database.transaction() as session:
        is_complete = embed.store_vectors(
            session,
            subject,
            image=(desk.space_id, PICTURES, l2_normalise([1, 0, 0, 0])),
            prompt_space=(desk.prompt_space_id, PROMPTS),
            prompt_vectors={text: l2_normalise([1, 0, 0]) for text in subject.prompts},
        )
    assert not is_complete
    assert desk.work(first.image.content_id) == ["another cat"]


def test_a_changed_prompt_leaves_nothing_of_the_old_one_and_is_one_version(desk: Desk) -> None:
    image = desk.upload("cat", "a cat").image
    desk.work(image.content_id)
    with desk.database.transaction() as session:
        changed = images.change_image(
            session,
            image.id,
            desk.ana,
            expected_version=1,
            changes={"prompt": "a dog", "caption": "wow", "is_public": True},
        )
    assert changed.version == 2
    assert (desk.texts(), desk.vectors(), desk.vectors(dead=True)) == (["a dog", "wow"], 0, 1)
    assert desk.work(image.content_id) == ["a dog"]
    assert desk.seen_by(None) == 1


def test_a_prompt_is_seen_by_whoever_sees_an_image_that_has_it(desk: Desk) -> None:
    private = desk.upload("one", "a cat").image
    public = desk.upload("two", "a cat", owner_id=desk.bea, is_public=True).image
    for image in (private, public):
        desk.work(image.content_id)
    assert (desk.seen_by(desk.ana), desk.seen_by(None)) == (1, 1)
    with desk.database.transaction() as session:
        images.change_image(
            session, public.id, desk.bea, expected_version=None, changes={"is_public": False}
        )
    assert (desk.seen_by(desk.ana), desk.seen_by(desk.bea), desk.seen_by(None)) == (1, 1, 0)
    with desk.database.transaction() as session:
        images.delete_image(session, private.id, desk.ana, expected_version=None)
    assert (desk.seen_by(desk.ana), desk.seen_by(desk.bea), desk.vectors()) == (0, 1, 1)


def test_images_of_before_prompts_had_texts_are_found_by_a_backfill(desk: Desk) -> None:
    image = desk.upload("cat", "a  cat").image
    desk.work(image.content_id)
    with desk.database.transaction() as session:
        session.execute(update(Image).values(prompt_text_id=None, updated_at=Image.updated_at))
        session.query(TextContent).delete()
        session.query(TextEmbedding).delete()
        session.execute(update(Job).values(state=JobState.DONE))
    with desk.database.transaction() as session:
        assert backfill.count_to_embed(session, desk.space_id, only_unqueued=True) == 1
        page = backfill.queue_page(session, desk.space_id)
    assert len(page.job_ids) == 1
    assert desk.work(image.content_id) == ["a cat"]
    with desk.database.reading() as session:
        after = session.get_one(Image, image.id)
        assert (after.version, after.prompt) == (1, "a  cat")
        assert backfill.count_to_embed(session, desk.space_id) == 0


def test_two_prompts_exchanged_for_each_other_at_once_both_come_out(desk: Desk) -> None:
    one, two = desk.upload("one", "a").image, desk.upload("two", "b").image
    gate = threading.Barrier(2)
    raised: list[Exception] = []

    def exchange(image_id: int, order: list[str]) -> None:
        gate.wait()
        try:
            for prompt in order * 10:
                with desk.database.transaction() as session:
                    images.change_image(
                        session,
                        image_id,
                        desk.ana,
                        expected_version=None,
                        changes={"prompt": prompt},
                    )
        except Exception as error:
            raised.append(error)

    threads = [
        threading.Thread(target=exchange, args=(one.id, ["b", "a"])),
        threading.Thread(target=exchange, args=(two.id, ["a", "b"])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert raised == []
    assert desk.texts() == ["a", "b"]
    with desk.database.reading() as session:
        named = set(session.execute(select(Image.prompt_text_id)).scalars())
        assert named == set(session.execute(select(TextContent.id)).scalars())


def test_another_text_model_is_refused_until_the_old_one_is_retired(desk: Desk) -> None:
    other = EmbeddingSpace(SpaceKind.PROMPT, "Other", "v1", "none", 5)
    image = desk.upload("cat", "a cat").image
    desk.work(image.content_id)
    with (
        pytest.raises(EmbeddingSpaceMismatch, match="switch-text-model"),
        desk.database.transaction() as session,
    ):
        spaces.pin_space(session, other)
    with desk.database.transaction() as session:
        assert spaces.retire_space(session, SpaceKind.PROMPT) is not None
        other_id = spaces.pin_space(session, other).id
        assert prompts.without_vector(session, image.content_id, other_id) == {
            image.prompt_text_id: "a cat"
        }
        # Back again, nothing has to be computed anew.
        spaces.retire_space(session, SpaceKind.PROMPT)
        assert spaces.pin_space(session, PROMPTS).id == desk.prompt_space_id
        assert prompts.without_vector(session, image.content_id, desk.prompt_space_id) == {}


def test_a_picture_that_is_known_becomes_ready_although_only_its_prompt_is_new(desk: Desk) -> None:
    desk.work(desk.upload("cat", None).image.content_id)
    again = desk.upload("cat", "a cat").image
    assert again.status == ImageStatus.PENDING
    desk.work(again.content_id)
    with desk.database.reading() as session:
        assert session.get_one(Image, again.id).status == ImageStatus.READY
        assert session.execute(select(func.count()).select_from(Embedding)).scalar_one() == 1


def change(desk: Desk, image: Image, **changes: object) -> None:
    with desk.database.transaction() as session:
        images.change_image(
            session, image.id, image.owner_id, expected_version=None, changes=changes
        )


def diary_has(desk: Desk, owner_id: int) -> tuple[bool, bool]:
    """Return whether somebody's diary has a vector of a prompt, and one of a picture."""
    spaces_asked = (desk.prompt_space_id, desk.space_id)
    with desk.database.reading() as session:
        outline = history.outline(session, owner_id, *spaces_asked)
        diary = history.read_history(session, owner_id, outline.images, *spaces_asked).history
    return diary.vectors is not None, diary.pictures is not None


def fingerprint(desk: Desk, owner_id: int) -> str:
    with desk.database.reading() as session:
        return history.outline(session, owner_id, desk.prompt_space_id, desk.space_id).fingerprint


def test_a_text_that_somebody_else_wrote_is_not_shown_before_its_own_job(desk: Desk) -> None:
    desk.work(desk.upload("hers", "a cat").image.content_id)
    mine = desk.upload("mine", "a dog", owner_id=desk.bea).image
    desk.work(mine.content_id)
    change(desk, mine, prompt="a cat")
    assert (desk.vectors(), desk.seen_by(desk.bea)) == (1, 0)
    assert diary_has(desk, desk.bea) == (False, True)
    before = fingerprint(desk, desk.bea)
    with desk.database.reading() as session:
        row = session.get_one(Image, mine.id)
        assert related.own_query(session, row, SpaceKind.PROMPT) is None
        with pytest.raises(Conflict, match="no prompt vector yet"):
            queries.vector_of_image(
                session,
                mine.id,
                seen_by(desk.bea).audience,
                space_id=desk.prompt_space_id,
                space=PROMPTS,
            )
        assert backfill.count_to_embed(session, desk.space_id) == 1
    assert desk.work(mine.content_id) == []
    assert (desk.vectors(), desk.seen_by(desk.bea)) == (1, 1)
    assert diary_has(desk, desk.bea) == (True, True)
    assert fingerprint(desk, desk.bea) != before
    with desk.database.reading() as session:
        after = session.get_one(Image, mine.id)
        assert (after.version, after.updated_at) == (row.version, row.updated_at)
        assert backfill.count_to_embed(session, desk.space_id) == 0


def test_an_index_follows_when_a_text_that_was_there_is_shown(desk: Desk) -> None:
    desk.work(desk.upload("hers", "a cat").image.content_id)
    index = ExactIndex(DatabaseVectors(desk.database, desk.prompt_space_id))
    mine = desk.upload("mine", "a cat", owner_id=desk.bea).image

    def found() -> int:
        index.refresh()
        query = l2_normalise([[1, 1, 0]])
        return len(index.search(query, 10, seen_by(viewer_id=desk.bea))[0].matches)

    assert found() == 0
    desk.work(mine.content_id)
    assert found() == 1
    change(desk, mine, prompt=None)
    assert found() == 0


def test_the_same_text_given_again_stays_shown_and_none_is_not_due(desk: Desk) -> None:
    image = desk.upload("cat", "a cat").image
    desk.work(image.content_id)
    change(desk, image, prompt=" a  cat")
    assert desk.seen_by(desk.ana) == 1
    change(desk, image, prompt="a dog")
    change(desk, image, prompt=None)
    assert desk.work(image.content_id) is None
    with desk.database.reading() as session:
        assert backfill.count_to_embed(session, desk.space_id) == 0


def test_a_text_that_was_there_waits_for_the_text_model_like_any_other(desk: Desk) -> None:
    desk.work(desk.upload("hers", "a cat").image.content_id)
    mine = desk.upload("mine", "a cat", owner_id=desk.bea).image
    with desk.database.transaction() as session:
        subject = embed.begin_embedding(
            session, mine.content_id, desk.space_id, prompt_space_id=desk.prompt_space_id
        )
    assert subject is not None
    with desk.database.transaction() as session:
        assert not embed.store_vectors(
            session,
            subject,
            image=(desk.space_id, PICTURES, l2_normalise([1, 0, 0, 0])),
            prompt_space=None,
            prompt_vectors={},
        )
    with desk.database.reading() as session:
        assert session.get_one(Image, mine.id).status == ImageStatus.READY
    assert (desk.seen_by(desk.bea), desk.work(mine.content_id), desk.seen_by(desk.bea)) == (
        0,
        [],
        1,
    )


def test_images_of_before_texts_were_due_go_on_being_found(desk: Desk) -> None:
    from alembic import command
    from alembic.config import Config

    image = desk.upload("cat", "a cat").image
    desk.work(image.content_id)
    change(desk, image, caption="a caption")
    with desk.database.engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS_DIR))
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
        connection.commit()
        command.upgrade(config, "head")
        connection.commit()
    assert desk.seen_by(desk.ana) == 1
    with desk.database.reading() as session:
        row = session.get_one(Image, image.id)
        assert (row.prompt_is_due, row.caption_is_due) == (False, False)
        assert backfill.count_to_embed(session, desk.space_id) == 0
