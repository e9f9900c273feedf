"""What a web process does beside answering: migrate until it works, import a folder, end cleanly."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from mirada.config import AuthMode, Settings
from mirada.db.models import Image
from mirada.db.spaces import pin_space
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import Unavailable
from mirada.people import users
from mirada.runtime import Runtime
from testing.deployment import free_port, wait_until
from testing.patience import PATIENCE_S
from testing.pictures import picture
from testing.registering import take_in
from testing.servers.mariadb import MariaDbServer
from testing.worksite import Site
from tests.conftest import MakeRuntime
from webapp import serving
from webapp.serving import Serving, _ready_line


def _image_count(runtime: Runtime) -> int:
    with runtime.reading() as session:
        return session.scalar(select(func.count()).select_from(Image)) or 0


def test_a_folder_is_imported_at_every_start_and_each_file_once(
    make_runtime: MakeRuntime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "pictures" / "below"
    folder.mkdir(parents=True)
    (folder / "one.png").write_bytes(picture(1))
    (folder / "same.png").write_bytes(picture(1))
    (folder.parent / "two.jpg").write_bytes(picture(2, "JPEG"))
    (folder.parent / "broken.jpg").write_bytes(picture(3, "JPEG")[:200])
    caplog.set_level(logging.INFO, logger="webapp.serving")
    first = make_runtime(import_dir=folder.parent, embeddings_enabled=False, port=free_port())
    for runtime in (first, make_runtime(**first.settings.model_dump(exclude_unset=True))):
        caplog.clear()
        serving = Serving(runtime, is_migrated=True, is_first=True)
        serving.start()
        wait_until(
            lambda: any("already there" in record.message for record in caplog.records),
            what="the import's summary in the log",
        )
        assert _image_count(runtime) == 2
        assert "broken.jpg" in caplog.text
        serving.stop()


def test_a_database_that_is_away_for_a_moment_is_told_by_what_was_left_undone(
    make_runtime: MakeRuntime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away(*_: Any) -> Any:
        raise Unavailable("The database cannot be reached.")

    monkeypatch.setattr(users, "local_user", away)
    runtime = make_runtime(import_dir=tmp_path, port=free_port())
    monkeypatch.setattr(runtime, "misses_production_model", away)
    serving = Serving(runtime, is_migrated=True, is_first=True)
    serving.start()
    wait_until(lambda: "production model" in caplog.text, what="the last line of the start")
    serving.stop()
    assert "IMPORT_DIR: The database cannot be reached." in caplog.text
    assert "not known: The database cannot be reached." in caplog.text
    assert "Starting up did not finish" not in caplog.text


def test_pictures_that_came_while_embeddings_were_off_are_embedded_once_they_are_on(
    make_runtime: MakeRuntime,
) -> None:
    without = make_runtime(embeddings_enabled=False)
    with without.transaction() as session:
        owner_id = users.local_user(session).id
    staged = without.image_store.stage()
    staged.stream.write(picture(1))
    staged.stream.flush()
    take_in(
        without,
        staged,
        declared_media_type="image/png",
        filename="one.png",
        owner_id=owner_id,
        is_public=True,
    )
    runtime = make_runtime(data_dir=without.settings.data_dir, port=free_port())
    serving = Serving(runtime, is_migrated=True, is_first=True)
    serving.start()

    def status() -> str | None:
        with runtime.reading() as session:
            return session.scalar(select(Image.status))

    wait_until(lambda: status() == "READY", what="the picture's vector")
    serving.stop()


def test_an_index_is_loaded_before_the_weights(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search by a stored image needs no encoder, and people wait for it after a restart."""
    site = make_site(port=free_port())
    loaded: list[str] = []
    index = site.runtime.index(site.space_id)

    def refresh() -> int:
        if threading.current_thread() is threading.main_thread():  # the follower refreshes as well
            loaded.append("index")
        return 0

    monkeypatch.setattr(index, "refresh", refresh)
    monkeypatch.setattr(type(site.runtime), "encoder", property(lambda _: loaded.append("weights")))
    Serving(site.runtime, is_migrated=True, is_first=False)._load()
    assert loaded == ["index", "weights", "index"]


