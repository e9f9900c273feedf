"""Captions as texts: whose they are, what becomes of them, and what a model may write where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, func, select, update

from mirada.captions import backfill, embedding, writing
from mirada.captions.embedding import WantedCaptions
from mirada.captions.wording import CaptionRecipe
from mirada.captions.writing import CAPTION_IMAGE, is_complete
from mirada.db import spaces
from mirada.db.memory_models import Caption, TextContent, TextEmbedding
from mirada.db.models import Image, Job, JobState, User
from mirada.db.session import Database
from mirada.db.vector_rows import DatabaseVectors
from mirada.db.vector_tables import table_of
from mirada.embedding import texts as prompts
from mirada.kernel.captions import CaptionLanguage
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, l2_normalise
from mirada.kernel.errors import EmbeddingSpaceMismatch
from mirada.kernel.images import ImageFormat, ImageStatus, PictureFacts
from mirada.kernel.prompts import prompt_digest
from mirada.pictures import images, register
from mirada.search.by_vector import authorised
from testing.exact_index import ExactIndex
from testing.registering import register_image
from testing.scopes import seen_by

SPACE = EmbeddingSpace(SpaceKind.CAPTION, "Toy", "v1", "none", 3)
RECIPE = CaptionRecipe("some-model", CaptionLanguage.EN)
FAR_MS = 10**14


class Desk:
    """Two owners, a caption space, and what a worker does by hand."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            self.space_id = spaces.pin_space(session, SPACE).id
            people = [User(username="ana"), User(username="bea")]
            session.add_all(people)
            session.flush()
            self.ana, self.bea = (person.id for person in people)

    def upload(self, name: str, caption: str | None = None, **options: Any) -> register.Registered:
        sha256 = prompt_digest(name)
        key = register.storage_key(sha256, ImageFormat.PNG)
        picture = register.NewPicture(sha256, 10, PictureFacts(ImageFormat.PNG, 8, 8, 1), key)
        fields = {"owner_id": self.ana, "space_id": None, "caption": caption, **options}
        with self.database.transaction() as session:
            return register_image(session, picture, **fields)

    def change(self, image: Image, **changes: Any) -> Image:
        with self.database.transaction() as session:
            return images.change_image(
                session, image.id, image.owner_id, expected_version=None, changes=changes
            )

    def embed(self, image: Image) -> list[str]:
        """Embed its captions, the picture being embedded already."""
        with self.database.transaction() as session:
            ready = update(Image).where(Image.id == image.id).values(status=ImageStatus.READY)
            session.execute(ready)
            due = embedding.due_texts(session, image.content_id, image.owner_id, self.space_id)
            texts = [text for text in due if not text.is_embedded]
            vectors = {text.id: l2_normalise([1, 1, 0]) for text in texts}
            shown = [text.id for text in due]
            embedding.show_vectors(session, image.content_id, image.owner_id, shown)
            prompts.store_prompt_vectors(session, self.space_id, SPACE, vectors)
        return sorted(text.body for text in texts)

    def running(self, job_id: int | None, token: str) -> int:
        assert job_id is not None
        values = {"state": JobState.RUNNING, "lease_token": token, "lease_until_ms": FAR_MS}
        with self.database.transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(**values))
        return job_id

    def begin(
        self, image: Image, token: str, job_id: int, recipe: CaptionRecipe = RECIPE, **options: Any
    ) -> writing.CaptionClaim | None:
        with self.database.transaction() as session:
            return writing.claim(
                session,
                image.content_id,
                image.owner_id,
                recipe,
                job_id=job_id,
                token=token,
                **options,
            )

    def write(
        self, image: Image, caption: str, recipe: CaptionRecipe = RECIPE, **options: Any
    ) -> int:
        with self.database.transaction() as session:
            writing.store_answer(session, image.content_id, recipe, caption=caption)
            return writing.show(
                session, image.content_id, image.owner_id, recipe, caption, **options
            )

    def row(self, image: Image) -> Image:
        with self.database.reading() as session:
            return session.get_one(Image, image.id)

    def texts(self) -> list[str]:
        with self.database.reading() as session:
            return sorted(session.execute(select(TextContent.body)).scalars())

    def seen_by(self, viewer_id: int | None) -> int:
        index = ExactIndex(DatabaseVectors(self.database, self.space_id))
        query = l2_normalise([[1, 1, 0]])
        return len(index.search(query, 10, seen_by(viewer_id=viewer_id))[0].matches)


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    return Desk(database)


