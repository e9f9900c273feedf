"""Webhooks over HTTP: made, listed, changed, tested, with a log; a secret is shown once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery
from tests.webapp.test_http_generate import headers_of

HOOKS = "/api/v1/webhooks"
NEW = {"address": "https://hooks.example/a", "events": ["job.ended", "image.ready"]}


@pytest.fixture
def gallery(make_runtime: Callable[..., Runtime]) -> Gallery:
    runtime = make_runtime(auth_mode="keys", embeddings_enabled=False)
    return Gallery(runtime, create_app(runtime).test_client())


@pytest.fixture
def ana(gallery: Gallery) -> dict[str, str]:
    return headers_of(gallery, "ana")


def call(gallery: Gallery, headers: dict[str, str], method: str, path: str, **body: Any) -> Any:
    return gallery.client.open(path, method=method, headers=headers, json=body or None)


def test_a_webhook_is_made_and_its_secret_shown_once(gallery: Gallery, ana: dict[str, str]) -> None:
    made = call(gallery, ana, "POST", HOOKS, **NEW, description="our shop")

    hook = made.get_json()
    assert made.status_code == 201
    assert made.headers["Location"] == hook["url"]
    assert made.headers["Cache-Control"] == "no-store"
    secret = hook.pop("secret")
    assert secret.startswith("whsec_")
    assert hook["events"] == ["image.ready", "job.ended"]
    read = call(gallery, ana, "GET", hook["url"])
    assert (read.get_json(), secret in read.text) == (hook, False)
    listed = call(gallery, ana, "GET", HOOKS)
    assert (listed.get_json()["results"], secret in listed.text) == ([hook], False)


def test_a_webhook_is_changed_switched_off_and_deleted(
    gallery: Gallery, ana: dict[str, str]
) -> None:
    hook = call(gallery, ana, "POST", HOOKS, **NEW).get_json()
    changed = call(
        gallery, ana, "PATCH", hook["url"], address="https://b.example", is_enabled=False
    ).get_json()
    assert (changed["address"], changed["is_enabled"]) == ("https://b.example/", False)
    assert call(gallery, ana, "POST", f"{hook['url']}/test").status_code == 409
    assert call(gallery, ana, "DELETE", hook["url"]).status_code == 204
    assert call(gallery, ana, "GET", hook["url"]).status_code == 404


def test_a_test_is_in_the_log_and_is_sent_again(gallery: Gallery, ana: dict[str, str]) -> None:
    hook = call(gallery, ana, "POST", HOOKS, **NEW).get_json()
    sent = [call(gallery, ana, "POST", f"{hook['url']}/test") for _ in range(3)]
    assert [each.status_code for each in sent] == [202] * 3
    first = sent[0].get_json()
    assert (first["event"], first["state"], first["attempts"]) == ("test", "waiting", 0)
    assert call(gallery, ana, "GET", sent[0].headers["Location"]).get_json() == first
    page = call(gallery, ana, "GET", f"{hook['url']}/deliveries?limit=2").get_json()
    rest = call(gallery, ana, "GET", page["next"]).get_json()
    ids = [each["id"] for each in page["results"] + rest["results"]]
    assert ids == [each.get_json()["id"] for each in reversed(sent)]
    replay = call(gallery, ana, "POST", f"{first['url']}/replay")
    assert (replay.status_code, "on its way" in replay.get_json()["detail"]) == (409, True)


def test_another_secret_is_shown_once_and_the_old_one_has_a_day(
    gallery: Gallery, ana: dict[str, str]
) -> None:
    hook = call(gallery, ana, "POST", HOOKS, **NEW).get_json()
    renewed = call(gallery, ana, "POST", f"{hook['url']}/secret")
    assert renewed.get_json()["secret"] not in (None, hook["secret"])
    assert renewed.get_json()["old_secret_until"] is not None
    assert renewed.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "ftp://a.example/"},
        {"address": "https://u:p@a.example/"},
        {"events": []},
        {"events": ["image.odd"]},
        {"odd": 1},
        {"description": "a" * 201},
    ],
)
def test_what_cannot_be_is_refused(
    gallery: Gallery, ana: dict[str, str], wrong: dict[str, Any]
) -> None:
    assert call(gallery, ana, "POST", HOOKS, **{**NEW, **wrong}).status_code == 422


def test_a_webhook_is_its_owners_alone(gallery: Gallery, ana: dict[str, str]) -> None:
    hook = call(gallery, ana, "POST", HOOKS, **NEW).get_json()
    message = call(gallery, ana, "POST", f"{hook['url']}/test").get_json()
    bob = headers_of(gallery, "bob")
    for method, path in (
        ("GET", hook["url"]),
        ("DELETE", hook["url"]),
        ("POST", f"{hook['url']}/test"),
        ("POST", f"{hook['url']}/secret"),
        ("GET", f"{hook['url']}/deliveries"),
        ("GET", message["url"]),
        ("POST", f"{message['url']}/replay"),
    ):
        assert call(gallery, bob, method, path).status_code == 404
    assert call(gallery, bob, "GET", HOOKS).get_json()["results"] == []
    assert (
        call(gallery, headers_of(gallery, "ana", "read"), "POST", HOOKS, **NEW).status_code == 403
    )
    assert gallery.client.get(HOOKS).status_code == 401
