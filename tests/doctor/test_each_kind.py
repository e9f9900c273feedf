"""Every kind of what can be amiss: planted, found, put right, and nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, select, update

from mirada.config import PROJECT_ROOT
from mirada.db import changes
from mirada.db.classifier_models import ClassifiedPicture, ImageLabels
from mirada.db.files_to_remove import FileToRemove
from mirada.db.memory_models import Like, TextContent, TextEmbedding
from mirada.db.models import (
    Base,
    Content,
    Embedding,
    Image,
    IndexSnapshot,
    Installation,
    Job,
    JobState,
    Lease,
    User,
    utc_now,
)
from mirada.db.pack_models import Pack, PackImage
from mirada.db.tag_models import ImageTag
from mirada.departures.ending import END_USER
from mirada.doctor import kinds, originals
from mirada.doctor.examination import examine
from mirada.doctor.visit import Finding, Visit
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs import ledger
from mirada.kept_folders import QUARANTINE
from mirada.kernel.copies import MOVING, NONE, STILL
from mirada.kernel.images import ImageStatus
from mirada.pictures.thumbnails import MAKE_THUMBNAILS
from testing.pictures import picture
from testing.registering import take_in
from testing.worksite import Site
from workers.runner import run_job

SUM = "ab" * 32
ORPHAN_KEY = f"ab/ab/{SUM}-00000001.png"
NOT_COMPARED = {Lease.__tablename__}


def everything(site: Site) -> dict[str, Any]:
    """Every file by its path, and every row by its table."""
    settings = site.runtime.settings
    found: dict[str, Any] = {}
    for root in (settings.data_dir, settings.faiss_index_dir):
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                if not name.startswith("mirada.db"):
                    found[f"{root.name}/{path.relative_to(root)}"] = path.read_bytes()
    with site.runtime.reading() as session:
        for table in Base.metadata.sorted_tables:
            if table.name not in NOT_COMPARED:
                found[table.name] = sorted(map(repr, session.execute(select(table)).all()))
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The paths and tables that are not as before."""
    return {each for each in before.keys() | after.keys() if before.get(each) != after.get(each)}


def visit(site: Site, *, repairs: bool = False, is_deep: bool = False) -> list[Finding]:
    """What the doctor finds; whatever lies there is old enough."""
    return list(examine(Visit.now(site.runtime, min_age_s=-3600, repairs=repairs, is_deep=is_deep)))


def work(site: Site) -> None:
    """Do all jobs that wait."""
    while True:
        with site.runtime.reading() as session:
            waiting = select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.id)
            job_id = session.execute(waiting.limit(1)).scalar_one_or_none()
        if job_id is None:
            return
        assert run_job(site.runtime, job_id)


@contextmanager
def unchecked(site: Site) -> Iterator[Connection]:
    """A transaction in which the database does not check foreign keys, as while a dump is loaded."""
    engine = site.runtime.database.engine
    is_sqlite = engine.dialect.name == "sqlite"
    off, on = (
        ("PRAGMA foreign_keys=OFF", "PRAGMA foreign_keys=ON")
        if is_sqlite
        else ("SET foreign_key_checks=0", "SET foreign_key_checks=1")
    )
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(off)
        with connection.begin():
            yield connection
        cursor.execute(on)
        cursor.close()


@pytest.fixture
def library(site: Site) -> Site:
    """A library, on each database."""
    return filled(site)


@pytest.fixture
def files(make_site: Callable[..., Site]) -> Site:
    """A library on SQLite, for what is the same with every database."""
    return filled(make_site())