def test_a_persons_caption_is_a_text_seen_by_whoever_sees_the_image(desk: Desk) -> None:
    found = desk.upload("one", " A cat\n asleep")
    assert found.caption_job_id is not None
    assert desk.embed(found.image) == ["A cat asleep"]
    assert (desk.row(found.image).caption_source, desk.seen_by(desk.ana), desk.seen_by(None)) == (
        "person",
        1,
        0,
    )
    desk.change(found.image, is_public=True)
    assert desk.seen_by(None) == 1
    desk.change(found.image, is_public=False)
    assert desk.seen_by(desk.bea) == 0


def test_a_caption_that_somebody_else_wrote_is_not_shown_before_its_own_job(desk: Desk) -> None:
    desk.embed(desk.upload("hers", "a cat").image)
    mine = desk.upload("mine", owner_id=desk.bea).image
    desk.embed(mine)
    desk.change(mine, caption="a cat")
    wanted = WantedCaptions(None, True, desk.space_id)
    job = mine.content_id, desk.bea
    with desk.database.reading() as session:
        assert desk.seen_by(desk.bea) == 0
        assert backfill.count_lacking(session, wanted) == 1
        assert not is_complete(session, *job, wanted)
        # Where none is embedded, none is shown either, and the job comes to an end.
        assert is_complete(session, *job, replace(wanted, embeds=False))
    assert desk.embed(mine) == []
    with desk.database.reading() as session:
        assert desk.seen_by(desk.bea) == 1
        assert backfill.count_lacking(session, wanted) == 0
        assert is_complete(session, *job, wanted)


def test_what_a_model_says_in_somebody_elses_words_is_shown_by_its_own_job(desk: Desk) -> None:
    desk.embed(desk.upload("hers", "A cat.").image)
    mine = desk.upload("mine", owner_id=desk.bea, captions=True).image
    desk.embed(mine)
    assert desk.write(mine, "A cat.") == 1
    assert desk.seen_by(desk.bea) == 0
    assert desk.embed(mine) == []
    assert desk.seen_by(desk.bea) == 1
    # Said again, nothing is new.
    newer = CaptionRecipe("newer", CaptionLanguage.EN)
    assert desk.write(mine, "A cat.", newer, redo=True) == 1
    assert desk.seen_by(desk.bea) == 1


def test_one_owners_job_shows_nothing_of_anothers(desk: Desk) -> None:
    hers = desk.upload("cat", "a cat").image
    mine = desk.upload("cat", "a cat", owner_id=desk.bea).image
    desk.embed(hers)
    with desk.database.transaction() as session:
        session.execute(update(Image).where(Image.id == mine.id).values(status=ImageStatus.READY))
    assert (desk.seen_by(desk.ana), desk.seen_by(desk.bea)) == (1, 0)
    desk.embed(mine)
    assert desk.seen_by(desk.bea) == 1


def test_a_prompts_vector_makes_no_caption_found(desk: Desk) -> None:
    desk.upload("one", None, prompt="a cat")
    captioned = desk.upload("two", "a cat", owner_id=desk.bea).image
    desk.embed(captioned)
    assert (desk.seen_by(desk.ana), desk.seen_by(desk.bea)) == (0, 1)


def test_a_text_goes_when_neither_a_prompt_nor_a_caption_is_left(desk: Desk) -> None:
    image = desk.upload("one", "a cat", prompt="a cat").image
    desk.embed(image)
    desk.change(image, prompt=None)
    assert desk.texts() == ["a cat"]
    desk.change(image, caption="a dog", prompt="a cat")
    assert desk.texts() == ["a cat", "a dog"]
    desk.change(image, caption=None, prompt="a dog")
    assert desk.texts() == ["a dog"]
    with desk.database.transaction() as session:
        images.delete_image(session, image.id, desk.ana, expected_version=None)
    assert desk.texts() == []
    with desk.database.reading() as session:
        dead = select(func.count()).where(TextEmbedding.is_deleted.is_(True))
        assert session.execute(dead).scalar_one() == 1


