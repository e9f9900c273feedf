"""A running server without the server: the app, the bundled encoder, and jobs done on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.config import BUNDLED_MODEL_DIR
from mirada.jobs import sweep
from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.gallery import as_upload
from testing.pictures import picture
from testing.servers.process import missing
from workers.runner import run_job


class Server:
    """An app whose jobs are worked when a test says so."""

    def __init__(self, runtime: Runtime, client: FlaskClient) -> None:
        self.runtime = runtime
        self.client = client

    def upload(self, content: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """Return a new image that is READY and searchable."""
        content = picture(1, "PNG") if content is None else content
        part = as_upload(content, "picture", "application/octet-stream")
        response = self.client.post("/api/v1/images", data={"file": part, **fields})
        assert response.status_code == 201, response.get_json()
        self.work()
        image: dict[str, Any] = self.client.get(response.get_json()["url"]).get_json()
        assert image["status"] == "READY", image
        return image

    def work(self) -> None:
        """Run every due job to its end."""
        with self.runtime.reading() as session:
            due = sweep.due_jobs(session)
        for job in due:
            run_job(self.runtime, job.id)
        space_id, _ = self.runtime.space()
        self.runtime.index(space_id).refresh()

    def post_picture(self, path: str, content: bytes) -> Any:
        """POST a picture as the part `file`."""
        return self.client.post(path, data={"file": as_upload(content, "q.png", "")})


@pytest.fixture
def serve(make_runtime: Callable[..., Runtime]) -> Callable[..., Server]:
    """Return a function from settings to a server with the bundled encoder."""
    if not (BUNDLED_MODEL_DIR / "open_clip_config.json").exists():
        missing("The bundled encoder", "models/stickers is empty")
    from testing.application import create_app

    def make(**settings: Any) -> Server:
        runtime = make_runtime(**settings)
        return Server(runtime, create_app(runtime).test_client())

    return make


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server with default settings."""
    return serve()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def guarded(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Server:
    """A server that asks for keys, on each database."""
    if request.param == "sqlite":
        return serve(auth_mode="keys")
    return serve(auth_mode="keys", database_url=request.getfixturevalue("migrated_mariadb_url"))


@pytest.fixture
def people(guarded: Server) -> dict[str, dict[str, str]]:
    """Headers of two people."""
    headers = {}
    for name in ("ana", "bea"):
        with guarded.runtime.transaction() as session:
            user = users.create_user(session, name)
            headers[name] = {"Authorization": f"Bearer {issue_key(session, user).key}"}
    return headers


def upload(server: Server, headers: dict[str, str], seed: int, **fields: Any) -> dict[str, Any]:
    """Have somebody upload a picture and return the answer; it is not embedded yet."""
    part = as_upload(picture(seed), "p.png", "image/png")
    reply = server.client.post("/api/v1/images", data={"file": part, **fields}, headers=headers)
    assert reply.status_code == 201, reply.get_json()
    body: dict[str, Any] = reply.get_json()
    return body
