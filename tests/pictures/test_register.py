"""Registering pictures: one content per bytes, one image per upload, races and retries included."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from mirada.db import changes, idempotency, spaces
from mirada.db.memory_models import TextContent
from mirada.db.models import Content, Embedding, Image, Job, JobState, User
from mirada.db.session import Database
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import Conflict, CorruptImage, InvalidInput, UnsupportedImage
from mirada.kernel.images import AnimatedCopy, ImageFormat, ImageStatus, PictureFacts
from mirada.kernel.user_text import MAX_FILENAME_CHARS, clean_filename
from mirada.pictures import images, intake
from mirada.pictures import register as ingest
from mirada.pictures.register import NewPicture, Registered
from mirada.ports import ImageDecoder
from testing.registering import register_image

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "Toy", "v1", "none", 2)


@pytest.fixture
def owner_id(database: Database) -> int:
    return new_user(database, "ana")


def new_user(database: Database, name: str) -> int:
    with database.transaction() as session:
        user = User(username=name)
        session.add(user)
        session.flush()
        return user.id


def new_picture(name: str = "a") -> NewPicture:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    facts = PictureFacts(ImageFormat.PNG, 640, 480, 2)
    return NewPicture(sha256, 1234, facts, ingest.storage_key(sha256, facts.format))


def register(
    database: Database,
    owner_id: int,
    picture: NewPicture | None = None,
    *,
    space_id: int | None = None,
    **options: object,
) -> Registered:
    with database.transaction() as session:
        return register_image(
            session,
            picture or new_picture(),
            owner_id=owner_id,
            space_id=space_id,
            **options,  # type: ignore[arg-type]
        )


def pin(database: Database) -> int:
    with database.transaction() as session:
        return spaces.pin_space(session, SPACE).id


def embed(database: Database, content_id: int, space_id: int) -> None:
    """Write what a worker writes: the vector, and READY on every image of the content."""
    with database.transaction() as session:
        session.execute(select(Content.id).where(Content.id == content_id).with_for_update())
        session.add(Embedding(space_id=space_id, content_id=content_id, vector=b"x" * 8, crc32=1))
        session.execute(
            update(Image).where(Image.content_id == content_id).values(status=ImageStatus.READY)
        )
        changes.touch(session, [content_id])


def counts(database: Database) -> tuple[int, int, int]:
    """Return how many contents, images and jobs there are."""
    with database.reading() as session:
        one, two, three = (
            session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (Content, Image, Job)
        )
    return one, two, three


def texts(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.execute(select(TextContent.body).order_by(TextContent.id)).scalars())


def at_once(count: int, work: Callable[[int], object]) -> list[Exception]:
    """Run the work in as many threads, begun together; return what was raised."""
    gate = threading.Barrier(count)
    raised: list[Exception] = []

    def run(number: int) -> None:
        gate.wait()
        try:
            work(number)
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


# Registering


def test_a_new_picture_gets_a_content_an_image_and_a_job(database: Database, owner_id: int) -> None:
    registered = register(
        database, owner_id, filename="a.png", prompt="film still", is_public=True, request_id="r1"
    )
    assert registered.is_new_content
    assert not registered.was_replayed
    with database.reading() as session:
        image = images.get_image(session, registered.image.id, Audience(owner_id))
        job = session.get_one(Job, registered.job_id)
    assert (image.status, image.prompt, image.caption) == ("PENDING", "film still", None)
    assert (image.content.width, image.content.height, image.content.format) == (640, 480, "PNG")
    assert image.content.is_animated
    assert image.owner.username == "ana"
    assert (job.kind, job.subject_id, job.state) == (
        "create_embeddings_task",
        image.content_id,
        JobState.QUEUED,
    )
    assert (job.owner_id, job.request_id) == (owner_id, "r1")


def test_what_is_returned_can_be_read_after_the_transaction(
    database: Database, owner_id: int
) -> None:
    for _ in range(2):
        image = register(database, owner_id).image
        assert image.content.byte_size == 1234
        assert image.owner.username == "ana"


def test_the_same_bytes_share_a_content_and_each_uploader_has_a_job(
    database: Database, owner_id: int
) -> None:
    first = register(database, owner_id)
    second = register(database, new_user(database, "bea"))
    assert not second.is_new_content
    assert second.image.id != first.image.id
    assert second.image.content.storage_key == first.image.content.storage_key
    assert second.job_id != first.job_id
    third = register(database, owner_id)
    assert third.job_id == first.job_id
    assert counts(database) == (1, 3, 2)


def test_bytes_of_ones_own_that_are_embedded_already_are_ready_at_once(
    database: Database, owner_id: int
) -> None:
    space_id = pin(database)
    first = register(database, owner_id, space_id=space_id)
    embed(database, first.image.content_id, space_id)
    with database.transaction() as session:
        second = register_image(session, new_picture(), owner_id=owner_id, space_id=space_id)
    assert second.image.status == ImageStatus.READY
    assert second.job_id is None
    # Somebody else may see the vector now, and searches must learn of it.
    assert images.committed_change(session) == 3
    with database.reading() as session:
        assert session.execute(select(Embedding.change_seq)).scalar_one() == 3


def test_that_somebody_else_s_private_bytes_are_embedded_already_is_not_told(
    database: Database, owner_id: int
) -> None:
    space_id = pin(database)
    first = register(database, owner_id, space_id=space_id)
    embed(database, first.image.content_id, space_id)
    bea = new_user(database, "bea")

    second = register(database, bea, space_id=space_id)

    new = register(database, bea, new_picture("b"), space_id=space_id)
    assert second.image.status == new.image.status == ImageStatus.PENDING
    with database.reading() as session:
        jobs = [session.get_one(Job, registered.job_id) for registered in (second, new)]
    assert [job.owner_id for job in jobs] == [bea, bea]
    assert jobs[1].id == jobs[0].id + 1
    # Of a public picture anybody may know, and of one's own.
    with database.transaction() as session:
        session.get_one(Image, first.image.id).is_public = True
    third = register(database, new_user(database, "cem"), space_id=space_id)
    assert (third.image.status, third.job_id) == (ImageStatus.READY, None)


def test_a_prompt_is_one_text_however_often_it_is_written_and_goes_with_its_last_image(
    database: Database, owner_id: int
) -> None:
    first = register(database, owner_id, prompt="a  cat\n")
    second = register(database, owner_id, new_picture("b"), prompt="a cat")
    assert first.image.prompt == "a  cat\n"
    assert first.image.prompt_text_id == second.image.prompt_text_id
    assert texts(database) == ["a cat"]
    for registered, left in ((first, ["a cat"]), (second, [])):
        with database.transaction() as session:
            images.delete_image(session, registered.image.id, owner_id, expected_version=None)
        assert texts(database) == left


def test_without_embeddings_a_picture_is_kept_and_nothing_is_queued(
    database: Database, owner_id: int
) -> None:
    registered = register(database, owner_id, embeds=False)
    assert registered.job_id is None
    assert counts(database) == (1, 1, 0)


def test_a_failed_picture_that_comes_again_is_tried_again(
    database: Database, owner_id: int
) -> None:
    first = register(database, owner_id)
    with database.transaction() as session:
        session.get_one(Job, first.job_id).state = JobState.FAILED
        session.get_one(Image, first.image.id).status = ImageStatus.FAILED
    second = register(database, owner_id)
    assert second.job_id == first.job_id
    with database.reading() as session:
        assert session.get_one(Job, first.job_id).state == JobState.QUEUED
        assert session.get_one(Image, second.image.id).status == ImageStatus.PENDING


def test_once_per_owner_returns_the_image_that_is_there(database: Database, owner_id: int) -> None:
    first = register(database, owner_id, is_once_per_owner=True)
    again = register(database, owner_id, is_once_per_owner=True)
    assert again.was_replayed
    assert again.image.id == first.image.id
    other = register(database, new_user(database, "bea"), is_once_per_owner=True)
    assert not other.was_replayed
    assert counts(database) == (1, 2, 2)


def test_a_commit_that_seemed_lost_can_be_looked_up(database: Database, owner_id: int) -> None:
    picture = new_picture()
    registered = register(database, owner_id, picture)
    with database.reading() as session:
        assert ingest.registered_key(session, registered.image.id) == picture.storage_key
        assert ingest.registered_key(session, 999) is None


# At once


def test_uploads_of_the_same_bytes_at_once_make_one_content_and_one_job(
    database: Database, owner_id: int
) -> None:
    made: list[Registered] = []
    raised = at_once(8, lambda _: made.append(register(database, owner_id)))
    assert raised == []
    assert counts(database) == (1, 8, 1)
    assert sum(registered.is_new_content for registered in made) == 1


def test_an_upload_that_meets_the_worker_never_waits_for_ever(
    database: Database, owner_id: int
) -> None:
    space_id = pin(database)
    for number in range(6):
        first = register(database, owner_id, new_picture(str(number)), space_id=space_id)

        def work(
            thread: int, content_id: int = first.image.content_id, name: str = str(number)
        ) -> None:
            if thread == 0:
                embed(database, content_id, space_id)
            else:
                register(database, owner_id, new_picture(name), space_id=space_id)

        assert at_once(4, work) == []
    with database.reading() as session:
        statuses = session.execute(select(Image.status).distinct()).scalars().all()
    assert statuses == ["READY"]


def test_an_upload_that_meets_a_deletion_keeps_its_file(database: Database, owner_id: int) -> None:
    for number in range(8):
        first = register(database, owner_id, new_picture(str(number)))
        files = {first.image.content.storage_key}

        def work(
            thread: int,
            number: int = number,
            image_id: int = first.image.id,
            files: set[str] = files,
        ) -> None:
            # What intake does with files, after the commit.
            if thread == 0:
                with database.transaction() as session:
                    gone = images.delete_image(session, image_id, owner_id, expected_version=None)
                if gone is not None:
                    files.discard(gone)
            else:
                picture = new_picture(str(number))
                files.add(picture.storage_key)
                if not register(database, owner_id, picture).is_new_content:
                    files.discard(picture.storage_key)

        assert at_once(3, work) == []
        with database.reading() as session:
            keys = session.execute(
                select(Content.storage_key).where(Content.sha256 == new_picture(str(number)).sha256)
            ).scalars()
            assert set(keys) == files
    with database.reading() as session:
        orphans = select(Image.id).where(Image.content_id.not_in(select(Content.id)))
        assert session.execute(orphans).first() is None


# Idempotency-Key


def test_a_key_sent_again_gets_the_first_image(database: Database, owner_id: int) -> None:
    first = register(database, owner_id, idempotency_key="k", fingerprint="f" * 64)
    again = register(database, owner_id, idempotency_key="k", fingerprint="f" * 64)
    assert again.was_replayed
    assert not again.is_new_content
    assert again.image.id == first.image.id
    assert counts(database) == (1, 1, 1)
    # Keys are compared letter by letter, on every engine.
    capital = register(database, owner_id, idempotency_key="K", fingerprint="e" * 64)
    assert not capital.was_replayed
    # Keys are each owner's own.
    other = register(database, new_user(database, "bea"), idempotency_key="k", fingerprint="e" * 64)
    assert not other.was_replayed


def test_a_key_sent_with_another_request_is_refused_and_nothing_is_written(
    database: Database, owner_id: int
) -> None:
    register(database, owner_id, idempotency_key="k", fingerprint="f" * 64)
    with pytest.raises(InvalidInput, match="used for another request"):
        register(database, owner_id, new_picture("b"), idempotency_key="k", fingerprint="e" * 64)
    assert counts(database) == (1, 1, 1)


def test_a_key_whose_image_was_deleted_is_a_conflict_and_nothing_is_written(
    database: Database, owner_id: int
) -> None:
    first = register(database, owner_id, idempotency_key="k", fingerprint="f" * 64)
    with database.transaction() as session:
        images.delete_image(session, first.image.id, owner_id, expected_version=None)
    with pytest.raises(Conflict, match="deleted"):
        register(database, owner_id, idempotency_key="k", fingerprint="f" * 64)
    assert counts(database)[:2] == (0, 0)


def test_the_same_request_many_times_at_once_makes_one_image(
    database: Database, owner_id: int
) -> None:
    raised = at_once(
        6,
        lambda _: register(database, owner_id, idempotency_key="k", fingerprint="f" * 64),
    )
    assert raised == []
    assert counts(database) == (1, 1, 1)


def test_one_key_for_two_requests_at_once_serves_one(database: Database, owner_id: int) -> None:
    raised = at_once(
        4,
        lambda number: register(
            database,
            owner_id,
            new_picture(str(number)),
            idempotency_key="k",
            fingerprint=str(number) * 64,
        ),
    )
    assert [type(error) for error in raised] == [InvalidInput] * 3
    assert counts(database) == (1, 1, 1)


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 192, "a\n"])
def test_a_key_that_cannot_be_one_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="Idempotency-Key takes"):
        idempotency.checked_key(key)


def test_a_fingerprint_tells_every_field_apart() -> None:
    fields = {"prompt": "a", "is_public": False}
    assert idempotency.fingerprint_of("s", fields) == idempotency.fingerprint_of("s", fields)
    others = [("t", fields), ("s", {"prompt": "a", "is_public": True}), ("s", {"prompt": "\ud800"})]
    assert len({idempotency.fingerprint_of(*other) for other in [("s", fields), *others]}) == 4


# What is checked


class Facts:
    """Stands for the decoder's answer; the decoder itself has its own suite."""

    def __init__(self, fmt: ImageFormat) -> None:
        self.facts = PictureFacts(fmt, 1, 1, 1)

    def inspect(self, path: Path) -> PictureFacts:
        return self.facts

    def decode(self, path: Path, min_side_px: int) -> object: ...

    def thumbnail(self, path: Path, max_side_px: int) -> bytes: ...

    def animation(self, path: Path) -> AnimatedCopy: ...

    def close(self) -> None: ...


