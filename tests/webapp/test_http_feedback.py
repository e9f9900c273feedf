"""Feedback over HTTP: verdicts are given once, changed, listed and taken back by their givers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from testing.gallery import Gallery, assert_problem
from testing.pictures import picture

FEEDBACK = "/api/v1/feedback"
KeyOf = Callable[..., dict[str, str]]


def hash_of(seed: int) -> str:
    """Return the hash of the picture that `upload(seed=...)` sends."""
    return hashlib.sha256(picture(seed)).hexdigest()


def give(gallery: Gallery, sha256: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
    """POST a verdict, accepted for the theme "cute cats" unless told otherwise."""
    body = {"image_hash": sha256, "theme": "cute cats", "accepted": True, **more}
    return gallery.client.post(FEEDBACK, json=body, headers=headers or {})


def count(gallery: Gallery, headers: dict[str, str] | None = None) -> int:
    return int(gallery.get(FEEDBACK, headers).get_json()["count"])


def test_a_verdict_is_given_read_listed_and_taken_back(gallery: Gallery) -> None:
    gallery.upload(seed=1)
    response = give(gallery, hash_of(1).upper(), theme=" Cute  Cats", asset_id="s-1")
    body = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == body["url"] == f"{FEEDBACK}/{body['id']}"
    expected = {
        "image_hash": hash_of(1),
        "theme": "cute cats",
        "accepted": True,
        "asset_id": "s-1",
        "outcome": "created",
    }
    assert expected.items() <= body.items()
    read = gallery.get(body["url"]).get_json()
    assert read == {
        name: value for name, value in body.items() if name not in ("outcome", "effect")
    }
    assert gallery.get(f"{FEEDBACK}?theme=CUTE cats").get_json()["results"] == [read]
    assert gallery.get(f"{FEEDBACK}?theme=dogs").get_json()["results"] == []

    assert gallery.client.delete(body["url"]).status_code == 204

    assert count(gallery) == 0
    assert_problem(gallery.get(body["url"]), 404, "not_found")
    assert_problem(gallery.client.delete(body["url"]), 404, "not_found")


def test_the_same_verdict_counts_once_and_a_changed_one_replaces_it(gallery: Gallery) -> None:
    gallery.upload(seed=1)
    first = give(gallery, hash_of(1)).get_json()
    again = give(gallery, hash_of(1))
    changed = give(gallery, hash_of(1), accepted=False)
    assert (again.status_code, changed.status_code) == (200, 200)
    assert again.get_json()["outcome"] == "unchanged"
    assert (changed.get_json()["outcome"], changed.get_json()["accepted"]) == ("replaced", False)
    assert first["id"] == again.get_json()["id"] == changed.get_json()["id"]
    assert count(gallery) == 1


def test_verdicts_go_page_by_page(gallery: Gallery) -> None:
    gallery.upload(seed=1)
    for theme in ("a", "b", "c"):
        give(gallery, hash_of(1), theme=theme)
    first = gallery.get(f"{FEEDBACK}?limit=2").get_json()
    second = gallery.get(first["next"]).get_json()
    assert [row["theme"] for row in first["results"] + second["results"]] == ["c", "b", "a"]
    assert second["next"] is None


def test_an_unknown_picture_and_somebody_else_s_private_one_get_one_reply(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, bea = key_of("ana"), key_of("bea")
    guarded.upload(seed=1, headers=ana)
    said = []
    for sha256 in (hash_of(1), hash_of(2)):
        body = assert_problem(give(guarded, sha256, bea), 404, "not_found")
        body.pop("request_id")
        body["detail"] = body["detail"].replace(sha256, "HASH")
        said.append(body)
    assert said[0] == said[1]
    assert (count(guarded, ana), count(guarded, bea)) == (0, 0)
    assert give(guarded, hash_of(1), ana).status_code == 201


def test_a_public_picture_is_judged_by_anybody_with_a_key(guarded: Gallery, key_of: KeyOf) -> None:
    ana, bea = key_of("ana"), key_of("bea")
    guarded.upload(seed=1, headers=ana, is_public=True)
    verdict = give(guarded, hash_of(1), bea).get_json()
    assert (count(guarded, ana), count(guarded, bea)) == (0, 1)
    assert_problem(guarded.get(verdict["url"], ana), 404, "not_found")
    assert_problem(guarded.client.delete(verdict["url"], headers=ana), 404, "not_found")
    root = key_of("root", is_administrator=True)
    assert guarded.client.delete(verdict["url"], headers=root).status_code == 204
    assert count(guarded, bea) == 0


def test_without_a_key_there_is_no_feedback(guarded: Gallery, key_of: KeyOf) -> None:
    guarded.upload(seed=1, headers=key_of("ana"), is_public=True)
    assert_problem(give(guarded, hash_of(1)), 401, "not_authenticated")
    for address in (FEEDBACK, f"{FEEDBACK}/1"):
        assert_problem(guarded.get(address), 401, "not_authenticated")
    assert_problem(guarded.client.delete(f"{FEEDBACK}/1"), 401, "not_authenticated")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("theme", ""),
        ("theme", "   "),
        ("theme", "x" * 101),
        ("theme", "a\x00b"),
        ("theme", "a\ud800b"),
        ("theme", 7),
        ("theme", None),
        ("theme", ["cats"]),
        ("accepted", "true"),
        ("accepted", "no"),
        ("accepted", 1),
        ("accepted", None),
        ("accepted", {}),
        ("image_hash", ""),
        ("image_hash", 7),
        ("image_hash", None),
        ("asset_id", ""),
        ("asset_id", "x" * 192),
        ("asset_id", "a\x00"),
        ("asset_id", 7),
        ("picture", "unknown field"),
    ],
)
def test_what_makes_no_sense_is_422_names_its_field_and_keeps_nothing(
    gallery: Gallery, field: str, value: object
) -> None:
    gallery.upload(seed=1)
    response = give(gallery, hash_of(1), **{field: value})
    body = response.get_json()
    assert (response.status_code, response.mimetype) == (422, "application/problem+json"), body
    assert field in body["errors"]
    assert count(gallery) == 0


@pytest.mark.parametrize("missing", ["image_hash", "theme", "accepted"])
def test_what_is_missing_is_named(gallery: Gallery, missing: str) -> None:
    body = {"image_hash": hash_of(1), "theme": "cats", "accepted": True}
    del body[missing]
    response = gallery.client.post(FEEDBACK, json=body)
    assert response.status_code == 422
    assert list(response.get_json()["errors"]) == [missing]


@pytest.mark.parametrize(
    "sha256", ["cat.png", "0" * 63, "0" * 65, "g" * 64, "é" * 64, "0" * 99_999]
)
def test_what_is_no_hash_is_an_unknown_picture(gallery: Gallery, sha256: str) -> None:
    assert_problem(give(gallery, sha256), 404, "not_found")


@pytest.mark.parametrize("body", ["", "[]", "nonsense", '"text"', "null"])
def test_a_body_that_is_no_object_is_refused(gallery: Gallery, body: str) -> None:
    response = gallery.client.post(FEEDBACK, data=body, content_type="application/json")
    assert response.status_code in (400, 422)
    assert response.mimetype == "application/problem+json"


@pytest.mark.parametrize("feedback_id", [0, 99, 2**63 - 1, 10**30])
def test_an_unknown_verdict_is_404(gallery: Gallery, feedback_id: int) -> None:
    assert_problem(gallery.get(f"{FEEDBACK}/{feedback_id}"), 404, "not_found")
    assert_problem(gallery.client.delete(f"{FEEDBACK}/{feedback_id}"), 404, "not_found")


def test_a_request_that_comes_late_again_undoes_no_later_change(gallery: Gallery) -> None:
    gallery.upload(seed=1)
    key = {"Idempotency-Key": "k-1"}
    first = give(gallery, hash_of(1), key)
    give(gallery, hash_of(1), accepted=False)

    late = give(gallery, hash_of(1), key)

    assert (first.status_code, late.status_code) == (201, 200)
    assert "Idempotent-Replayed" not in first.headers
    assert late.headers["Idempotent-Replayed"] == "true"
    assert late.get_json()["accepted"] is False
    other = give(gallery, hash_of(1), key, theme="dogs")
    assert_problem(other, 422, "invalid_input")
    gallery.client.delete(first.get_json()["url"])
    give(gallery, hash_of(1), theme="dogs")
    assert_problem(give(gallery, hash_of(1), key), 409, "conflict")
    assert count(gallery) == 1


def test_deleting_the_picture_takes_the_verdicts_on_it_along(gallery: Gallery) -> None:
    image = gallery.upload(seed=1)
    give(gallery, hash_of(1))
    gallery.client.delete(image["url"])
    assert count(gallery) == 0
    assert_problem(give(gallery, hash_of(1)), 404, "not_found")
    # It is in the trash with its picture, and comes back with it.
    assert gallery.client.post(f"{image['url']}/restore").status_code == 200
    assert count(gallery) == 1
    gallery.client.delete(f"{image['url']}?now=true")
    assert count(gallery) == 0