def filled(site: Site) -> Site:
    """Give a site four pictures that are all right, one in the trash, and what people gave them."""
    for seed in range(3):
        site.upload(seed)
    staged = site.runtime.image_store.stage()
    staged.stream.write(picture(9, "GIF", frames=3))
    take_in(
        site.runtime,
        staged,
        declared_media_type="image/gif",
        filename="moving.gif",
        owner_id=site.owner_id,
        is_public=True,
    )
    work(site)
    with site.runtime.transaction() as session:
        ledger.enqueue(session, MAKE_THUMBNAILS, same_work=MAKE_THUMBNAILS)
    work(site)
    with site.runtime.transaction() as session:
        ids = list(session.execute(select(Image.id).order_by(Image.id)).scalars())
        session.execute(update(Image).where(Image.id == ids[0]).values(trashed_at=utc_now()))
        caption = TextContent(sha256="c" * 64, body="a caption")
        session.add(caption)
        session.flush()
        session.execute(update(Image).where(Image.id == ids[1]).values(caption_text_id=caption.id))
        session.add(Like(user_id=site.owner_id, image_id=ids[1]))
        session.add(ImageTag(image_id=ids[1], tag="cat", name="Cat"))
        pack = Pack(owner_id=site.owner_id, title="Cats", is_public=False)
        session.add(pack)
        session.flush()
        session.add(PackImage(pack_id=pack.id, image_id=ids[1], position=1))
        # Classified by its bytes, and never uploaded.
        remembered = Content(
            sha256="d" * 64,
            storage_key="",
            byte_size=3,
            format="PNG",
            width=1,
            height=1,
            is_animated=False,
        )
        session.add(remembered)
        session.flush()
        session.add(
            ClassifiedPicture(owner_id=site.owner_id, content_id=remembered.id, sent_bytes=True)
        )
    assert site.statuses() == {ImageStatus.READY: 4}
    return site


def test_a_library_that_is_all_right_is_left_as_it_is(library: Site) -> None:
    before = everything(library)

    assert visit(library, is_deep=True) == []
    assert visit(library, repairs=True, is_deep=True) == []

    assert differences(before, everything(library)) == set()


def contents(site: Site) -> list[Content]:
    with site.runtime.reading() as session:
        return list(session.execute(select(Content).order_by(Content.id)).scalars())


def write(path: Path, content: bytes = b"left behind") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# Files that no row names. Each plant returns the path below its folder, and the kind.

Plant = Callable[[Site], tuple[Path, str]]


def orphan_original(site: Site) -> tuple[Path, str]:
    return site.runtime.settings.image_dir, ORPHAN_KEY


def orphan_of_known_bytes(site: Site) -> tuple[Path, str]:
    # The same bytes as a picture that is there, under a key of its own: an upload that was cut short.
    key = contents(site)[1].storage_key
    return site.runtime.settings.image_dir, f"{key[:70]}-ffffffff.png"


def broken_off(site: Site) -> tuple[Path, str]:
    return site.runtime.settings.image_dir, ".staging/0123456789abcdef0123456789abcdef"


def orphan_thumbnail(site: Site) -> tuple[Path, str]:
    return site.runtime.settings.copies_dir, f"{ORPHAN_KEY}.320.2.webp"


def orphan_sentence(site: Site) -> tuple[Path, str]:
    return site.runtime.settings.copies_dir, f"{ORPHAN_KEY}.{STILL}"


def outdated_copy(site: Site) -> tuple[Path, str]:
    return site.runtime.settings.copies_dir, f"{contents(site)[1].storage_key}.640.webp"


def unfinished_copy(site: Site) -> tuple[Path, str]:
    return site.runtime.settings.copies_dir, "ab/ab/tmpa1b2c3d_"


def unfinished_request(site: Site) -> tuple[Path, str]:
    return site.runtime.settings.data_dir, "tmpa1b2c3d_"


def handed_pixels(site: Site) -> tuple[Path, str]:
    return site.runtime.settings.handed_dir, f"{SUM}-00000001.png.rgb"


def unfinished_costs(site: Site) -> tuple[Path, str]:
    return site.runtime.settings.faiss_index_dir, "costs.0123456789abcdef.tmp"


PLANTED_FILES: list[tuple[Plant, kinds.Kind]] = [
    (orphan_original, kinds.ORPHAN),
    (orphan_of_known_bytes, kinds.ORPHAN),
    (broken_off, kinds.BROKEN_OFF),
    (orphan_thumbnail, kinds.ORPHAN_COPY),
    (orphan_sentence, kinds.ORPHAN_COPY),
    (outdated_copy, kinds.OLD_COPY),
    (unfinished_copy, kinds.TEMPORARY),
    (unfinished_request, kinds.TEMPORARY),
    (handed_pixels, kinds.TEMPORARY),
    (unfinished_costs, kinds.TEMPORARY),
]


