"""Importing folders: what is found, each picture once, interrupted and gone on with, beside a server."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from mirada.config import PROJECT_ROOT
from mirada.db.memory_models import TextContent
from mirada.db.models import Content, Image, Job, User
from mirada.db.session import Database
from mirada.db.texts import locked_text_id
from mirada.kernel.errors import InvalidInput, Unavailable
from mirada.kernel.file_metadata import FileMetadata
from mirada.kernel.images import ImageFormat, PictureFacts
from mirada.kernel.prompts import prompt_digest
from mirada.people import users
from mirada.pictures import folder_import, register
from mirada.pictures.folder_import import import_folder
from mirada.pictures.folder_scan import ImportReport, register_batch, scan_folder
from mirada.pictures.left_out import SKIPPED, Why
from mirada.pictures.new_image import NewImage, Processing
from mirada.pictures.quota import change_quota
from mirada.pictures.register import NewPicture
from mirada.runtime import Runtime
from testing.console import run_command
from testing.generators import png_with, text_chunk
from testing.heic import FILES
from testing.pictures import picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with 12 pictures in three levels, and what else lies in folders."""
    root = tmp_path / "pictures"
    for number in range(12):
        below = root / ["", "cats", "cats/big"][number % 3]
        below.mkdir(parents=True, exist_ok=True)
        fmt = ["PNG", "JPEG", "WEBP", "GIF"][number % 4]
        (below / f"{number:02}.{fmt}").write_bytes(picture(number, fmt))
    (root / ".hidden.png").write_bytes(picture(90))
    (root / ".cache").mkdir()
    (root / ".cache" / "x.png").write_bytes(picture(91))
    (root / "notes.txt").write_text("words")
    os.mkfifo(root / "pipe.png")
    return root


@pytest.fixture
def owner_id(runtime: Runtime) -> int:
    with runtime.transaction() as session:
        return users.local_user(session).id


def run(runtime: Runtime, owner_id: int, folder: Path, **options: object) -> ImportReport:
    return import_folder(
        runtime,
        folder,
        owner_id=owner_id,
        is_public=False,
        **options,  # type: ignore[arg-type]
    )


def counts(runtime: Runtime) -> tuple[int, int, int]:
    with runtime.reading() as session:
        one, two, three = (
            session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (Content, Image, Job)
        )
    return one, two, three


def stored_files(runtime: Runtime) -> set[str]:
    root = runtime.settings.image_dir
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def storage_keys(runtime: Runtime) -> set[str]:
    with runtime.reading() as session:
        return set(session.execute(select(Content.storage_key)).scalars())


def test_files_beyond_the_quota_are_refused_and_the_others_taken(
    runtime: Runtime, owner_id: int, folder: Path
) -> None:
    with runtime.transaction() as session:
        change_quota(session, owner_id, {"quota_images": 5})
    report = run(runtime, owner_id, folder)
    assert (report.taken, len(report.refused)) == (5, 7)
    assert {entry.kind for entry in report.refused} == {Why.NO_ROOM}
    assert "5 of at most 5 images" in report.refused[0].reason
    assert counts(runtime)[0] == 5
    assert len(stored_files(runtime)) == 5
    # More room, and the same folder again: the rest comes in.
    with runtime.transaction() as session:
        change_quota(session, owner_id, {"quota_images": None})
    again = run(runtime, owner_id, folder)
    assert (again.taken, again.already_there, again.refused) == (7, 5, [])


def test_a_scan_finds_pictures_at_every_depth_in_one_order(folder: Path) -> None:
    scan = scan_folder(folder)
    assert len(scan.pictures) == 12
    assert scan.pictures == sorted(scan.pictures)
    assert [scan.count(kind) for kind in SKIPPED] == [2, 0, 2, 0]