def test_a_job_is_queued_only_for_what_there_is_to_do(desk: Desk) -> None:
    assert desk.upload("one").caption_job_id is None
    assert desk.upload("two", captions=True).caption_job_id is not None
    assert desk.upload("three", captions=True, auto_caption=False).caption_job_id is None
    without = {"embeds": False}
    assert desk.upload("four", "mine", **without).caption_job_id is None
    described = {**without, "captions": True}
    assert desk.upload("six", "mine", **described).caption_job_id is not None
    assert desk.upload("seven", "mine", auto_caption=False, **described).caption_job_id is None
    assert desk.upload("five", captions=True, **without).caption_job_id is not None


def test_two_owners_of_the_same_bytes_have_jobs_of_their_own(desk: Desk) -> None:
    first = desk.upload("cat", captions=True)
    second = desk.upload("cat", captions=True, owner_id=desk.bea)
    again = desk.upload("cat", captions=True)
    assert first.caption_job_id == again.caption_job_id != second.caption_job_id


def test_one_job_asks_and_the_others_wait_for_what_it_learns(desk: Desk) -> None:
    first = desk.upload("cat", captions=True)
    second = desk.upload("cat", captions=True, owner_id=desk.bea)
    one = desk.running(first.caption_job_id, "one")
    two = desk.running(second.caption_job_id, "two")

    asking = desk.begin(first.image, "one", one)
    assert asking is not None
    assert (asking.caption, asking.is_busy) == (None, False)
    waiting = desk.begin(second.image, "two", two)
    assert waiting is not None
    assert waiting.is_busy
    assert desk.write(first.image, "A cat.") == 1

    known = desk.begin(second.image, "two", two)
    assert known is not None
    assert (known.caption, known.is_busy) == ("A cat.", False)
    assert desk.row(second.image).caption is None, "nobody's image tells of somebody else's upload"
    assert desk.begin(first.image, "one", one) is None


def test_the_claim_of_a_job_that_died_holds_nobody_up(desk: Desk) -> None:
    first = desk.upload("cat", captions=True)
    second = desk.upload("cat", captions=True, owner_id=desk.bea)
    one = desk.running(first.caption_job_id, "one")
    desk.begin(first.image, "one", one)
    with desk.database.transaction() as session:
        session.execute(update(Job).where(Job.id == one).values(lease_until_ms=1))
    asking = desk.begin(second.image, "two", desk.running(second.caption_job_id, "two"))
    assert asking is not None
    assert not asking.is_busy


def test_a_persons_caption_is_never_written_over(desk: Desk) -> None:
    image = desk.upload("cat", captions=True).image
    typed = desk.change(image, caption="my cat")
    assert desk.write(image, "A cat.") == 1
    assert desk.write(image, "Um gato.", CaptionRecipe("newer", CaptionLanguage.PT), redo=True) == 1
    row = desk.row(image)
    assert (row.caption, row.caption_source, row.version) == ("my cat", "person", typed.version)
    assert (row.description, row.description_model) == ("Um gato.", "newer")
    assert desk.texts() == ["Um gato.", "my cat"]
    # A person's caption again and again: the description stays what it is.
    desk.change(image, caption="my other cat")
    assert (desk.row(image).description, desk.texts()) == ("Um gato.", ["Um gato.", "my other cat"])
    # Nobody's words are written about a picture whose caption was taken away.
    desk.change(image, caption=None)
    row = desk.row(image)
    assert (row.caption, row.description, row.description_model, desk.texts()) == (
        None,
        None,
        None,
        [],
    )
    assert desk.write(image, "A cat.", redo=True) == 0