def test_each_file_that_no_row_names_is_set_aside_and_no_other(library: Site) -> None:
    before = everything(library)
    planted: dict[str, tuple[Path, str, kinds.Kind]] = {}
    for plant, kind in PLANTED_FILES:
        root, name = plant(library)
        write(root / name)
        planted[f"{root.name}/{name}"] = (root, name, kind)
    with_plants = everything(library)

    found = visit(library)

    assert {each.subject: each.kind for each in found} == {
        subject: kind for subject, (_, _, kind) in planted.items()
    }
    assert all(each.is_open and each.detail == "11 bytes" for each in found)
    assert differences(with_plants, everything(library)) == set()

    mended = visit(library, repairs=True)

    assert {each.subject for each in mended} == planted.keys()
    assert not any(each.is_open for each in mended)
    assert visit(library) == []
    day = utc_now().date().isoformat()
    for root, name, _ in planted.values():
        assert not (root / name).exists()
        assert (root / QUARANTINE / day / name).read_bytes() == b"left behind"
    changed = differences(before, everything(library))
    assert all(f"/{QUARANTINE}/" in each for each in changed), changed
    assert len(changed) == len(planted)


def test_what_is_young_is_left_alone(files: Site) -> None:
    for plant, _ in PLANTED_FILES:
        root, name = plant(files)
        write(root / name)
    planted = everything(files)

    an_hour = Visit.now(files.runtime, min_age_s=3600, repairs=True)

    assert list(examine(an_hour)) == []
    assert differences(planted, everything(files)) == set()


def test_a_file_with_an_old_date_that_came_just_now_is_young(files: Site) -> None:
    path = files.runtime.settings.image_dir / ORPHAN_KEY
    write(path)
    # As `cp -a` from a backup leaves it.
    os.utime(path, (1, 1))

    assert list(examine(Visit.now(files.runtime, min_age_s=3600, repairs=True))) == []
    assert path.exists()


def test_what_mirada_did_not_make_is_told_and_left(files: Site) -> None:
    settings = files.runtime.settings
    write(settings.image_dir / "README.txt")
    write(settings.copies_dir / "ab" / "notes.txt")
    write(settings.data_dir / "backup.tar")
    write(settings.image_dir / ".nfs0001")
    (settings.image_dir / "elsewhere").symlink_to(settings.copies_dir)
    planted = everything(files)

    found = visit(files, repairs=True)

    assert [(each.kind, each.subject) for each in found] == [
        (kinds.FOREIGN, "images/README.txt"),
        (kinds.FOREIGN, "derivatives/ab/notes.txt"),
    ]
    assert not any(each.is_open for each in found)
    assert differences(planted, everything(files)) == set()


def test_a_file_of_another_name_that_a_row_names_is_no_orphan(library: Site) -> None:
    # Keys of other forms than today's: a row decides, not the form.
    content = contents(library)[1]
    images = library.runtime.settings.image_dir
    write(images / "old/form.png", (images / content.storage_key).read_bytes())
    (images / content.storage_key).unlink()
    with library.runtime.transaction() as session:
        session.execute(
            update(Content)
            .where(Content.id == content.id)
            .values(storage_key="old/form.png", thumbnails_edition=0)
        )
    found = visit(library, repairs=True, is_deep=True)

    assert {each.kind for each in found} == {kinds.ORPHAN_COPY}
    assert (images / "old/form.png").exists()


# Originals that are missing or damaged.


