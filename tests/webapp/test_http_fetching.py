"""`POST /api/v1/images` with addresses in place of a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from mirada.db.models import Job
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery
from tests.webapp.test_http_generate import headers_of

IMAGES = "/api/v1/images"
CAT = {"url": "https://pictures.example/cat.png"}


@pytest.fixture
def make_fetching(make_runtime: Callable[..., Runtime]) -> Callable[..., Gallery]:
    def make(**settings: Any) -> Gallery:
        defaults = {"fetch_urls": True, "auth_mode": "keys", "embeddings_enabled": False}
        runtime = make_runtime(**{**defaults, **settings})
        return Gallery(runtime, create_app(runtime).test_client())

    return make


@pytest.fixture
def fetching(make_fetching: Callable[..., Gallery]) -> Gallery:
    return make_fetching()


def send_lines(gallery: Gallery, headers: dict[str, str], *lines: Any) -> Any:
    body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return gallery.client.post(
        IMAGES, data=body.encode(), headers=headers, content_type="application/x-ndjson"
    )


def jobs(gallery: Gallery) -> int:
    with gallery.runtime.reading() as session:
        return session.execute(select(func.count()).select_from(Job)).scalar_one()


def test_an_address_is_answered_with_its_job(fetching: Gallery) -> None:
    ana = headers_of(fetching, "ana")

    sent = fetching.client.post(IMAGES, json=CAT | {"is_public": True}, headers=ana)

    body = sent.get_json()
    assert sent.status_code == 202
    assert sent.headers["Location"] == body["url"]
    assert (body["kind"], body["state"], body["result"]) == ("fetch_image_task", "queued", None)
    # It is its owner's alone.
    bob = headers_of(fetching, "bob")
    assert fetching.client.get(body["url"], headers=bob).status_code == 404


def test_one_idempotency_key_queues_one_job(fetching: Gallery) -> None:
    headers = headers_of(fetching, "ana") | {"Idempotency-Key": "k-1"}
    first, second = (fetching.client.post(IMAGES, json=CAT, headers=headers) for _ in range(2))
    assert (first.get_json()["id"], jobs(fetching)) == (second.get_json()["id"], 1)
    assert second.headers["Idempotent-Replayed"] == "true"
    other = fetching.client.post(IMAGES, json={"url": "https://other.example"}, headers=headers)
    assert (other.status_code, jobs(fetching)) == (422, 1)


def test_broken_lines_are_named_and_the_rest_is_taken(fetching: Gallery) -> None:
    ana = headers_of(fetching, "ana")

    sent = send_lines(
        fetching,
        ana,
        CAT,
        "",
        "{broken",
        "[1]",
        CAT | {"caption": "two\nlines"},
        {"url": "file:///etc/passwd"},
        {"caption": "no address"},
        CAT | {"colour": "red"},
        CAT | {"asset_id": "a" * 500},
        CAT | {"caption": "\ud800"},
        "[" * 100_000,
    )

    body = sent.get_json()
    assert (sent.status_code, body["queued"], body["refused"]) == (202, 2, 8)
    assert [each["line"] for each in body["results"]] == [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert [each["line"] for each in body["results"] if each["error"] is None] == [1, 5]
    told = {each["line"]: each["error"]["detail"] for each in body["results"] if each["error"]}
    assert told[3] == told[4] == told[11] == "The line is no JSON object."
    assert told[6] == "The address must begin with https:// or http:// and name a host."
    assert told[7].startswith("url: ")
    assert "colour" in told[8]
    assert told[9].startswith("asset_id: ")
    assert jobs(fetching) == 2


def test_too_many_lines_are_refused_whole(fetching: Gallery) -> None:
    ana = headers_of(fetching, "ana")
    for lines in ([CAT] * 1001, []):
        assert send_lines(fetching, ana, *lines).status_code == 422
    assert jobs(fetching) == 0


def test_more_than_may_wait_are_refused_whole(make_fetching: Callable[..., Gallery]) -> None:
    gallery = make_fetching(fetch_waiting=2)
    ana = headers_of(gallery, "ana")
    refused = send_lines(gallery, ana, CAT, CAT, CAT)
    assert (refused.status_code, jobs(gallery)) == (409, 0)
    assert "FETCH_WAITING" in refused.get_json()["detail"]
    assert send_lines(gallery, ana, CAT, CAT).status_code == 202


@pytest.mark.parametrize(
    "url", ["", "cat.png", "ftp://a.example/", "https://a:b@a.example/", "https://a.example/ b"]
)
def test_an_address_that_is_none_is_refused(fetching: Gallery, url: str) -> None:
    sent = fetching.client.post(IMAGES, json={"url": url}, headers=headers_of(fetching, "ana"))
    assert sent.status_code == 422
    assert "url" in json.dumps(sent.get_json()["errors"])


def test_it_is_off_unless_it_is_switched_on(make_fetching: Callable[..., Gallery]) -> None:
    gallery = make_fetching(fetch_urls=False)
    ana = headers_of(gallery, "ana")
    for sent in (
        gallery.client.post(IMAGES, json=CAT, headers=ana),
        send_lines(gallery, ana, CAT),
    ):
        assert sent.status_code == 409
        assert "FETCH_URLS=true" in sent.get_json()["detail"]
    assert jobs(gallery) == 0


def test_nobody_without_a_key_for_writing_has_anything_fetched(fetching: Gallery) -> None:
    assert fetching.client.post(IMAGES, json=CAT).status_code == 401
    reader = headers_of(fetching, "ana", "read")
    assert fetching.client.post(IMAGES, json=CAT, headers=reader).status_code == 403
    assert jobs(fetching) == 0