def test_a_description_is_kept_beside_a_persons_caption_and_found_with_it(desk: Desk) -> None:
    image = desk.upload("cat", "my holidays", captions=True).image
    assert desk.embed(image) == ["my holidays"]
    assert desk.write(image, "A cat.") == 1
    row = desk.row(image)
    assert (row.caption, row.description) == ("my holidays", "A cat.")
    assert (row.caption_model, row.description_model) == (None, "some-model")
    assert row.description_is_due
    assert desk.embed(image) == ["A cat."]
    assert not desk.row(image).description_is_due
    with desk.database.reading() as session:
        index = ExactIndex(DatabaseVectors(desk.database, desk.space_id))
        both = index.search(l2_normalise([[1, 1, 0]]), 10, seen_by(desk.ana))[0].matches
        assert len(both) == 2
        found = authorised(
            session,
            both,
            table_of(SpaceKind.CAPTION),
            seen_by(desk.ana),
            at_most_each=9,
            safety=None,
        )
        assert [image_id for image_id, _ in found] == [image.id], "one image is one result"


def test_somebody_elses_words_are_no_description_of_mine_before_my_own_job(desk: Desk) -> None:
    hers = desk.upload("hers", "A cat.").image
    desk.embed(hers)
    mine = desk.upload("mine", "my cat", owner_id=desk.bea, captions=True).image
    desk.embed(mine)
    assert desk.write(mine, "A cat.") == 1
    shown = [text for text in desk.texts() if text == "A cat."]
    assert (shown, desk.row(mine).description_is_due) == (["A cat."], True)
    wanted = WantedCaptions(None, True, desk.space_id)
    with desk.database.reading() as session:
        assert not is_complete(session, mine.content_id, desk.bea, wanted)
        assert backfill.count_lacking(session, wanted) == 1
        before = DatabaseVectors(desk.database, desk.space_id).changes_since(0, 99)
        assert sorted(before.access_owners.tolist()) == sorted([desk.ana, desk.bea])
    assert desk.embed(mine) == []
    after = DatabaseVectors(desk.database, desk.space_id).changes_since(0, 99)
    assert sorted(after.access_owners.tolist()) == sorted([desk.ana, desk.bea, desk.bea])
    # Her image goes, and the words stay as long as they are said of mine.
    with desk.database.transaction() as session:
        images.delete_image(session, hers.id, desk.ana, expected_version=None)
    assert desk.texts() == ["A cat.", "my cat"]


def test_a_caption_that_was_taken_away_stays_away(desk: Desk) -> None:
    image = desk.upload("cat", captions=True).image
    desk.write(image, "A cat.")
    assert desk.change(image, caption=None).caption_source is None
    assert desk.begin(image, "t", 1) is None
    assert desk.write(image, "A cat.", redo=True) == 0
    assert desk.texts() == []


def test_what_a_model_writes_is_told_by_model_and_leaves_the_version(desk: Desk) -> None:
    image = desk.upload("cat", captions=True).image
    twin = desk.upload("cat", auto_caption=False).image
    assert desk.write(image, "A cat.") == 1
    row = desk.row(image)
    assert (row.caption, row.caption_source, row.caption_model) == ("A cat.", "model", "some-model")
    assert (row.caption_language, row.caption_prompt_version) == ("en", RECIPE.prompt_version)
    assert row.version == image.version
    assert desk.row(twin).caption is None


def test_captions_of_a_retired_model_are_redone_and_their_texts_go(desk: Desk) -> None:
    image = desk.upload("cat", captions=True).image
    desk.write(image, "A cat.")
    newer = CaptionRecipe("some-model", CaptionLanguage.PT)
    assert desk.begin(image, "t", 1, newer) is None
    assert desk.begin(image, "t", 1, newer, redo=True) is not None
    assert desk.write(image, "Um gato.", newer, redo=True) == 1
    assert (desk.row(image).caption, desk.texts()) == ("Um gato.", ["Um gato."])
    assert desk.begin(image, "t", 1, newer, redo=True) is None


def test_a_refusal_is_remembered_until_it_is_to_be_redone(desk: Desk) -> None:
    image = desk.upload("cat", captions=True).image
    desk.begin(image, "t", 1)
    with desk.database.transaction() as session:
        writing.store_answer(session, image.content_id, RECIPE, refusal="Not in English.")
    refused = desk.begin(image, "t", 1)
    assert refused is not None
    assert refused.refusal == "Not in English."
    again = desk.begin(image, "t", 1, redo=True)
    assert again is not None
    assert again.refusal is None


