"""A dependency that is down: 503 with Retry-After, soon, and never a 500."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.config import Settings
from mirada.health.probes import health_of
from mirada.runtime import Runtime
from testing.gallery import Gallery, as_upload, assert_problem
from testing.patience import Stopwatch
from testing.pictures import picture
from testing.servers.process import free_port


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of an app whose database server is not there."""
    from testing.application import create_app

    runtime = Runtime(
        Settings.from_env(
            database_url=f"mysql+pymysql://u:p@127.0.0.1:{free_port()}/mirada",
            data_dir=tmp_path / "data",
            faiss_index_dir=tmp_path / "faiss",
            clip_model="bundled",
            auth_mode="open",
        )
    )
    yield create_app(runtime).test_client()
    runtime.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "/api/v1/images", {}),
        ("get", "/api/v1/images/1", {}),
        ("get", "/api/v1/jobs", {}),
        ("get", "/static/1.png", {}),
        ("post", "/api/v1/search", {"json": {"text": "cat"}}),
        ("post", "/api/v1/images", {"data": {"file": "upload"}}),
        ("post", "/search-similar-images", {"data": {"file": "upload"}}),
        ("post", "/embed-image", {"data": {"file": "upload"}}),
    ],
)
def test_without_a_database_every_call_is_503(
    orphan: FlaskClient, method: str, path: str, body: dict[str, Any]
) -> None:
    if "data" in body:
        body = {"data": {"file": as_upload(picture(1))}}
    watch = Stopwatch()
    response = getattr(orphan, method)(path, **body)
    assert_problem(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert watch.seconds < 3


def test_without_a_database_a_key_is_503_and_not_401(orphan: FlaskClient) -> None:
    key = "mrd_00000000_" + "x" * 43
    response = orphan.get("/api/v1/images", headers={"Authorization": f"Bearer {key}"})
    assert_problem(response, 503, "unavailable")


def test_without_a_database_the_process_is_alive_and_unhealthy(orphan: FlaskClient) -> None:
    for path in ("/health/live", "/livez"):
        assert orphan.get(path).status_code == 200
    watch = Stopwatch()
    response = orphan.get("/health")
    assert watch.seconds < 3
    body = response.get_json()
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert (body["status"], body["database"]) == ("unhealthy", "disconnected")
    assert not body["checks"]["database"]["ok"]
    # Every caller here administers, and is told where it was looked for.
    told = body["checks"]["database"]["detail"]
    assert re.search(r"The database at 127\.0\.0\.1:\d+ cannot be reached: .* was refused", told)


def test_an_outage_s_address_is_for_the_log_and_not_for_clients(
    orphan: FlaskClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    response = orphan.get("/api/v1/images")
    assert "127.0.0.1" not in response.get_data(as_text=True)
    # It is printed, or goes to `logging` where an earlier test of this process has set logs up.
    printed = capsys.readouterr()
    log = printed.out + printed.err + caplog.text
    assert re.search(r"127\.0\.0\.1:\d+ cannot be reached: .* was refused", log)
    assert not re.search(r"u:p@", log)


def test_health_names_no_address_where_anybody_may_ask(tmp_path: Path) -> None:
    runtime = Runtime(
        Settings.from_env(
            database_url=f"mysql+pymysql://u:p@127.0.0.1:{free_port()}/mirada",
            data_dir=tmp_path / "data",
            clip_model="bundled",
        )
    )
    result = health_of(runtime).check()["database"]
    runtime.close()
    assert result.detail == "The database cannot be reached just now; try again shortly."


def test_documents_and_pages_need_no_database(orphan: FlaskClient) -> None:
    for path in ("/", "/docs", "/redoc", "/openapi.json", "/assets/docs/redoc.css"):
        with orphan.get(path, buffered=True) as response:
            assert response.status_code == 200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_503_and_keeps_nothing(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mirada.adapters.image_store.local as local

    gallery.runtime.image_store.probe()
    monkeypatch.setattr(local, "open", _full, raising=False)
    monkeypatch.setattr(local.Path, "open", lambda *_, **__: _full())
    monkeypatch.setattr(os, "open", _full)
    response = gallery.client.post("/api/v1/images", data={"file": as_upload(picture(1))})
    monkeypatch.undo()
    assert_problem(response, 503, "storage_full")
    assert gallery.get("/api/v1/images").get_json()["results"] == []


def _full(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")
