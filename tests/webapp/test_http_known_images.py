"""Asking which pictures are there before they are sent, and sending one that is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from testing.gallery import Gallery, as_upload, assert_problem, files_in
from testing.pictures import picture

KNOWN = "/api/v1/images/known"
ABSENT = "0" * 64


def sha256(seed: int) -> str:
    return hashlib.sha256(picture(seed)).hexdigest()


def send(gallery: Gallery, seed: int, how: str = "return", **more: Any) -> Any:
    return gallery.client.post(
        f"/api/v1/images?on_duplicate={how}", data={"file": as_upload(picture(seed))}, **more
    )


def test_ones_own_pictures_are_known_by_their_bytes(gallery: Gallery) -> None:
    first = gallery.upload(seed=5)
    gallery.upload(seed=5)
    reply = gallery.client.post(KNOWN, json={"sha256": [sha256(5), ABSENT, sha256(5)]})
    assert reply.get_json() == {"known": {sha256(5): {"image_id": first["id"]}}}


def test_what_others_have_is_as_what_nobody_has(
    guarded: Gallery, key_of: Callable[..., dict[str, str]]
) -> None:
    owner, other = key_of("ana"), key_of("bea")
    guarded.upload(seed=1, headers=owner)
    guarded.upload(seed=2, headers=owner, is_public="true")
    asked = {"sha256": [sha256(1), sha256(2)]}
    assert len(guarded.client.post(KNOWN, json=asked, headers=owner).get_json()["known"]) == 2
    assert guarded.client.post(KNOWN, json=asked, headers=other).get_json() == {"known": {}}
    assert_problem(guarded.client.post(KNOWN, json=asked), 401, "not_authenticated")
    # Nor is it answered to an upload: bea gets an image of her own.
    reply = send(guarded, 1, headers=other)
    assert (reply.status_code, reply.get_json()["owner"]["username"]) == (201, "bea")


def test_a_thousand_are_asked_for_at_once(gallery: Gallery) -> None:
    gallery.upload(seed=5)
    many = [f"{n:064x}" for n in range(999)]
    reply = gallery.client.post(KNOWN, json={"sha256": [*many, sha256(5)]})
    assert list(reply.get_json()["known"]) == [sha256(5)]
    assert_problem(
        gallery.client.post(KNOWN, json={"sha256": [*many, ABSENT, sha256(5)]}),
        422,
        "invalid_input",
    )


@pytest.mark.parametrize(
    "hashes", [[], None, "x", [1], ["x"], [sha256(5).upper()], [sha256(5) + "\n"], [[ABSENT]]]
)
def test_what_is_no_list_of_hashes_is_refused(gallery: Gallery, hashes: Any) -> None:
    body = assert_problem(gallery.client.post(KNOWN, json={"sha256": hashes}), 422, "invalid_input")
    assert "sha256" in body["errors"]


def test_the_picture_that_is_there_is_returned_where_that_was_asked_for(gallery: Gallery) -> None:
    first = gallery.upload(seed=5, caption="mine")
    reply = send(gallery, 5, headers={"Idempotency-Key": "k"})
    body = reply.get_json()
    assert (reply.status_code, body["id"], body["caption"]) == (200, first["id"], "mine")
    assert reply.headers["Location"] == first["url"]
    assert "Idempotent-Replayed" not in reply.headers
    assert gallery.get("/api/v1/images").get_json()["count"] == 1
    assert len(files_in(gallery.runtime.settings.image_dir)) == 1


def test_a_picture_that_is_not_there_is_made_once_for_its_key(gallery: Gallery) -> None:
    key = {"Idempotency-Key": "k"}
    made, again = send(gallery, 5, headers=key), send(gallery, 5, headers=key)
    assert (made.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert made.get_json()["id"] == again.get_json()["id"]
    # The other way to upload is another request.
    assert_problem(send(gallery, 5, "create", headers=key), 422, "invalid_input")
    assert send(gallery, 5, "create").get_json()["id"] != made.get_json()["id"]


def test_an_unknown_way_is_refused(gallery: Gallery) -> None:
    body = assert_problem(send(gallery, 5, "replace"), 422, "invalid_input")
    assert "on_duplicate" in body["errors"]