def test_what_a_model_wrote_goes_with_the_last_image(desk: Desk) -> None:
    image = desk.upload("cat", captions=True).image
    twin = desk.upload("cat", owner_id=desk.bea).image
    desk.begin(image, "t", 1)
    desk.write(image, "A cat.")
    for owned, left in ((image, 1), (twin, 0)):
        with desk.database.transaction() as session:
            images.delete_image(session, owned.id, owned.owner_id, expected_version=None)
        with desk.database.reading() as session:
            count = session.execute(select(func.count()).select_from(Caption)).scalar_one()
        assert count == left


def test_a_backfill_finds_what_lacks_a_caption_a_text_or_a_vector(desk: Desk) -> None:
    old = desk.upload("old", "of  before").image
    desk.upload("bare")
    desk.upload("not allowed", auto_caption=False)
    done = desk.upload("done", "a dog").image
    desk.embed(done)
    with desk.database.transaction() as session:
        session.execute(
            update(Image).where(Image.id == old.id).values(caption_text_id=None, version=1)
        )
        session.execute(Job.__table__.delete())  # type: ignore[attr-defined]
    with desk.database.transaction() as session:
        wanted = WantedCaptions(None, True, desk.space_id)
        assert backfill.count_lacking(session, wanted) == 1
        wanted = replace(wanted, recipe=RECIPE)
        # Also pictures that a person has captioned are described.
        assert backfill.count_lacking(session, wanted) == 3
        assert backfill.count_to_ask(session, RECIPE) == 3
        first = backfill.queue_page(session, wanted, page_size=1)
        assert first.last == (old.content_id, desk.ana)
        second = backfill.queue_page(session, wanted, page_size=5, after=first.last)
        assert second.last == (done.content_id, desk.ana)
        assert len(second.job_ids) == 2
        assert backfill.queue_page(session, wanted, after=second.last).last is None
        embedding.note_captions(session, old.content_id, desk.ana)
    assert desk.embed(old) == ["of before"]
    with desk.database.reading() as session:
        kinds = set(session.execute(select(Job.kind)).scalars())
    assert kinds == {CAPTION_IMAGE}


@contextmanager
def locked_texts(database: Database) -> Iterator[list[int]]:
    """Note the ids of texts in the order in which their rows are first locked."""
    found: list[int] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if (
            statement.startswith("SELECT mirada_text_contents.id")
            and "mirada_text_contents.id =" in statement
        ):
            values = parameters.values() if isinstance(parameters, dict) else parameters
            found.extend(int(value) for value in values if int(value) not in found)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def test_texts_are_locked_lowest_first_so_that_no_two_jobs_wait_in_a_circle(desk: Desk) -> None:
    low, high = (desk.upload(name, name).image.caption_text_id for name in ("low", "high"))
    first = desk.upload("picture", "high").image
    desk.upload("picture", "low")
    forget = update(Image).where(Image.content_id == first.content_id)
    with desk.database.transaction() as session:
        session.execute(forget.values(caption_text_id=None))
    with locked_texts(desk.database) as order, desk.database.transaction() as session:
        embedding.note_captions(session, first.content_id, desk.ana)
    assert order == [low, high]

    written = {"caption_source": "model", "caption_model": "older", "caption_text_id": low}
    with desk.database.transaction() as session:
        session.execute(forget.values(**written))
    with locked_texts(desk.database) as order:
        assert desk.write(first, "high", redo=True) == 2
    assert order == [low, high]


def test_another_space_for_captions_is_an_error_that_says_how_to_switch(desk: Desk) -> None:
    other = EmbeddingSpace(SpaceKind.CAPTION, "Other", "v1", "none", 5)
    with (
        desk.database.transaction() as session,
        pytest.raises(EmbeddingSpaceMismatch, match="captions switch-model"),
    ):
        spaces.pin_space(session, other)
    with desk.database.transaction() as session:
        assert spaces.retire_space(session, SpaceKind.CAPTION) is not None
        assert spaces.pin_space(session, other).id != desk.space_id
        assert spaces.pinned_space(session, SpaceKind.PROMPT) is None
