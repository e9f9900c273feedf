"""Everything that names an address names it below SCRIPT_NAME, whether or not the proxy takes it off."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mirada import __version__
from mirada.config import FIRST_SEGMENTS, InvalidSettings, Settings
from testing.pictures import picture
from tests.conftest import MakeRuntime
from webapp import create_app
from webapp.front.refused import Alive

PREFIX = "/some/mirada"
ADDRESS = re.compile(r'"((?:/[^/"\s]*)+)"')


@pytest.fixture
def app(make_runtime: MakeRuntime) -> Flask:
    # Not the one of the tests, whose document is made once and for all of them.
    return create_app(make_runtime(script_name=f"{PREFIX}/", embeddings_enabled=False))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def addresses_of(reply: Any) -> list[str]:
    """Return every path that a reply names, in its headers or its body."""
    found = re.findall(r"<([^>]*)>", reply.headers.get("Link", ""))
    found += [reply.headers[name] for name in ("Location",) if name in reply.headers]
    return found + ADDRESS.findall(reply.get_data(as_text=True))


@pytest.mark.parametrize("before", ["", PREFIX], ids=["taken off", "left"])
def test_every_address_in_a_reply_can_be_followed_from_outside(
    client: FlaskClient, before: str
) -> None:
    made = client.post(
        f"{before}/api/v1/images", data={"file": (io.BytesIO(picture(1)), "a.png"), "caption": "a"}
    )
    client.post(f"{before}/api/v1/images", data={"file": (io.BytesIO(picture(2)), "b.png")})
    replies = [
        made,
        client.get(f"{before}/"),
        client.get(f"{before}/", headers={"Accept": "text/html"}),
        client.get(f"{before}/api/v1/images?limit=1"),
        client.get(f"{before}/api/v1/jobs"),
        client.get(f"{before}/docs"),
        client.get(f"{before}/redoc"),
    ]
    for reply in replies:
        assert reply.status_code < 400, reply.get_data(as_text=True)
        named = addresses_of(reply)
        assert [each for each in named if not each.startswith(f"{PREFIX}/")] == []
    assert addresses_of(made)
    again = client.get(replies[3].get_json()["next"])
    assert (again.status_code, again.get_json()["count"]) == (200, 1)


def test_the_document_says_where_its_paths_begin(client: FlaskClient) -> None:
    document = client.get(f"{PREFIX}/openapi.json").get_json()

    assert [server["url"] for server in document["servers"]] == [PREFIX]
    assert document["info"]["version"] == __version__
    assert client.get(f"{PREFIX}/").get_json()["version"] == __version__
    assert all(path.split("/")[1] in FIRST_SEGMENTS | {""} for path in document["paths"])


def test_the_script_of_the_documentation_asks_below_the_prefix(
    app: Flask, client: FlaskClient
) -> None:
    page = client.get(f"{PREFIX}/docs").get_data(as_text=True)
    sources = re.findall(r'src="([^"]+)"', page)
    scripts = []
    for source in sources:
        with client.get(source) as reply:
            assert reply.status_code == 200
            scripts.append(reply.get_data(as_text=True))
    assert f'data-session="{PREFIX}/api/v1/session"' in page
    assert '"/api' not in scripts[-1]


def test_a_cookie_is_for_this_server_alone(client: FlaskClient) -> None:
    opened = client.post(f"{PREFIX}/api/v1/session", json={})

    assert f"Path={PREFIX}" in opened.headers["Set-Cookie"]


def test_a_client_does_not_choose_the_prefix(client: FlaskClient) -> None:
    reply = client.get("/", environ_overrides={"SCRIPT_NAME": "/evil"})

    assert "evil" not in reply.get_data(as_text=True)


def test_liveness_is_asked_with_the_prefix_and_without() -> None:
    alive = Alive([], b"{}", PREFIX)
    assert alive.answers("GET", f"{PREFIX}/livez")
    assert alive.answers("GET", "/livez")
    assert not alive.answers("GET", "/other/livez")


def test_the_address_that_is_told_and_asked_at_the_start_has_the_prefix() -> None:
    settings = Settings.from_env(script_name=PREFIX)
    assert settings.address == f"http://127.0.0.1:8000{PREFIX}"
    assert Settings.from_env(script_name="/").script_name is None


@pytest.mark.parametrize(
    "wrong", ["mirada", "/a b", "/a//b", "/api", "/docs/x", "/..", "http://a/b"]
)
def test_what_is_no_prefix_is_told_at_the_start(wrong: str) -> None:
    with pytest.raises(InvalidSettings, match="SCRIPT_NAME"):
        Settings.from_env(script_name=wrong)


def test_our_own_paths_are_known_to_the_settings(app: Flask) -> None:
    first = {str(rule).split("/")[1] for rule in app.url_map.iter_rules()}
    assert first - {""} == FIRST_SEGMENTS
