"""Words become a picture that is found by them: real processes, and a server of OpenAI's wire format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from testing.deployment import Deployment, Web, deployed, wait_until
from testing.openai_server import DRAWINGS, OpenAiServer, drawn_of, openai_serving
from testing.servers.mariadb import MariaDbServer
from testing.servers.redis import redis_server

pytestmark = [pytest.mark.mariadb, pytest.mark.redis]

Headers = dict[str, str]


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        yield server


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDbServer, server: OpenAiServer
) -> Iterator[tuple[Deployment, Web]]:
    with (
        mariadb.new_database() as name,
        redis_server() as redis_url,
        deployed(
            tmp_path_factory.mktemp("drawing"),
            DATABASE_URL=mariadb.url(name),
            REDIS_URL=redis_url,
            AUTH_MODE="keys",
            **{name.upper(): value for name, value in server.settings.items()},
        ) as deployment,
    ):
        web = deployment.web(wait=False)
        deployment.worker()
        web.wait_until_healthy()
        yield deployment, web


def key_of(deployment: Deployment, name: str) -> Headers:
    made = deployment.run("flask", "--app", "wsgi:app", "users", "create", name)
    found = re.search(r"mrd_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", made.stdout)
    assert found, made.stdout + made.stderr
    return {"Authorization": f"Bearer {found[0]}"}


def made(web: Web, headers: Headers, **body: Any) -> dict[str, Any]:
    """Have a picture made and return its image once it is READY."""
    reply = web.http.post("/api/v1/images/generate", json=body, headers=headers)
    assert reply.status_code == 202, reply.text

    def job() -> dict[str, Any]:
        return dict(web.http.get(reply.headers["Location"], headers=headers).json())

    wait_until(lambda: job()["state"] in ("done", "failed"), what="the job's end")
    assert job()["state"] == "done", job()
    path = f"/api/v1/images/{job()['result']['image_id']}"

    def image() -> dict[str, Any]:
        return dict(web.http.get(path, headers=headers).json())

    wait_until(lambda: image()["status"] == "READY", what="its vectors")
    return image()


def found_by(web: Web, text: str, headers: Headers | None = None) -> list[int]:
    """Ids of the images whose prompts mean that text, as that caller finds them."""
    reply = web.http.post(
        "/api/v1/search", json={"text": text, "in": "prompts"}, headers=headers or {}
    )
    assert reply.status_code == 200, reply.text
    return [result["image"]["id"] for result in reply.json()["results"]]


def test_a_made_picture_is_found_by_its_words_by_those_who_may_see_it(
    site: tuple[Deployment, Web], server: OpenAiServer
) -> None:
    deployment, web = site
    ana, ben = key_of(deployment, "ana"), key_of(deployment, "ben")
    secret = made(web, ana, prompt="a red heart with wings")
    shown = made(web, ana, prompt="a bowl of noodles", is_public=True)

    def is_found() -> bool:
        return secret["id"] in found_by(web, "a red heart with wings", ana) and shown[
            "id"
        ] in found_by(web, "a bowl of noodles")

    wait_until(is_found, what="both in the index")
    for headers in (ben, None):
        assert secret["id"] not in found_by(web, "a red heart with wings", headers)
        assert shown["id"] in found_by(web, "a bowl of noodles", headers)
        assert web.http.get(secret["url"], headers=headers).status_code == 404
        assert web.http.get(shown["url"], headers=headers).status_code == 200
    assert web.http.get(secret["file_url"], headers=ana).status_code == 200
    assert (secret["is_public"], shown["is_public"]) == (False, True)
    assert secret["byte_size"] == len(drawn_of("a red heart with wings"))
    assert server.paid[DRAWINGS] == 2
