"""Query parameters and form fields that mean nothing: refused on our own routes, ignored on others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from testing.gallery import Gallery, as_upload, assert_problem, on_arc
from testing.pictures import picture


def refused(response: Any, *names: str) -> dict[str, Any]:
    body: dict[str, Any] = assert_problem(response, 422, "invalid_input")
    assert set(body["errors"]) == set(names)
    return body


@pytest.mark.parametrize("name", ["offset", "page", "order_by", "tags", "topk"])
def test_a_list_does_not_page_by_what_nobody_reads(client: FlaskClient, name: str) -> None:
    body = refused(client.get(f"/api/v1/images?{name}=2&limit=3"), name)
    start, _, names = body["detail"].partition("; it takes ")
    assert start == f"This call has no query parameter '{name}'"
    taken = set(re.split(r", | and ", names.removesuffix(".")))
    assert {"asset_id", "cursor", "limit", "mine", "sort", "created_after"} <= taken
    assert name not in taken


def test_every_unknown_name_is_told_at_once(client: FlaskClient) -> None:
    body = refused(client.get("/api/v1/images?b=1&a=1&a=2"), "a", "b")
    assert "query parameters 'a' and 'b'" in body["detail"]
    many = client.get("/api/v1/images?" + "&".join(f"p{n}=1" for n in range(500)))
    assert len(many.get_json()["errors"]) == 20


def test_a_call_without_parameters_says_that_it_takes_none(gallery: Gallery) -> None:
    image = gallery.upload()
    for call in (
        gallery.client.get(f"/api/v1/images/{image['id']}?fields=id"),
        gallery.client.post(f"/api/v1/images/{image['id']}/restore?force=1"),
        gallery.client.put(f"/api/v1/images/{image['id']}/like?x=1"),
        gallery.client.post("/api/v1/search?k=3", json={"text": "a cat"}),
        gallery.client.get("/api/v1/users/me?expand=1"),
        gallery.client.get(f"/api/v1/images/{image['id']}/file?size=64"),
    ):
        assert call.status_code == 422
        assert call.get_json()["detail"].endswith("; it takes none.")
    assert gallery.client.get(f"/api/v1/images/{image['id']}").status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/v1/search", "/api/v1/classifications", "/api/v1/embeddings"]
)
def test_a_form_field_without_a_meaning_is_refused(gallery: Gallery, path: str) -> None:
    form = {"file": as_upload(picture(1)), "topk": "3"}
    body = refused(gallery.client.post(path, data=form), "topk")
    assert body["detail"].startswith("This call has no form field 'topk'; it takes ")


def test_every_own_operation_refuses_and_every_older_route_ignores(
    app: Any, client: FlaskClient
) -> None:
    document = client.get("/openapi.json").get_json()
    older = {"classifier", "creative_memory", "embedding_service", "image_search", "health"}
    shared = {"createImage", "searchImagePosts", "findSimilarImagePosts", "getMetrics"}
    seen = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method not in ("get", "post", "put", "patch", "delete"):
                continue
            seen += 1
            address = re.sub(r"\{\w+\}", "1", path)
            reply = client.open(f"{address}?nobody_reads_this=1", method=method.upper())
            is_refused = (
                reply.status_code == 422 and "nobody_reads_this" in (reply.get_json()["errors"])
            )
            ignores = operation["operationId"] in shared or older & set(operation["tags"])
            assert is_refused is not bool(ignores), (method, path, reply.status_code)
    assert seen > 60


def test_what_older_clients_send_beside_is_ignored_and_named(gallery: Gallery) -> None:
    form = {"file": as_upload(picture(1)), "album": "a", "user_id": "7", "caption": "a cat"}
    reply = gallery.client.post("/api/v1/images?source=app", data=form)
    assert reply.status_code == 201
    assert reply.get_json()["ignored"] == ["album", "source", "user_id"]
    assert reply.headers["X-Ignored"] == "album, source, user_id"
    assert reply.get_json()["caption"] == "a cat"
    plain = gallery.client.post("/api/v1/images", data={"file": as_upload(picture(2))})
    assert "ignored" not in plain.get_json()
    assert "X-Ignored" not in plain.headers


def test_a_file_beside_the_picture_is_ignored_where_the_older_system_did(gallery: Gallery) -> None:
    def form(*names: str) -> dict[str, Any]:
        return {name: as_upload(picture(1)) for name in names}

    reply = gallery.client.post("/api/v1/images", data=form("file", "thumbnail"))
    assert (reply.status_code, reply.get_json()["ignored"]) == (201, ["thumbnail"])
    alone = gallery.client.post("/api/v1/images", data=form("image"))
    assert alone.status_code == 422
    assert "part 'file', not 'image'" in alone.get_json()["detail"]
    own = gallery.client.post("/api/v1/search", data=form("file", "thumbnail"))
    assert own.status_code == 422


def test_a_caption_may_stand_in_the_address(gallery: Gallery) -> None:
    def caption(address: str, **form: Any) -> Any:
        form["file"] = as_upload(picture(1))
        return gallery.client.post(address, data=form).get_json()["caption"]

    assert caption("/api/v1/images?caption=a%20dog") == "a dog"
    assert caption("/api/v1/images?caption=a%20dog", caption="a cat") == "a cat"


def test_posts_like_one_say_what_was_ignored(gallery: Gallery) -> None:
    first, second = gallery.upload(seed=1), gallery.upload(seed=2)
    gallery.place(first["id"], 0)
    gallery.place(second["id"], 1)
    address = f"/api/v1/images/{first['id']}/similar"
    reply = gallery.client.post(f"{address}?limit=500&page=2", data={"deep": "1"})
    assert reply.status_code == 200
    assert [post["ignored"] for post in reply.get_json()] == [["deep", "page"]]
    assert reply.headers["X-Ignored"] == "deep, page"
    plain = gallery.client.post(address)
    assert "ignored" not in plain.get_json()[0]


def test_names_in_the_header_cannot_break_it(gallery: Gallery) -> None:
    form = {"file": as_upload(picture(1)), "a\r\nX-Evil: 1": "1", "ção": "1"}
    reply = gallery.client.post("/api/v1/images?%0d%0aX-Evil%3a1=1", data=form)
    assert reply.status_code == 201
    assert "X-Evil" not in reply.headers
    assert "%C3%A7%C3%A3o" in reply.headers["X-Ignored"]


def test_a_vector_search_still_takes_its_fields(gallery: Gallery) -> None:
    assert gallery.client.post("/api/v1/search", json={"vector": on_arc(0)}).status_code == 200


@pytest.mark.parametrize(
    ("method", "asked", "near"),
    [
        ("GET", "/api/health", "/health"),
        ("GET", "/api/v1/health/", "/health"),
        ("POST", "/api/classify/", "/classify"),
        ("POST", "/api/v1/classify", "/classify"),
        ("POST", "/api/search-similar-images/", "/search-similar-images"),
        ("POST", "/search_similar_images", "/search-similar-images"),
        ("POST", "/api/embed-image", "/embed-image"),
        ("POST", "/embed", "/embed-image"),
        ("GET", "/images/7/related/", "/api/v1/images/7/related"),
        ("GET", "/users/me/style-suggestions", "/api/users/me/style-suggestions"),
        ("POST", "/api/images/search", "/api/v1/images/search"),
        ("GET", "/v1/images", "/api/v1/images"),
        ("GET", "/api/docs", "/docs"),
        ("GET", "/swagger.json", "/openapi.json"),
        ("GET", "/healthz", "/health"),
    ],
)
def test_an_address_of_another_habit_is_answered_with_the_right_one(
    client: FlaskClient, method: str, asked: str, near: str
) -> None:
    body = assert_problem(client.open(asked, method=method), 404, "not_found")
    assert body["detail"].endswith(f" It is at {near} here.")


@pytest.mark.parametrize("asked", ["/nowhere", "/api", "/api/v1", "/api/v1/nowhere", "/%20"])
def test_an_address_near_nothing_is_sent_to_the_list(client: FlaskClient, asked: str) -> None:
    body = assert_problem(client.get(asked), 404, "not_found")
    assert body["detail"].endswith(" /openapi.json lists what there is.")
