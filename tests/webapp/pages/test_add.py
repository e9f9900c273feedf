"""Adding pictures by a plain form and by sharing, without a script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.people import users
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery, as_upload
from testing.pictures import picture
from webapp.pages.assets import asset, bundle

HTML = {"Accept": "text/html"}
ADD, SHARE = "/ui/add", "/ui/share"


def told(text: str) -> list[tuple[str, str]]:
    """Return name and outcome of each file."""
    found = re.findall(
        r'<span class="name" dir="auto">([^<]*)</span>\s*<span class="state[^"]*">([^<]*)</span>',
        text.split('class="outcomes"')[1].split("<form")[0],
    )
    return [(name, state.strip()) for name, state in found]


def send(client: FlaskClient, *files: Any, address: str = ADD, **more: Any) -> Any:
    fields = more.pop("fields", {})
    return client.post(address, data={"file": list(files), **fields}, headers=HTML, **more)


def test_each_file_gets_its_outcome(gallery: Gallery) -> None:
    known = gallery.upload(seed=1)["id"]
    page = send(
        gallery.client,
        as_upload(picture(1), "known.png"),
        as_upload(b"no picture at all", "broken <b>.png"),
        as_upload(picture(2), "שלום 😀.png"),
    )
    assert page.status_code == 200
    (known_name, there), (broken, refused), (name, added) = told(page.text)
    assert (known_name, there) == ("known.png", "Already here")
    assert broken == "broken &lt;b&gt;.png"
    assert refused.startswith("Refused: ")
    assert "JPEG" in refused
    assert (name, added) == ("שלום 😀.png", "Added; it is being understood")
    images = gallery.get("/api/v1/images").get_json()["results"]
    assert [image["id"] for image in images][-1] == known
    assert [(image["filename"], image["is_public"]) for image in images[:-1]] == [
        ("שלום 😀.png", False)
    ]


def test_the_same_form_twice_makes_no_doubles(gallery: Gallery) -> None:
    for _ in range(2):
        page = send(gallery.client, as_upload(picture(1)), as_upload(picture(1)))
    assert [state for _, state in told(page.text)] == ["Already here"] * 2
    assert gallery.get("/api/v1/images").get_json()["count"] == 1


def test_a_wrong_ending_is_no_matter(gallery: Gallery) -> None:
    page = send(gallery.client, as_upload(picture(1), "a.jpg", "image/jpeg"))
    assert told(page.text) == [("a.jpg", "Added; it is being understood")]


def test_who_may_see_them_is_chosen(gallery: Gallery) -> None:
    send(gallery.client, as_upload(picture(1)), fields={"is_public": "true"})
    assert gallery.get("/api/v1/images").get_json()["results"][0]["is_public"] is True


def test_a_prompt_goes_with_all_of_them(gallery: Gallery) -> None:
    files = [as_upload(picture(seed)) for seed in (1, 2)]
    send(gallery.client, *files, fields={"prompt": " a red boat "})
    send(gallery.client, as_upload(picture(3)), fields={"prompt": " "})
    prompts = [each["prompt"] for each in gallery.get("/api/v1/images").get_json()["results"]]
    assert prompts == [None, "a red boat", "a red boat"]


def test_no_file_is_said(gallery: Gallery) -> None:
    assert "No file was chosen" in send(gallery.client, as_upload(b"", "")).text
    assert gallery.client.post(ADD, data={}, headers=HTML).status_code == 415
    many = [as_upload(picture(1))] * 61
    assert send(gallery.client, *many).status_code == 422


@pytest.fixture
def signed_in(make_runtime: Callable[..., Runtime]) -> tuple[FlaskClient, str]:
    """A browser that is signed in, and the token of its forms."""
    runtime = make_runtime(auth_mode="keys", embeddings_enabled=False)
    client = create_app(runtime).test_client()
    with runtime.transaction() as session:
        key = users.create_with_key(session, "ana").first_key.key
    client.post("/ui/sign-in", data={"key": key})
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(ADD, headers=HTML).text)
    assert found
    return client, found[1]


def count(client: FlaskClient) -> int:
    return int(client.get("/api/v1/images").get_json()["count"])


def test_the_form_needs_the_token_of_a_page(signed_in: tuple[FlaskClient, str]) -> None:
    client, token = signed_in
    one = picture(1)
    assert send(client, as_upload(one)).status_code == 403
    assert send(client, as_upload(one), fields={"csrf_token": "x"}).status_code == 403
    assert count(client) == 0
    assert send(client, as_upload(one), fields={"csrf_token": token}).status_code == 200
    assert count(client) == 1


@pytest.mark.parametrize("site", [None, "cross-site", "same-site"])
def test_only_the_browser_itself_shares_without_a_token(
    signed_in: tuple[FlaskClient, str], site: str | None
) -> None:
    client, _ = signed_in
    headers = HTML | ({} if site is None else {"Sec-Fetch-Site": site})
    refused = client.post(SHARE, data={"file": [as_upload(picture(1))]}, headers=headers)
    assert refused.status_code in (401, 403)
    assert count(client) == 0
    # Another address of the pages has no such exception.
    headers = HTML | {"Sec-Fetch-Site": "none"}
    assert (
        client.post(ADD, data={"file": [as_upload(picture(1))]}, headers=headers).status_code == 403
    )
    page = client.post(SHARE, data={"file": [as_upload(picture(1))]}, headers=headers)
    assert [state for _, state in told(page.text)] == ["Added; it is being understood"]
    assert client.get(SHARE).headers["Location"] == ADD


def test_nobody_is_asked_to_sign_in(guarded: Gallery) -> None:
    reply = guarded.get(ADD, HTML)
    assert (reply.status_code, reply.headers["Location"]) == (303, "/ui/sign-in?next=/ui/add")
    page = send(guarded.client, as_upload(picture(1)))
    assert page.status_code == 401
    assert 'href="/ui/sign-in?next=/ui"' in page.text


def test_the_manifest_leads_to_addresses_that_there_are(gallery: Gallery, app: Any) -> None:
    with app.test_request_context():
        address = asset("manifest.webmanifest")
    assert f'rel="manifest" href="{address}"' in gallery.get("/ui", HTML).text
    manifest = json.loads(gallery.get(address).text)
    folder = address.rpartition("/")[0]

    def whole(relative: str) -> str:
        parts = folder.split("/")
        while relative.startswith("../"):
            relative, parts = relative.removeprefix("../"), parts[:-1]
        return "/".join([*parts, relative])

    for name in ("id", "start_url", "scope"):
        assert whole(manifest[name]) == "/ui"
    assert whole(manifest["share_target"]["action"]) == SHARE
    for icon in manifest["icons"]:
        assert gallery.get(whole(icon["src"])).headers["Content-Type"] == "image/png"
        plain = bundle()[1][icon["src"]].plain
        size = int.from_bytes(plain[16:20], "big")
        assert icon["sizes"] == f"{size}x{size}"