def test_a_lost_original_is_told_and_marked_and_comes_back(library: Site) -> None:
    content = contents(library)[1]
    path = library.runtime.settings.image_dir / content.storage_key
    before = everything(library)
    kept = path.read_bytes()
    path.unlink()

    found = visit(library)

    assert [(each.kind, each.subject, each.detail) for each in found] == [
        (kinds.MISSING, f"content {content.id}", content.storage_key)
    ]
    assert library.statuses() == {ImageStatus.READY: 4}

    mended = visit(library, repairs=True)

    # It is shown to its owner, and there is still something to be done.
    assert [(each.kind, each.is_open) for each in mended] == [(kinds.MISSING, True)]
    with library.runtime.reading() as session:
        failed = session.execute(select(Image).where(Image.content_id == content.id)).scalar_one()
    assert (failed.status, failed.failure) == (ImageStatus.FAILED, originals.LOST)
    seq = counter(library)
    assert [each.kind for each in visit(library, repairs=True)] == [kinds.MISSING]
    assert counter(library) == seq, "marking it again is no change"

    path.write_bytes(kept)
    assert [each.kind for each in visit(library)] == [kinds.FOUND_AGAIN]
    back = visit(library, repairs=True)
    assert [(each.kind, each.is_open) for each in back] == [(kinds.FOUND_AGAIN, False)]
    encoded = library.encoder.encoded
    work(library)
    assert library.statuses() == {ImageStatus.READY: 4}
    assert library.encoder.encoded == encoded, "its vector was kept"
    assert visit(library, is_deep=True) == []
    assert differences(before, everything(library)) <= {
        "mirada_images",
        "mirada_jobs",
        "mirada_embeddings",
        "mirada_text_embeddings",
        "mirada_change_counter",
    }


def counter(site: Site) -> int:
    with site.runtime.reading() as session:
        return changes.current_seq(session)


def test_damaged_originals_are_told_and_left(files: Site) -> None:
    first, second = contents(files)[1:3]
    images = files.runtime.settings.image_dir
    longer, flipped = images / first.storage_key, images / second.storage_key
    longer.write_bytes(longer.read_bytes() + b"!")
    content = flipped.read_bytes()
    flipped.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    planted = everything(files)

    sizes, bytes_too = visit(files), visit(files, repairs=True, is_deep=True)

    assert [(each.kind, each.subject) for each in sizes] == [
        (kinds.OTHER_SIZE, f"content {first.id}")
    ]
    assert f"instead of {first.byte_size:,}" in sizes[0].detail
    assert [(each.kind, each.subject) for each in bytes_too] == [
        (kinds.OTHER_SIZE, f"content {first.id}"),
        (kinds.OTHER_BYTES, f"content {second.id}"),
    ]
    assert all(each.is_open for each in bytes_too)
    assert differences(planted, everything(files)) == set()


def test_a_folder_in_place_of_a_file_is_a_missing_file(files: Site) -> None:
    content = contents(files)[1]
    path = files.runtime.settings.image_dir / content.storage_key
    path.unlink()
    path.mkdir()

    assert [each.kind for each in visit(files)] == [kinds.MISSING]


# Copies.


def test_missing_copies_are_made_again(library: Site) -> None:
    still, moving = contents(library)[1], contents(library)[3]
    copies = library.runtime.settings.copies_dir
    before = everything(library)
    (copies / f"{still.storage_key}.320.2.webp").unlink()
    (copies / f"{moving.storage_key}.{MOVING}").write_bytes(b"")

    found = visit(library)

    assert {(each.kind, each.subject, each.detail) for each in found} == {
        (kinds.MISSING_COPIES, f"content {still.id}", "Its 320.2.webp is missing."),
        (kinds.MISSING_COPIES, f"content {moving.id}", f"Its {MOVING} is missing."),
    }
    assert not any(each.is_open for each in visit(library, repairs=True))
    work(library)
    assert visit(library) == []
    # WebP is not the same bytes each time only where the encoder is another one.
    assert differences(before, everything(library)) == {"mirada_jobs"}


def test_a_picture_that_can_have_no_copies_lacks_none(files: Site) -> None:
    content = contents(files)[1]
    copies = files.runtime.settings.copies_dir
    (copies / f"{content.storage_key}.320.2.webp").unlink()
    write(copies / f"{content.storage_key}.{NONE}", b"Its pixels cannot be read.")

    assert visit(files) == []


# Deletions that were not carried out.


