"""What Mirada writes is readable by its own user alone, and the secret that signs is in no database."""

from __future__ import annotations

import multiprocessing
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.adapters.image_store.local import LocalImageStore
from mirada.config import InvalidSettings, Settings
from mirada.db.models import Base
from mirada.db.webhook_models import Webhook
from mirada.kernel.errors import Unavailable
from mirada.private_files import kept_secret, make_folder
from mirada.runtime import Runtime
from testing.gallery import Gallery
from testing.patience import PATIENCE_S
from workers.runner import run_job

WHOEVER = stat.S_IRWXG | stat.S_IRWXO


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def open_to_others(*folders: Path) -> list[str]:
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return [f"{path} {path.stat().st_mode:o}" for path in paths if path.stat().st_mode & WHOEVER]


def test_everything_that_is_made_is_private_whatever_the_umask(
    umask: int, tmp_path: Path, decoder: Any
) -> None:
    from testing.application import create_app
    from testing.sharing import SharingRuntime

    root = tmp_path / "root"
    folders = root / "var" / "data", root / "snapshots"
    settings = Settings.from_env(data_dir=folders[0], faiss_index_dir=folders[1])
    runtime = SharingRuntime(settings, decoder)
    try:
        runtime.migrate()
        client = create_app(runtime).test_client()
        gallery = Gallery(runtime, client)
        image = gallery.upload(degrees=0)
        for degrees in range(1, 4):
            gallery.upload(degrees=degrees)
        assert gallery.get(image["thumbnail_url"]).status_code == 200
        run_job(runtime, client.post("/api/v1/indexes/image/rebuild").get_json()["id"])
        assert client.post("/api/v1/session", json={}).status_code == 200
        made = {path.name for folder in folders for path in folder.rglob("*")}
        assert {"mirada.db", "mirada.db-wal", "secret_key", "derivatives", "images"} <= made
        assert any(name.endswith(".webp") for name in made)
        assert any(name.startswith("snap-") for name in made)
        assert open_to_others(root) == []
    finally:
        runtime.close()


def test_a_folder_that_was_there_keeps_its_rights(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2770)
    LocalImageStore(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o2770
    assert stat.S_IMODE((shared / ".staging").stat().st_mode) & 0o777 == 0o700


def test_what_has_a_new_entry_is_told_nearest_first(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b") == [tmp_path / "a", tmp_path]
    assert make_folder(tmp_path / "a" / "b") == []


def _answer(path: Path, barrier: Any, answers: Any) -> None:
    barrier.wait()
    answers.put(kept_secret(path))


def test_processes_that_start_at_once_have_one_secret(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    path, count = tmp_path / "data" / "secret_key", 6
    barrier, answers = context.Barrier(count), context.Queue()
    started = [context.Process(target=_answer, args=(path, barrier, answers)) for _ in range(count)]
    for process in started:
        process.start()
    secrets = {answers.get(timeout=PATIENCE_S) for _ in started}
    for process in started:
        process.join(PATIENCE_S)
    assert secrets == {path.read_text().strip()}
    assert len(secrets.pop()) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "\n"])
def test_a_file_that_a_crash_left_empty_is_filled(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret_key"
    path.write_text(content)
    assert len(kept_secret(path)) == 64
    assert kept_secret(path) == kept_secret(path)


def test_an_operator_s_own_secret_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    path.write_text("  " + "s" * 40 + "\n\n")
    path.chmod(0o400)
    assert kept_secret(path) == "s" * 40


def test_a_secret_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    path.write_text("password\n")
    with pytest.raises(Unavailable, match="fewer than 32 characters"):
        kept_secret(path)
    with pytest.raises(InvalidSettings, match=r"SECRET_KEY: .*32 characters") as caught:
        Settings.from_env(secret_key="password")
    assert "password" not in str(caught.value)


def test_a_secret_that_cannot_be_kept_is_one_sentence(
    make_runtime: Callable[..., Runtime],
) -> None:
    from testing.application import create_app

    runtime = make_runtime()
    runtime.settings.secret_file.mkdir()
    client = create_app(runtime).test_client()
    reply = client.post("/api/v1/session", json={})
    assert reply.status_code == 503
    assert "set SECRET_KEY" in reply.get_json()["detail"]
    assert client.get("/api/v1/users/me").status_code == 200


def test_no_table_holds_the_secret(runtime: Runtime, client: FlaskClient) -> None:
    """A dump of the database is no login: what signs cookies is in none of its rows."""
    assert client.post("/api/v1/session", json={}).status_code == 200
    secret = runtime.secret
    with runtime.reading() as session:
        for table in Base.metadata.sorted_tables:
            assert secret not in str(session.execute(table.select()).all())
    assert not [
        column
        for table in Base.metadata.sorted_tables
        for column in table.c
        # What signs messages to one receiver is needed as it is, and opens nothing here (decision 0073).
        if "secret" in column.name and table.name != Webhook.__tablename__
    ]