def test_links_that_lead_out_are_not_followed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(picture(99))
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "linked").symlink_to(outside)
    (folder / "circle").symlink_to(folder)
    (folder / "broken.png").symlink_to("nowhere.png")
    (folder / "inside.png").symlink_to(next(folder.glob("cats/*.*")))
    scan = scan_folder(folder)
    assert scan.count(Why.LINK) == 4
    assert len(scan.pictures) == 13


def test_every_picture_is_taken_once(runtime: Runtime, owner_id: int, folder: Path) -> None:
    shutil.copy(folder / "00.PNG", folder / "copy of 00.PNG")
    seen: list[int] = []
    report = run(
        runtime, owner_id, folder, batch_size=5, report=lambda report: seen.append(report.done)
    )
    assert (report.taken, report.already_there, report.refused) == (12, 1, [])
    assert report.is_complete
    assert counts(runtime) == (12, 12, 12)
    assert seen == [0, 5, 10, 13]
    assert report.summary() == (
        "12 imported, 1 already there, 0 refused. Skipped: 2 hidden, 2 not pictures."
    )
    again = run(runtime, owner_id, folder)
    assert (again.taken, again.already_there) == (0, 13)
    assert counts(runtime) == (12, 12, 12)
    assert stored_files(runtime) == storage_keys(runtime)


def test_images_carry_their_file_names_and_belong_to_their_owner(
    runtime: Runtime, owner_id: int, folder: Path
) -> None:
    run(runtime, owner_id, folder)
    with runtime.reading() as session:
        images = session.execute(select(Image)).scalars().all()
    assert {image.owner_id for image in images} == {owner_id}
    assert {image.filename for image in images} == {
        path.name for path in scan_folder(folder).pictures
    }
    assert not any(image.is_public for image in images)


def test_an_import_reads_what_generators_wrote_unless_told_otherwise(
    runtime: Runtime, owner_id: int, tmp_path: Path
) -> None:
    root = tmp_path / "generated"
    root.mkdir()
    (root / "pear.png").write_bytes(png_with(text_chunk("parameters", "a pear\nSteps: 2, Seed: 1")))
    command = ["images", "import", str(root), "--no-metadata", "--public"]
    assert run_command(runtime, *command).exit_code == 0
    with runtime.transaction() as session:
        (image,) = session.query(Image).all()
        assert (image.prompt, image.generation) == (None, None)
        other_id = users.create_user(session, "ana").id
    run(runtime, other_id, root)
    with runtime.reading() as session:
        image = session.query(Image).where(Image.owner_id == other_id).one()
        assert image.prompt == "a pear"
        assert image.generation is not None
        assert image.generation["seed"] == "1"


def test_another_owner_gets_images_of_their_own_of_the_same_contents(
    runtime: Runtime, owner_id: int, folder: Path
) -> None:
    run(runtime, owner_id, folder)
    with runtime.transaction() as session:
        other = User(username="bea")
        session.add(other)
        session.flush()
        other_id = other.id
    assert run(runtime, other_id, folder).taken == 12
    assert counts(runtime) == (12, 24, 24)
    assert stored_files(runtime) == storage_keys(runtime)


def test_what_is_refused_is_named_with_its_reason_and_stops_nothing(
    runtime: Runtime, owner_id: int, folder: Path
) -> None:
    (folder / "cut.jpg").write_bytes(picture(50, "JPEG")[:500])
    (folder / "empty.gif").write_bytes(b"")
    (folder / "page.png").write_bytes(b"<html>")
    (folder / "big.png").write_bytes(b"\0" * (51 * 1024 * 1024))
    (folder / "wrong suffix.gif").write_bytes(picture(51, "JPEG"))

    def vanish(report: ImportReport) -> None:
        (folder / "cats" / "01.JPEG").unlink(missing_ok=True)

    report = run(runtime, owner_id, folder, report=vanish)
    reasons = {refusal.path: refusal.reason for refusal in report.refused}
    assert set(reasons) == {"cut.jpg", "empty.gif", "page.png", "big.png", "cats/01.JPEG"}
    assert "truncated" in reasons["cut.jpg"]
    assert "empty" in reasons["empty.gif"]
    assert "AVIF, HEIC, TIFF or BMP" in reasons["page.png"]
    assert "50 MB" in reasons["big.png"]
    assert "vanished" in reasons["cats/01.JPEG"]
    assert report.taken == 12
    assert report.done == report.total
    assert stored_files(runtime) == storage_keys(runtime)