def test_a_departure_that_was_noted_is_carried_out(library: Site) -> None:
    images = library.runtime.settings.image_dir
    before = everything(library)
    write(images / ORPHAN_KEY)
    write(library.runtime.settings.copies_dir / f"{ORPHAN_KEY}.320.2.webp")
    with library.runtime.transaction() as session:
        session.add(
            FileToRemove(storage_key=ORPHAN_KEY, created_at=utc_now() - timedelta(minutes=11))
        )
        session.add(FileToRemove(storage_key=ORPHAN_KEY.replace("0001", "0002")))

    assert [(each.kind, each.subject) for each in visit(library)] == [
        (kinds.NOT_REMOVED, f"images/{ORPHAN_KEY}")
    ]
    assert not any(each.is_open for each in visit(library, repairs=True))
    assert visit(library) == []
    assert differences(before, everything(library)) == {FileToRemove.__tablename__}


def test_exports_that_nobody_removes_are_removed(files: Site) -> None:
    root = files.runtime.settings.exports_dir
    young = root / f"{files.owner_id}-2-0123456789abcdef"
    write(young / "export.zip")
    before = everything(files)
    old = root / f"{files.owner_id}-1-0123456789abcdef"
    write(old / "export.zip")
    for path in (old / "export.zip", old):
        os.utime(path, (1, 1))

    assert [(each.kind, each.subject) for each in visit(files)] == [
        (kinds.OLD_EXPORT, f"exports/{old.name}")
    ]
    assert not any(each.is_open for each in visit(files, repairs=True))
    assert visit(files) == []
    assert differences(before, everything(files)) == set()


def test_the_end_of_a_user_that_stopped_half_way_goes_on(library: Site) -> None:
    with library.runtime.transaction() as session:
        ended = User(username="ended:7", ended_at=utc_now())
        session.add(ended)
        session.flush()
        image_id = session.execute(select(func.min(Image.id))).scalar_one()
        session.execute(update(Image).where(Image.id == image_id).values(owner_id=ended.id))
        user_id = ended.id
    lost = visit(library, repairs=True)
    assert [(each.kind, each.subject, each.is_open) for each in lost] == [
        (kinds.NOT_ENDED, f"user {user_id}", True)
    ], "nobody knows who was to get the images"

    with library.runtime.transaction() as session:
        job = ledger.enqueue(session, END_USER, subject_id=user_id, arguments={"heir_id": None})
        job.state = JobState.DONE
    assert [each.kind for each in visit(library)] == [kinds.NOT_ENDED]
    assert not any(each.is_open for each in visit(library, repairs=True))
    work(library)
    assert visit(library) == []
    with library.runtime.reading() as session:
        assert session.get(Image, image_id) is None


# Index files.


def test_index_files_that_no_row_names_are_set_aside(library: Site) -> None:
    root = library.runtime.settings.faiss_index_dir
    with library.runtime.transaction() as session:
        epoch = session.execute(select(Installation.db_epoch)).scalar_one()
        for name in ("snap-named", "snap-on-another-machine"):
            session.add(
                IndexSnapshot(
                    name=name,
                    space_id=library.space_id,
                    change_seq=1,
                    db_epoch=epoch,
                    sha256="0" * 64,
                    row_count=1,
                    manifest={},
                    fencing_token=1,
                )
            )
    write(root / epoch / "snap-named" / "manifest.json")
    before = everything(library)
    write(root / epoch / "snap-left" / "manifest.json")
    write(root / epoch / "snap-unfinished.tmp" / "vectors.faiss")
    other = "00000000-0000-4000-8000-000000000000"
    write(root / other / "snap-of-others" / "manifest.json")

    found = visit(library)

    assert {(each.kind, each.subject) for each in found} == {
        (kinds.ORPHAN_SNAPSHOT, f"{root.name}/{epoch}/snap-left"),
        (kinds.ORPHAN_SNAPSHOT, f"{root.name}/{epoch}/snap-unfinished.tmp"),
        (kinds.OTHER_INDEXES, f"{root.name}/{other}"),
        (kinds.NO_SNAPSHOT, f"{root.name}/{epoch}/snap-on-another-machine"),
    }
    assert not any(each.is_open for each in visit(library, repairs=True))
    assert {each.kind for each in visit(library)} == {kinds.OTHER_INDEXES, kinds.NO_SNAPSHOT}
    shutil.rmtree(root / other)
    changed = differences(before, everything(library))
    assert all(f"/{QUARANTINE}/" in each for each in changed)
    assert len(changed) == 2


