"""What a web process does beside answering: migrate until it works, import a folder, end cleanly."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mirada.bootstrap import Runtime
from mirada.config import Settings
from mirada.db.models import Image
from mirada.domain.errors import Unavailable
from tests.conftest import MakeRuntime
from tests.e2e.deployment import free_port, wait_until
from tests.pictures import picture
from tests.servers.mariadb import MariaDbServer
from webapp.serving import Serving, base_url


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
            timeout_s=30,
            what="the import's summary in the log",
        )
        assert _image_count(runtime) == 2
        assert "broken.jpg" in caplog.text
        serving.stop()


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

        wait_until(has_tables, timeout_s=20, what="the tables of a database that came late")
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
    assert base_url(Settings.from_env(host=host)) == address