class Staged:
    """A staged file of some size."""

    def __init__(self, byte_size: int) -> None:
        self.byte_size = byte_size
        self.path = Path("nowhere")


def receive(declared: str | None, fmt: ImageFormat = ImageFormat.JPEG, size: int = 9) -> object:
    decoder: ImageDecoder = Facts(fmt)  # type: ignore[assignment]
    return intake.receive(Staged(size), declared, decoder)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "declared",
    [
        None,
        "",
        "image/jpeg",
        "IMAGE/JPG; charset=binary",
        "image/pjpeg",
        "application/octet-stream",
    ],
)
def test_a_picture_of_the_declared_or_of_no_declared_type_is_received(declared: str | None) -> None:
    assert receive(declared)


@pytest.mark.parametrize("declared", ["image/png", "text/html", "image/svg+xml", "jpeg"])
def test_a_picture_of_another_type_than_declared_is_refused(declared: str) -> None:
    with pytest.raises(UnsupportedImage, match="holds JPEG"):
        receive(declared)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(CorruptImage, match="empty"):
        receive("image/jpeg", size=0)


def test_a_text_that_is_too_long_is_refused_with_its_length(
    database: Database, owner_id: int
) -> None:
    with pytest.raises(InvalidInput, match="At most 10,000 characters; this has 100,000") as caught:
        register(database, owner_id, prompt="x" * 100_000)
    assert set(caught.value.fields) == {"prompt"}
    assert register(database, owner_id, caption="ü" * 10_000).image.caption == "ü" * 10_000
    for broken in ("a\0b", "a\ud800"):
        with pytest.raises(InvalidInput, match="not text"):
            register(database, owner_id, prompt=broken)
    assert register(database, owner_id, prompt="  ").image.prompt is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, None),
        ("", None),
        ("cat.png", "cat.png"),
        ("C:\\Users\\me\\cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("a\x00b\r\n.png", "ab.png"),
        ("x\u202egnp.exe", "xgnp.exe"),
        ("e\u0301.png", "é.png"),
        ("猫 🐈.webp", "猫 🐈.webp"),
        ("..", None),
        ("a\ud800.png", "a?.png"),
        ("n" * 300 + ".png", "n" * 251 + ".png"),
        ("." * 300, "." * 255),
    ],
)
def test_a_file_name_is_kept_for_display_only(sent: str | None, kept: str | None) -> None:
    assert clean_filename(sent) == kept


def test_two_files_of_the_same_bytes_have_different_keys() -> None:
    sha256 = "ab" + "cd" * 31
    one, two = (ingest.storage_key(sha256, ImageFormat.JPEG) for _ in range(2))
    assert one != two
    assert one.startswith(f"ab/cd/{sha256}-")
    assert one.endswith(".jpg")
    assert len(one) <= 191


def test_a_name_made_to_be_slow_costs_no_more_than_any_other() -> None:
    # Put in order as it is, its marks would take about an hour.
    name = clean_filename("x" + "\u0315\u0300" * 500_000 + ".png")
    assert name is not None
    assert name.startswith("x")
    assert name.endswith(".png")
    assert len(name) == MAX_FILENAME_CHARS