# Vectors and jobs.


def test_what_lacks_its_vector_gets_a_job(library: Site) -> None:
    lacking = contents(library)[1]
    with library.runtime.transaction() as session:
        session.execute(delete(Embedding).where(Embedding.content_id == lacking.id))

    found = visit(library)

    with library.runtime.reading() as session:
        query = select(Image.id).where(Image.content_id == lacking.id)
        image_id = session.execute(query).scalar_one()
    assert [(each.kind, each.subject) for each in found] == [
        (kinds.NO_VECTOR, f"content {lacking.id}"),
        (kinds.READY_WITHOUT_VECTOR, f"image {image_id}"),
    ]
    repaired = visit(library, repairs=True)
    assert [each.kind for each in repaired] == [kinds.NO_VECTOR], "one job does both"
    work(library)
    assert visit(library) == []
    assert library.vectors() == 4


def test_images_that_wait_for_nobody_become_ready(library: Site) -> None:
    waiting = contents(library)[1]
    before = everything(library)
    with library.runtime.transaction() as session:
        session.execute(
            update(Image)
            .where(Image.content_id == waiting.id)
            .values(status=ImageStatus.PROCESSING)
        )

    assert [each.kind for each in visit(library)] == [kinds.WAITING]
    assert not any(each.is_open for each in visit(library, repairs=True))
    assert visit(library) == []
    work(library)
    assert library.statuses() == {ImageStatus.READY: 4}
    assert differences(before, everything(library)) <= {
        "mirada_images",
        "mirada_jobs",
        "mirada_embeddings",
        "mirada_text_embeddings",
        "mirada_change_counter",
    }


def test_vectors_of_nothing_are_dropped_by_indexes(library: Site) -> None:
    with library.runtime.transaction() as session:
        for entity, subject in ((Embedding, "content_id"), (TextEmbedding, "text_id")):
            session.add(
                entity(space_id=library.space_id, vector=b"\0" * 48, crc32=1, **{subject: 4711})
            )

    found = visit(library)

    assert [each.kind for each in found] == [kinds.VECTOR_OF_NOTHING] * 2
    assert [each.subject.split(" of ")[1] for each in found] == ["a content", "a text"]
    assert not any(each.is_open for each in visit(library, repairs=True))
    assert visit(library) == []
    with library.runtime.reading() as session:
        row = session.execute(select(Embedding).where(Embedding.content_id == 4711)).scalar_one()
    # The text's came after it.
    assert (row.is_deleted, row.vector, row.change_seq) == (True, b"", counter(library) - 1)


def test_jobs_of_nothing_are_cancelled_and_others_are_told(library: Site) -> None:
    with library.runtime.transaction() as session:
        for subject_id, state in (
            (4711, JobState.FAILED),
            (contents(library)[1].id, JobState.QUARANTINED),
        ):
            job = ledger.enqueue(
                session, CREATE_EMBEDDINGS, subject_id=subject_id, same_work=f"x:{subject_id}"
            )
            job.state = state
        late = ledger.enqueue(session, "rebuild_index_task", same_work="x")
        late.next_run_at_ms = 1

    found = visit(library)

    assert [each.kind for each in found] == [
        kinds.JOB_OF_NOTHING,
        kinds.GIVEN_UP,
        kinds.NOT_BEGUN,
    ]
    assert [each.is_open for each in visit(library, repairs=True)] == [False, True, True]
    assert [each.kind for each in visit(library)] == [kinds.GIVEN_UP, kinds.NOT_BEGUN]


# Rows that nobody needs.