def test_what_other_programs_leave_beside_pictures_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    for folder in (
        "@eaDir/cat.jpg",
        "__MACOSX",
        "#recycle",
        "$RECYCLE.BIN",
        ".thumbnails",
        ".Trash-0",
    ):
        (root / folder).mkdir(parents=True)
        (root / folder / "SYNOFILE_THUMB_XL.jpg").write_bytes(picture(1, "JPEG"))
    (root / "cats").mkdir()
    for name in ("cat.jpg", "cats/eadir.png"):
        (root / name).write_bytes(picture(2, "PNG"))
    for name in ("Thumbs.db", "desktop.ini", "._cat.jpg", "cats/._cat.jpg", ".DS_Store"):
        (root / name).write_bytes(b"x")
    scan = scan_folder(root)
    assert [path.name for path in scan.pictures] == ["cat.jpg", "eadir.png"]
    assert {entry.path: str(entry.kind) for entry in scan.skipped} == {
        **dict.fromkeys(
            ("@eaDir/", "__MACOSX/", "#recycle/", "$RECYCLE.BIN/"), "of other programs"
        ),
        **dict.fromkeys(("Thumbs.db", "desktop.ini", "._cat.jpg"), "of other programs"),
        "cats/._cat.jpg": "of other programs",
        **dict.fromkeys((".thumbnails/", ".Trash-0/", ".DS_Store"), "hidden"),
    }


