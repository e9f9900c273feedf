"""Comments over HTTP: kept as they were written, shown to who may see the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from testing.gallery import Gallery, assert_problem

KeyOf = Callable[..., dict[str, str]]
IMAGES = "/api/v1/images"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"


def write(
    gallery: Gallery,
    image: dict[str, Any],
    text: Any = "What a cat!",
    headers: dict[str, str] | None = None,
) -> Any:
    return gallery.client.post(
        f"{image['url']}/comments", json={"text": text}, headers=headers or {}
    )


def listed(gallery: Gallery, image: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    return gallery.get(f"{image['url']}/comments", headers)


def test_a_comment_is_written_read_listed_and_deleted(gallery: Gallery) -> None:
    image = gallery.upload()
    response = write(gallery, image, "  What a cat!\n")
    body = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == body["url"]
    assert body["url"] == f"{image['url']}/comments/{body['id']}"
    assert (body["text"], body["author"]["username"]) == ("What a cat!", "local")
    assert gallery.get(body["url"]).get_json() == body
    page = listed(gallery, image).get_json()
    assert page == {"results": [body], "count": 1, "comment_count": 1, "next": None}
    assert gallery.get(image["url"]).get_json()["comment_count"] == 1

    deleted = gallery.client.delete(body["url"])

    assert (deleted.status_code, deleted.get_data()) == (204, b"")
    assert gallery.get(image["url"]).get_json()["comment_count"] == 0
    assert listed(gallery, image).get_json()["results"] == []
    assert_problem(gallery.get(body["url"]), 404, "not_found")
    assert_problem(gallery.client.delete(body["url"]), 404, "not_found")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(document.domain)</script>",
        "</textarea><img src=x onerror=alert(1)>",
        "\u202egnp.exe\u202c שלום \u2067مرحبا\u2069",
        f"{FAMILY} \U0001f3f4\U000e0067\U000e0062\U000e007f ❤\ufe0f \U0001f44d\U0001f3fd",
        "one\n\ntwo",
        "x" * 2000,
        "😀" * 2000,
    ],
)
def test_text_comes_back_as_json_exactly_as_it_was_sent(gallery: Gallery, text: str) -> None:
    image = gallery.upload()
    response = write(gallery, image, text)
    assert response.status_code == 201, response.get_json()
    for reply in (response, gallery.get(response.get_json()["url"]), listed(gallery, image)):
        assert reply.mimetype == "application/json"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        body = reply.get_json()
        assert body.get("results", [body])[0]["text"] == text


def test_text_is_composed_and_freed_of_control_characters(gallery: Gallery) -> None:
    written = write(gallery, gallery.upload(), "cafe\u0301\r\n\x1b[31mred\x07\tblue").get_json()
    assert written["text"] == "café\n[31mred blue"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n\t ",
        "\u3000\u2003",
        "\u200b\u2060",
        "\x01",
        "x" * 2001,
        "x" * 100_000,
        " " * 100_000,
        "\u0315\u0300" * 50_000,
        "a\x00b",
        "a\ud83d",
        7,
        1.5,
        True,
        None,
        ["a"],
        {"text": "a"},
    ],
)
def test_what_is_no_comment_is_422_names_its_field_and_keeps_nothing(
    gallery: Gallery, text: Any
) -> None:
    image = gallery.upload()
    body = assert_problem(write(gallery, image, text), 422, "invalid_input")
    assert list(body["errors"]) == ["text"]
    assert listed(gallery, image).get_json()["results"] == []
    assert gallery.get(image["url"]).get_json()["comment_count"] == 0


@pytest.mark.parametrize("body", [{}, {"text": "a", "author": 2}, {"body": "a"}, [], "a", None, 7])
def test_a_body_of_another_shape_is_422(gallery: Gallery, body: Any) -> None:
    image = gallery.upload()
    response = gallery.client.post(f"{image['url']}/comments", json=body)
    assert_problem(response, 422, "invalid_input")
    assert listed(gallery, image).get_json()["count"] == 0


@pytest.mark.parametrize(
    ("data", "media_type", "status"),
    [
        (b"text=hello", "application/x-www-form-urlencoded", 415),
        (b"hello", "text/plain", 415),
        (b"<b>hello</b>", "text/html", 415),
        (b"", "application/json", 422),
        (b'{"text": "a', "application/json", 400),
        (b'{"text": "\xff"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
    ],
)
def test_a_body_that_is_no_json_is_refused(
    gallery: Gallery, data: bytes, media_type: str, status: int
) -> None:
    image = gallery.upload()
    response = gallery.client.post(
        f"{image['url']}/comments", data=data, headers={"Content-Type": media_type}
    )
    assert (response.status_code, response.mimetype) == (status, "application/problem+json")
    assert listed(gallery, image).get_json()["count"] == 0


def test_comments_come_oldest_first_page_by_page(gallery: Gallery) -> None:
    image, other = gallery.upload(), gallery.upload()
    for n in range(5):
        write(gallery, image, f"{n}")
        write(gallery, other, "elsewhere")
    seen: list[str] = []
    address: str | None = f"{image['url']}/comments?limit=2"
    while address:
        response = gallery.get(address)
        page = response.get_json()
        assert page["comment_count"] == 5
        assert page["count"] == len(page["results"]) <= 2
        assert 'rel="first"' in response.headers["Link"]
        assert ('rel="next"' in response.headers["Link"]) == (page["next"] is not None)
        seen += [comment["text"] for comment in page["results"]]
        address = page["next"]
    assert seen == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=nonsense"])
def test_a_list_of_comments_refuses_what_no_page_gave_out(gallery: Gallery, query: str) -> None:
    image = gallery.upload()
    assert_problem(gallery.get(f"{image['url']}/comments?{query}"), 422, "invalid_input")


WRONG_IDS = ["0", "99", f"{2**63 - 1}", f"{2**63}", f"{10**30}", "-1", "1.5", "x", "%00", "1%2F2"]


@pytest.mark.parametrize("wrong", WRONG_IDS)
def test_what_is_no_id_is_404(gallery: Gallery, wrong: str) -> None:
    image = gallery.upload()
    comment = write(gallery, image).get_json()
    no_image, no_comment = f"{IMAGES}/{wrong}/comments", f"{image['url']}/comments/{wrong}"
    for response in (
        gallery.get(no_image),
        gallery.client.post(no_image, json={"text": "a"}),
        gallery.get(f"{no_image}/{comment['id']}"),
        gallery.client.delete(f"{no_image}/{comment['id']}"),
        gallery.get(no_comment),
        gallery.client.delete(no_comment),
    ):
        assert_problem(response, 404, "not_found")
    assert listed(gallery, image).get_json()["count"] == 1


def test_a_comment_is_found_under_its_own_image_only(gallery: Gallery) -> None:
    image, other = gallery.upload(), gallery.upload()
    comment = write(gallery, image).get_json()
    elsewhere = f"{other['url']}/comments/{comment['id']}"
    assert_problem(gallery.get(elsewhere), 404, "not_found")
    assert_problem(gallery.client.delete(elsewhere), 404, "not_found")
    assert gallery.get(comment["url"]).status_code == 200


def test_a_private_image_of_somebody_else_gets_the_reply_of_an_absent_one(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, root = key_of("ana"), key_of("root", is_administrator=True)
    private = guarded.upload(headers=ana)
    comment = write(guarded, private, headers=ana).get_json()
    for headers in (key_of("bea"), root):
        said = []
        for address in (private["url"], f"{IMAGES}/99"):
            for response in (
                guarded.get(f"{address}/comments", headers),
                guarded.client.post(f"{address}/comments", json={"text": "a"}, headers=headers),
                guarded.get(f"{address}/comments/{comment['id']}", headers),
                guarded.client.delete(f"{address}/comments/{comment['id']}", headers=headers),
            ):
                body = assert_problem(response, 404, "not_found")
                body.pop("request_id")
                number = address.rsplit("/", 1)[1]
                body["detail"] = body["detail"].replace(f"image {number}", "image ID")
                said.append(body)
        assert all(body == said[0] for body in said)
    assert listed(guarded, private, ana).get_json()["count"] == 1


def test_without_a_key_comments_of_public_images_are_read_and_none_is_written(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana = key_of("ana")
    public, private = (
        guarded.upload(headers=ana, is_public=is_public) for is_public in ("true", "false")
    )
    comment, hidden = (write(guarded, image, headers=ana).get_json() for image in (public, private))
    assert listed(guarded, public).get_json()["results"] == [comment]
    assert guarded.get(comment["url"]).get_json() == comment
    for address in (f"{private['url']}/comments", hidden["url"]):
        assert_problem(guarded.get(address), 404, "not_found")
    for image in (public, private, {"url": f"{IMAGES}/99"}):
        assert_problem(write(guarded, image), 401, "not_authenticated")
    for address in (comment["url"], hidden["url"], f"{public['url']}/comments/99"):
        assert_problem(guarded.client.delete(address), 401, "not_authenticated")
    assert listed(guarded, public).get_json()["count"] == 1


def test_author_owner_and_administrator_delete_and_others_are_told_there_is_none(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, bea, cleo = key_of("ana"), key_of("bea"), key_of("cleo")
    root = key_of("root", is_administrator=True)
    image = guarded.upload(headers=ana, is_public="true")
    first, second, third = (write(guarded, image, f"{n}", bea).get_json() for n in range(3))
    absent = f"{image['url']}/comments/99"
    said = []
    for address in (first["url"], absent):
        body = assert_problem(guarded.client.delete(address, headers=cleo), 404, "not_found")
        said.append(body["detail"].replace(f"comment {address.rsplit('/', 1)[1]}", "comment ID"))
    assert said[0] == said[1]
    for comment, headers in ((first, bea), (second, ana), (third, root)):
        assert guarded.client.delete(comment["url"], headers=headers).status_code == 204
    assert guarded.get(image["url"]).get_json()["comment_count"] == 0


def test_under_an_image_made_private_the_owner_still_deletes_and_the_author_does_not(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, bea = key_of("ana"), key_of("bea")
    image = guarded.upload(headers=ana, is_public="true")
    comment = write(guarded, image, headers=bea).get_json()
    guarded.client.patch(image["url"], json={"is_public": False}, headers=ana)
    assert_problem(guarded.client.delete(comment["url"], headers=bea), 404, "not_found")
    assert guarded.client.delete(comment["url"], headers=ana).status_code == 204


def test_an_idempotency_key_writes_once(gallery: Gallery) -> None:
    image, other = gallery.upload(), gallery.upload()
    key = {"Idempotency-Key": "k1"}
    first, again = write(gallery, image, "a", key), write(gallery, image, " a", key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json() == again.get_json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert_problem(write(gallery, image, "b", key), 422, "invalid_input")
    assert_problem(write(gallery, other, "a", key), 422, "invalid_input")
    assert_problem(write(gallery, image, "a", {"Idempotency-Key": "a b"}), 422, "invalid_input")
    assert gallery.get(image["url"]).get_json()["comment_count"] == 1
    gallery.client.delete(first.get_json()["url"])
    assert_problem(write(gallery, image, "a", key), 409, "conflict")
    assert gallery.get(image["url"]).get_json()["comment_count"] == 0


def test_a_key_that_uploaded_a_picture_is_no_key_of_a_comment(gallery: Gallery) -> None:
    key = {"Idempotency-Key": "k1"}
    image = gallery.upload(headers=key)
    assert_problem(write(gallery, image, "a", key), 422, "invalid_input")
    assert gallery.get(image["url"]).get_json()["comment_count"] == 0


def test_two_people_may_send_the_same_key(guarded: Gallery, key_of: KeyOf) -> None:
    ana, bea = key_of("ana"), key_of("bea")
    image = guarded.upload(headers=ana, is_public="true")
    key = {"Idempotency-Key": "k1"}
    ids = {write(guarded, image, "a", who | key).get_json()["id"] for who in (ana, bea)}
    assert len(ids) == 2


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_what_cannot_be_done_to_all_comments_is_405(gallery: Gallery, method: str) -> None:
    image = gallery.upload()
    response = getattr(gallery.client, method)(f"{image['url']}/comments")
    assert_problem(response, 405, "method_not_allowed")