def test_a_picture_of_nobody_is_taken_out_and_its_file_kept_for_a_while(library: Site) -> None:
    content = contents(library)[1]
    images = library.runtime.settings.image_dir
    before = everything(library)
    kept = (images / content.storage_key).read_bytes()
    with unchecked(library) as connection:
        connection.execute(delete(Image).where(Image.content_id == content.id))
        for table in (Like, ImageTag, PackImage, ImageLabels):
            connection.execute(delete(table))

    found = visit(library)

    assert (kinds.NOBODYS, f"content {content.id}") in [(e.kind, e.subject) for e in found]
    assert not any(each.is_open for each in visit(library, repairs=True))
    work(library)
    assert visit(library, is_deep=True) == []
    aside = images / QUARANTINE / utc_now().date().isoformat() / content.storage_key
    assert aside.read_bytes() == kept
    with library.runtime.reading() as session:
        assert session.get(Content, content.id) is None
        assert session.execute(select(FileToRemove)).all() == []
    changed = differences(before, everything(library))
    others = [each.storage_key for each in contents(library) if each.storage_key]
    assert not any(key in each for each in changed for key in others)


def test_a_text_of_nobody_is_taken_out(library: Site) -> None:
    before = everything(library)
    with library.runtime.transaction() as session:
        session.add(TextContent(sha256="1" * 64, body="nobody's words"))

    assert [each.kind for each in visit(library)] == [kinds.NOBODYS_TEXT]
    assert not any(each.is_open for each in visit(library, repairs=True))
    assert visit(library) == []
    assert differences(before, everything(library)) <= {"mirada_change_counter"}


def test_rows_whose_owner_is_gone_are_written_down_and_taken_out(library: Site) -> None:
    before = everything(library)
    gone = 4711
    now = utc_now()
    with unchecked(library) as connection:
        connection.execute(
            insert(Like).values(user_id=library.owner_id, image_id=gone, created_at=now)
        )
        connection.execute(insert(ImageTag).values(image_id=gone, tag="dog", name="Dog"))
        pack_id = connection.execute(select(Pack.id)).scalar_one()
        connection.execute(
            insert(PackImage).values(pack_id=pack_id, image_id=gone, position=2, created_at=now)
        )
        connection.execute(
            insert(ImageLabels).values(
                image_id=gone,
                space_id=library.space_id,
                judged_by="x",
                score=0.5,
                logits=b"\x00\xff",
                is_far=False,
                computed_at=now,
            )
        )
    planted = {"mirada_likes", "mirada_image_tags", "mirada_pack_images", "mirada_image_labels"}
    assert differences(before, everything(library)) == planted

    found = visit(library)

    assert {each.kind for each in found} == {kinds.DANGLING}
    assert {each.subject.partition(":")[0] for each in found} == planted
    assert all(each.detail == f"Its image_id is {gone}." for each in found)
    assert not any(each.is_open for each in visit(library, repairs=True))
    assert visit(library) == []
    after = everything(library)
    (rows,) = differences(before, after)
    assert rows.endswith(f"{QUARANTINE}/{now.date().isoformat()}/rows.jsonl")
    lines = [json.loads(line) for line in after[rows].splitlines()]
    assert {line["table"] for line in lines} == planted
    labels = next(line["row"] for line in lines if line["table"] == "mirada_image_labels")
    assert (labels["image_id"], labels["logits"]) == (gone, "00ff")


def test_a_row_that_mirada_needs_is_told_and_left(library: Site) -> None:
    with unchecked(library) as connection:
        image_id = connection.execute(select(func.max(Image.id))).scalar_one()
        connection.execute(update(Image).where(Image.id == image_id).values(owner_id=4711))
    planted = everything(library)

    found = visit(library, repairs=True)

    assert [(each.kind, each.subject, each.detail) for each in found] == [
        (kinds.BROKEN_REFERENCE, f"mirada_images: id {image_id}", "Its owner_id is 4711.")
    ]
    assert found[0].is_open
    assert differences(planted, everything(library)) == set()


def test_every_kind_is_found_by_some_test_of_this_file() -> None:
    # Told by a command about the models, and by what the disk refuses, in other files.
    elsewhere = {kinds.MODEL, kinds.UNREADABLE}
    names = {name for name, value in vars(kinds).items() if value in kinds.ALL}
    source = Path(__file__).read_text()

    assert {
        name
        for name in names
        if f"kinds.{name}" not in source and getattr(kinds, name) not in elsewhere
    } == set()


def test_the_page_has_every_kind() -> None:
    page = (PROJECT_ROOT / "docs" / "doctor.md").read_text()

    assert [each.name for each in kinds.ALL if f"`{each.name}`" not in page] == []