def test_every_suffix_of_a_picture_is_looked_at(
    runtime: Runtime, owner_id: int, tmp_path: Path
) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    formats = {".apng": "PNG", ".webp": "WEBP", ".gif": "GIF", ".avif": "AVIF", ".tif": "TIFF"}
    formats |= {".tiff": "TIFF", ".bmp": "BMP", ".dib": "BMP", ".mpo": "JPEG", ".jpe": "JPEG"}
    formats |= {".jfif": "JPEG", ".jif": "JPEG", ".PJP": "JPEG", ".pjpeg": "JPEG", ".PNG": "PNG"}
    for number, (suffix, fmt) in enumerate(formats.items()):
        (root / f"one{suffix}").write_bytes(picture(number, fmt))
    (root / "one.heic").write_bytes((FILES / "heic_part_0.heic").read_bytes())
    report = run(runtime, owner_id, root)
    assert (report.taken, report.all_refused) == (len(formats) + 1, [])
    with runtime.reading() as session:
        kept = set(session.execute(select(Content.format)).scalars())
    assert kept == {"PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "JPEG", "HEIC"}


def test_every_file_that_was_not_taken_is_in_the_report(
    runtime: Runtime, folder: Path, tmp_path: Path
) -> None:
    (folder / "cut.jpg").write_bytes(picture(50, "JPEG")[:500])
    (folder / 'odd,\n"name".psd').write_bytes(b"x")
    (folder / os.fsdecode(b"latin-\xe9.png")).write_bytes(b"x")
    (folder / "twice.PNG").write_bytes((folder / "00.PNG").read_bytes())
    table = tmp_path / "left out.csv"
    done = run_command(runtime, "images", "import", str(folder), "--report", str(table))
    assert done.exit_code == 1
    assert "2 refused (1 damaged, 1 of a kind that is not taken)" in done.output
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = {row["path"]: row["kind"] for row in rows}
    assert kinds == {
        "cut.jpg": "damaged",
        'odd,\n"name".psd': "not pictures",
        os.fsdecode(b"latin-\xe9.png"): "of a kind that is not taken",
        "twice.PNG": "already there",
        ".hidden.png": "hidden",
        ".cache/": "hidden",
        "notes.txt": "not pictures",
        "pipe.png": "not pictures",
    }
    assert all(row["reason"].endswith((".", ")")) for row in rows)
    assert run_command(runtime, "images", "import", str(folder), "--report", "/no/x").exit_code == 2


def test_the_report_is_written_when_an_import_ends_early(
    runtime: Runtime, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: object, **__: object) -> None:
        raise Unavailable("The disk is away.")

    monkeypatch.setattr("mirada.pictures.folder_import.PATIENCE_S", 0.0)
    monkeypatch.setattr(runtime.image_store, "stage", stuck)
    table = tmp_path / "left out.csv"
    done = run_command(runtime, "images", "import", str(folder), "--report", str(table))
    assert done.exit_code == 1
    assert ".hidden.png,hidden," in table.read_text()


def test_a_folder_that_is_not_there_is_said_so(
    runtime: Runtime, owner_id: int, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        run(runtime, owner_id, tmp_path / "nowhere")


def test_an_import_that_was_killed_goes_on_where_it_was(
    runtime: Runtime, owner_id: int, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.png").write_bytes(picture(number))
    code = (
        "import sys, time; from pathlib import Path\n"
        "from mirada.runtime import Runtime; from mirada.config import Settings\n"
        "from mirada.pictures.folder_import import import_folder\n"
        "runtime = Runtime(Settings.from_env(data_dir=Path(sys.argv[1])))\n"
        "def report(report):\n"
        "    print(report.taken, flush=True); time.sleep(0.05 if report.taken < 12 else 0.5)\n"
        f"import_folder(runtime, Path(sys.argv[2]), owner_id={owner_id}, is_public=False,\n"
        "    batch_size=4, report=report)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(runtime.settings.data_dir), str(folder)],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 12:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    taken = counts(runtime)[1]
    assert 12 <= taken < 60
    report = run(runtime, owner_id, folder)
    assert (report.taken, report.already_there) == (60 - taken, taken)
    assert counts(runtime) == (60, 60, 60)
    assert storage_keys(runtime) <= stored_files(runtime)


def test_two_imports_and_a_busy_server_get_along(
    runtime: Runtime,
    make_runtime: Callable[..., Runtime],
    owner_id: int,
    folder: Path,
) -> None:
    # Two processes' worth of engines on one SQLite file, and a writer that keeps the lock busy.
    other = make_runtime(data_dir=runtime.settings.data_dir)
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            with other.transaction() as session:
                session.add(User(username=f"user{time.monotonic_ns()}"))
                session.flush()
                time.sleep(0.005)

    reports: list[ImportReport] = []
    writer = threading.Thread(target=write)
    imports = [
        threading.Thread(
            target=lambda engine=engine: reports.append(  # type: ignore[misc]
                run(engine, owner_id, folder, batch_size=3)
            )
        )
        for engine in (runtime, other)
    ]
    writer.start()
    for thread in imports:
        thread.start()
    for thread in imports:
        thread.join()
    is_over.set()
    writer.join()
    assert sum(report.taken for report in reports) == 12
    assert sum(report.already_there for report in reports) == 12
    assert counts(runtime) == (12, 12, 12)
    assert stored_files(runtime) == storage_keys(runtime)


def test_a_batch_whose_commit_was_lost_is_counted_once_and_keeps_its_files(
    runtime: Runtime, owner_id: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = runtime.transaction
    lost: list[bool] = []

    class Lossy:
        """The transaction, whose first answer to COMMIT gets lost on the way."""

        def __init__(self) -> None:
            self.block = transaction()

        def __enter__(self) -> object:
            return self.block.__enter__()

        def __exit__(self, *error: object) -> object:
            ended = self.block.__exit__(*error)  # type: ignore[arg-type]
            if not lost:
                lost.append(True)
                raise Unavailable("The database connection was lost; try again shortly.")
            return ended

    monkeypatch.setattr(runtime, "transaction", Lossy)
    report = run(runtime, owner_id, folder)
    assert lost
    assert (report.taken, report.already_there) == (12, 0)
    assert counts(runtime) == (12, 12, 12)
    assert stored_files(runtime) == storage_keys(runtime)


def test_an_import_stops_between_batches_when_asked(
    runtime: Runtime, owner_id: int, folder: Path
) -> None:
    asked = iter([False, False, True])
    report = run(runtime, owner_id, folder, batch_size=4, is_stopping=lambda: next(asked))
    assert report.taken == 8
    assert not report.is_complete


# The command


def test_the_command_takes_a_folder_and_says_what_came_of_it(
    runtime: Runtime, folder: Path
) -> None:
    done = run_command(runtime, "images", "import", str(folder), "--public")
    assert done.exit_code == 0, done.output
    assert "12 imported, 0 already there, 0 refused" in done.output
    with runtime.reading() as session:
        assert session.execute(select(Image.is_public).distinct()).scalars().all() == [True]
    (folder / "bad.png").write_bytes(b"no picture")
    done = run_command(runtime, "images", "import", str(folder))
    assert done.exit_code == 1
    assert "refused: bad.png: The file is not a picture" in done.output
    assert "0 imported, 12 already there, 1 refused" in done.output
    assert run_command(runtime, "images", "import", "/nowhere").exit_code == 2
    done = run_command(runtime, "images", "import", str(folder), "--owner", "nobody")
    assert done.exit_code == 1
    assert "There is no user 'nobody'" in done.output


# Locks


@pytest.mark.mariadb
def test_a_batch_locks_all_its_contents_and_then_all_its_prompts_in_one_order(
    mariadb_database: Database,
) -> None:
    # The prompts lie crosswise to the pictures: taken one by one, they would be locked crosswise.
    digests = sorted(["one", "two", "three", "four"], key=prompt_digest)
    pictures = [
        (generated(letter, prompt), f"{letter}.png")
        for letter, prompt in zip("abcd", reversed(digests), strict=True)
    ]
    with mariadb_database.transaction() as session:
        owner_id = users.create_user(session, "ana").id
        known = [locked_text_id(session, prompt) for prompt in ("three", "one")]
    locked: list[tuple[str, object]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if "FOR UPDATE" in statement:
            table = re.search(r"FROM (\w+)", statement)
            assert table
            locked.append((table[1], next(iter(parameters.values()))))

    event.listen(mariadb_database.engine, "before_cursor_execute", note)
    try:
        with mariadb_database.transaction() as session:
            taken = register_batch(session, pictures, NewImage(owner_id), Processing(None))
    finally:
        event.remove(mariadb_database.engine, "before_cursor_execute", note)
    assert [registered.image.prompt for _, registered in taken] == list(reversed(digests))

    first_of_each = list(dict.fromkeys(locked))
    contents = [row for table, row in first_of_each if table == "mirada_contents"]
    texts = [row for table, row in first_of_each if table == "mirada_text_contents"]
    assert first_of_each[:8] == [("mirada_contents", row) for row in contents] + [
        ("mirada_text_contents", row) for row in texts
    ]
    assert (contents, texts) == (sorted(contents), sorted(texts))  # type: ignore[type-var]
    assert set(known) < set(texts)


def test_a_picture_that_its_owner_has_leaves_no_prompt_without_an_image(database: Database) -> None:
    with database.transaction() as session:
        owner_id = users.create_user(session, "ana").id
    for prompt in ("a pear", "another"):
        with database.transaction() as session:
            register_batch(
                session,
                [(generated("a", prompt), "a.png")],
                NewImage(owner_id),
                Processing(None),
            )
    with database.reading() as session:
        assert session.execute(select(TextContent.body)).scalars().all() == ["a pear"]


def test_bytes_that_are_twice_in_a_batch_are_one_image_and_locked_once(database: Database) -> None:
    with database.transaction() as session:
        owner_id = users.create_user(session, "ana").id
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    picture = generated("a", "a pear")
    event.listen(database.engine, "before_cursor_execute", note)
    try:
        with database.transaction() as session:
            twice = [(picture, "a.png"), (picture, "b.png"), (generated("b", "a plum"), "c.png")]
            taken = register_batch(session, twice, NewImage(owner_id), Processing(None))
    finally:
        event.remove(database.engine, "before_cursor_execute", note)

    assert [found.was_replayed for _, found in taken] == [False, True, False]
    first, second, third = (found.image.id for _, found in taken)
    assert first == second != third
    # All are looked for before their INSERT and once after it, and none by itself.
    of_contents = [
        each.split()[0]
        for each in sent
        if each.startswith("INSERT INTO mirada_contents")
        or re.search(r"FROM mirada_contents\s+WHERE", each)
    ]
    assert of_contents == ["SELECT", "INSERT", "SELECT"]


@pytest.mark.mariadb
def test_a_batch_meets_what_came_in_meanwhile_and_what_has_no_bytes(
    mariadb_database: Database,
) -> None:
    one, two, three = (generated(letter, "a pear") for letter in "abc")
    with mariadb_database.transaction() as session:
        owner_id = users.create_user(session, "ana").id
        other_id = users.create_user(session, "bo").id
        # Somebody had it classified: there is a row without bytes.
        register.locked_content(session, replace(two, storage_key=""))

    did_come_in = []

    def come_in(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("INSERT INTO mirada_contents") and not did_come_in:
            did_come_in.append(statement)
            with mariadb_database.transaction() as session:
                theirs = replace(three, storage_key="theirs.png")
                register_batch(session, [(theirs, "c.png")], NewImage(other_id), Processing(None))

    event.listen(mariadb_database.engine, "before_cursor_execute", come_in)
    try:
        with mariadb_database.transaction() as session:
            batch = [(each, "x.png") for each in (three, two, one)]
            taken = register_batch(session, batch, NewImage(owner_id), Processing(None))
    finally:
        event.remove(mariadb_database.engine, "before_cursor_execute", come_in)

    assert did_come_in
    assert [found.is_new_content for _, found in taken] == [True, True, False]
    kept = [found.image.content.storage_key for _, found in taken]
    assert kept == [one.storage_key, two.storage_key, "theirs.png"]
    assert all(found.job_id is not None for _, found in taken)


def generated(letter: str, prompt: str) -> NewPicture:
    """Return a picture that tells its prompt."""
    facts = PictureFacts(ImageFormat.PNG, 1, 1, 1, FileMetadata("x", prompt=prompt))
    return NewPicture(letter * 64, 1, facts, register.storage_key(letter * 64, facts.format))


@pytest.mark.parametrize(("held_bytes", "times"), [(64 * 1024 * 1024, 1), (0, 2)])
def test_a_file_is_read_once_unless_a_batch_is_too_large_to_hold(
    runtime: Runtime,
    owner_id: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    held_bytes: int,
    times: int,
) -> None:
    opened: list[str] = []
    open_file = os.open

    def noting(path: Any, *arguments: Any, **more: Any) -> int:
        if str(path).startswith(str(folder)):
            opened.append(str(path))
        return open_file(path, *arguments, **more)

    monkeypatch.setattr(folder_import, "HELD_BYTES", held_bytes)
    monkeypatch.setattr(folder_import.os, "open", noting)

    report = run(runtime, owner_id, folder)

    assert report.taken == 12
    assert {path: opened.count(path) for path in opened} == dict.fromkeys(opened, times)
    assert len(set(opened)) == 12
    assert stored_files(runtime) == storage_keys(runtime)