def test_serving_open_callers_on_a_network_is_warned_about(
    make_runtime: MakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    for mode, open_as, said in (
        ("open", None, "the rights of a user"),
        ("open", "administrator", "the rights of an administrator"),
        ("keys", None, None),
    ):
        caplog.clear()
        runtime = make_runtime(
            host="0.0.0.0",
            auth_mode=mode,
            open_as=open_as,
            embeddings_enabled=False,
            port=free_port(),
        )
        serving = Serving(runtime, is_migrated=True, is_first=True)
        serving.start()
        serving.stop()
        assert caplog.text.count("acts as the local user") == (said is not None)
        assert said is None or said in caplog.text


def test_the_ready_line_invites_to_search_only_where_there_is_a_search() -> None:
    settings = Settings.from_env(embeddings_enabled=True)
    assert "`make demo`" in _ready_line(settings)
    assert "search for" in _ready_line(settings)
    # Typed in another terminal, it has to find this server.
    other = settings.model_copy(update={"port": 8001})
    assert "`PORT=8001 make demo`" in _ready_line(other)
    keys = other.model_copy(update={"auth_mode": AuthMode.KEYS})
    assert "`bin/mirada users create NAME --admin`" in _ready_line(keys)
    assert '`PORT=8001 make demo ARGS="--key KEY"`' in _ready_line(keys)
    off = settings.model_copy(update={"embeddings_enabled": False})
    assert "make demo" not in _ready_line(off)
    assert "EMBEDDINGS_ENABLED" in _ready_line(off)


def test_what_a_process_counted_is_published_now_and_then_and_at_its_end(
    make_runtime: MakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PUBLISH_EVERY_S", 0.05)
    published: list[bool] = []
    runtime = make_runtime(embeddings_enabled=False, port=free_port())
    process = Serving(
        runtime, is_migrated=True, is_first=False, publish=lambda: published.append(is_stopping)
    )
    is_stopping = False
    process.start()
    wait_until(lambda: len(published) >= 3, what="three times published")
    is_stopping = True
    process.stop()
    assert published[-1]


@pytest.mark.mariadb
def test_a_database_that_comes_late_is_migrated_without_a_restart(
    mariadb: MariaDbServer, tmp_path: Path
) -> None:
    settings = Settings.from_env(
        data_dir=tmp_path, database_url=mariadb.url("not_there_yet"), embeddings_enabled=False
    )
    runtime = Runtime(settings)
    with pytest.raises(Unavailable):
        runtime.migrate()
    serving = Serving(runtime, is_migrated=False, is_first=False)
    serving.start()
    try:
        mariadb.execute("CREATE DATABASE not_there_yet")

        def has_tables() -> bool:
            try:
                return _image_count(runtime) == 0
            except Unavailable:  # no database, then no tables yet
                return False

        wait_until(has_tables, what="the tables of a database that came late")
    finally:
        serving.stop()
        mariadb.execute("DROP DATABASE not_there_yet")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("gallery.example", "http://gallery.example:8000"),
    ],
)
def test_the_address_it_tells_can_be_opened(host: str, address: str) -> None:
    assert Settings.from_env(host=host, auth_mode="keys").address == address


def test_the_first_start_makes_what_signs_sessions(
    make_runtime: MakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    made, refused = (make_runtime(embeddings_enabled=False, port=free_port()) for _ in range(2))
    refused.settings.secret_file.mkdir()
    for runtime in (made, refused):
        serving = Serving(runtime, is_migrated=True, is_first=False)
        serving.start()
        serving._threads[0].join(PATIENCE_S)
        serving.stop()
    assert len(made.settings.secret_file.read_text().strip()) == 64
    assert caplog.text.count("set SECRET_KEY") == 1


@pytest.mark.parametrize(
    ("model", "is_there", "is_told"),
    [("auto", True, True), ("auto", False, False), ("bundled", True, False)],
)
def test_each_start_tells_that_the_production_model_can_be_had_now(
    make_runtime: MakeRuntime,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    is_there: bool,
    is_told: bool,
) -> None:
    monkeypatch.setattr("mirada.runtime.production_is_available", lambda _: is_there)
    runtime = make_runtime(clip_model=model)
    with runtime.transaction() as session:
        space = EmbeddingSpace(SpaceKind.IMAGE, "mirada-stickers", "sha256-1", "none", 2)
        pin_space(session, space)
    Serving(runtime, is_migrated=True, is_first=True)._tell_of_production()
    assert ("bin/mirada models switch production" in caplog.text) is is_told
