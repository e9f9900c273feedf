"""Who is calling, and what they may do: AUTH_MODE=keys and AUTH_MODE=open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.pictures import picture
from tests.webapp.gallery import Gallery, as_upload, assert_problem, on_arc

KeyOf = Callable[..., dict[str, str]]


def found_by(gallery: Gallery, headers: dict[str, str] | None = None) -> list[int]:
    response = gallery.client.post(
        "/api/v1/search", json={"vector": on_arc(0)}, headers=headers or {}
    )
    assert response.status_code == 200
    return [result["image"]["id"] for result in response.get_json()["results"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/v1/images"),
        ("patch", "/api/v1/images/1"),
        ("delete", "/api/v1/images/1"),
        ("post", "/api/v1/embeddings"),
        ("post", "/embed-image"),
        ("get", "/api/v1/jobs"),
        ("get", "/api/v1/jobs/1"),
        ("post", "/api/v1/jobs/1/retry"),
        ("get", "/api/v1/indexes"),
        ("post", "/api/v1/indexes/image/rebuild"),
        ("get", "/api/v1/models"),
        ("get", "/api/v1/users/me"),
    ],
)
def test_whoever_has_no_key_may_only_read(guarded: Gallery, method: str, path: str) -> None:
    body: Any = {"json": {"caption": "x"}} if method == "patch" else {}
    response = getattr(guarded.client, method)(path, **body)
    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_upload_without_a_key_is_not_even_received(guarded: Gallery) -> None:
    response = guarded.client.post("/api/v1/images", data={"file": as_upload(picture(1))})
    assert response.status_code == 401
    assert not guarded.runtime.settings.image_dir.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer mrd_00000000_" + "x" * 43},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-API-Key": "nonsense"},
        {"X-API-Key": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/api/v1/images", "/static/1.png", "/docs"])
def test_a_wrong_key_is_401_even_where_none_is_needed(
    guarded: Gallery, headers: dict[str, str], path: str
) -> None:
    assert_problem(guarded.client.get(path, headers=headers), 401, "not_authenticated")


def test_a_wrong_key_is_401_in_open_mode_too(client: FlaskClient) -> None:
    response = client.get("/api/v1/images", headers={"Authorization": "Bearer nonsense"})
    assert_problem(response, 401, "not_authenticated")


def test_both_headers_carry_a_key(guarded: Gallery, key_of: KeyOf) -> None:
    headers = key_of("ana")
    key = headers["Authorization"].removeprefix("Bearer ")
    for sent in (headers, {"X-API-Key": key}, {"Authorization": f"bearer {key}"}):
        me = guarded.get("/api/v1/users/me", headers=sent).get_json()
        assert (me["username"], me["role"]) == ("ana", "user")


def test_open_mode_acts_as_the_local_administrator(client: FlaskClient) -> None:
    me = client.get("/api/v1/users/me").get_json()
    assert (me["username"], me["role"]) == ("local", "administrator")


def test_a_private_image_is_absent_for_everybody_but_its_owner(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = guarded.upload(headers=ana, degrees=0)
    absent = guarded.get("/api/v1/images/99", headers=ben).get_json()
    for headers in (ben, {}):
        for address in ("url", "file_url", "thumbnail_url", "similar_url"):
            response = guarded.get(image[address], headers=headers)
            body = assert_problem(response, 404, "not_found")
            assert body["detail"].replace(str(image["id"]), "99") == (
                absent["detail"] if address != "similar_url" else "There is no image 99."
            )
        assert guarded.get(f"/static/{image['id']}.png", headers=headers).status_code == 404
        assert guarded.get("/api/v1/images", headers=headers).get_json()["results"] == []
        assert found_by(guarded, headers) == []
    assert guarded.get(image["url"], headers=ana).status_code == 200
    assert found_by(guarded, ana) == [image["id"]]


def test_a_public_image_is_everybody_s_to_read_and_its_owner_s_to_change(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = guarded.upload(headers=ana, degrees=0, is_public="true")
    for headers in ({}, ben):
        body = guarded.get(image["url"], headers=headers).get_json()
        assert body["owner"]["username"] == "ana"
        assert body["filename"] is None
        assert found_by(guarded, headers) == [image["id"]]
    for method, body in (("patch", {"json": {"caption": "mine"}}), ("delete", {})):
        response = getattr(guarded.client, method)(image["url"], headers=ben, **body)
        assert_problem(response, 404, "not_found")


def test_making_an_image_private_takes_it_out_of_others_results_at_once(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, degrees=0, is_public="true")
    assert found_by(guarded) == [image["id"]]
    guarded.client.patch(image["url"], json={"is_public": False}, headers=ana)
    assert found_by(guarded) == []


def test_others_get_a_copy_without_metadata(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    photo = picture(3, "JPEG", (200, 100), orientation=6)
    image = guarded.client.post(
        "/api/v1/images",
        data={"file": as_upload(photo, "a.jpg", "image/jpeg"), "is_public": "true"},
        headers=ana,
    ).get_json()
    assert guarded.get(image["file_url"], headers=ana).get_data() == photo
    for address in (image["file_url"], f"/static/{image['id']}.jpg"):
        copy = guarded.get(address)
        assert copy.mimetype == "image/webp"
        assert b"EXIF" not in copy.get_data()
        assert "sandbox" in copy.headers["Content-Security-Policy"]


def test_only_own_images_on_request(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    theirs = guarded.upload(headers=ana, degrees=0, is_public="true")["id"]
    own = guarded.upload(headers=ben, degrees=5)["id"]

    def listed(query: str, headers: dict[str, str]) -> set[int]:
        page = guarded.get(f"/api/v1/images{query}", headers=headers).get_json()
        return {image["id"] for image in page["results"]}

    assert listed("", ben) == {theirs, own}
    assert listed("?mine=true", ben) == {own}
    assert listed("?mine=true", {}) == set()
    response = guarded.client.post(
        "/api/v1/search", json={"vector": on_arc(0), "mine": True}, headers=ben
    )
    assert [found["image"]["id"] for found in response.get_json()["results"]] == [own]


def test_what_is_for_administrators_is_403_for_users(guarded: Gallery, key_of: KeyOf) -> None:
    response = guarded.client.post("/api/v1/indexes/image/rebuild", headers=key_of("ana"))
    assert_problem(response, 403, "not_allowed")
    boss = key_of("boss", is_administrator=True)
    assert guarded.client.post("/api/v1/indexes/image/rebuild", headers=boss).status_code == 202
