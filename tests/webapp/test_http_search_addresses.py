"""Searches that have an address, and several searches in one call."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from testing.asking import Words, ids_of, search
from testing.gallery import Gallery, as_upload, assert_problem, on_arc
from testing.pictures import picture

PATH = "/api/v1/search"


def address(**query: Any) -> str:
    return f"{PATH}?{urlencode(query)}"


def test_an_address_answers_as_the_same_search_in_json(words: Words) -> None:
    cat, both = words.hang("cat", caption="a cat"), words.hang("cat", "dog")
    for query in (
        {"text": "cat", "k": 3},
        {"text": "cat -dog", "syntax": "signs", "in": "all"},
        {"image_id": cat, "threshold": 0.1},
        {"text": "cat", "collapse": "same_file", "diversify": 0.5, "limit": 4},
    ):
        told, sent = (
            words.client.get(address(**query)).get_json(),
            words.client.post(PATH, json=query).get_json(),
        )
        assert told["results"] == sent["results"]
        assert (told["verdict"], told["reason"]) == (sent["verdict"], sent["reason"])
    assert both in ids_of(words.client.get(address(text="cat")))


def test_an_address_pages_and_is_filtered(gallery: Gallery) -> None:
    ids = [gallery.upload(degrees=10 * n, is_public="true")["id"] for n in range(5)]
    gallery.upload(degrees=1, is_public="false")
    first = gallery.get(address(image_id=ids[0], limit=2, visibility="public"))
    assert ids_of(first) == ids[1:3]
    assert ids_of(gallery.get(first.get_json()["next"])) == ids[3:5]


def test_a_kept_picture_has_an_address(words: Words) -> None:
    words.encoder.show("cat")
    kept = words.client.post(
        "/api/v1/query-pictures", data={"file": as_upload(picture(900))}
    ).get_json()
    cat = words.hang("cat")
    encoded = words.encoder.images
    page = words.client.get(address(picture=kept["id"], limit=1))
    assert ids_of(page) == [cat]
    assert len(ids_of(words.client.get(page.get_json()["next"]))) == 1
    assert ids_of(words.client.post(PATH, json={"picture": kept["id"], "k": 1})) == [cat]
    assert words.encoder.images == encoded


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"text": "a", "image_id": 1},
        {"text": "a", "picture": 1},
        {"vector": "1,2"},
        {"query": "[]"},
        {"text": "a", "offset": 3},
        {"text": "a", "weights": "{}"},
        {"text": "a", "tone": "red"},
        {"image_id": "x"},
        {"text": ""},
        {"text": "a", "k": 0},
        {"text": "a", "k": 1001},
        {"text": "a", "k": 2, "limit": 3},
        {"text": "a", "diversify": "nan"},
        {"text": "-a", "syntax": "signs"},
        {"image_id": 1, "syntax": "signs"},
        {"image_id": 1, "in": "all"},
        {"text": "a", "kind": "odd"},
        {"cursor": "x" * 60},
    ],
    ids=str,
)
def test_an_address_that_makes_no_sense_is_422(gallery: Gallery, query: dict[str, Any]) -> None:
    gallery.upload(degrees=0)
    assert assert_problem(gallery.get(address(**query)), 422, "invalid_input")["errors"]


def test_a_cursor_in_an_address_with_another_search_is_refused(gallery: Gallery) -> None:
    ids = [gallery.upload(degrees=10 * place)["id"] for place in range(4)]
    page = gallery.get(address(image_id=ids[0], limit=1))
    cursor = page.get_json()["next"].partition("cursor=")[2]
    assert ids_of(gallery.get(f"{address(image_id=ids[0], limit=1)}&cursor={cursor}")) == [ids[2]]
    other = gallery.get(f"{address(image_id=ids[1], limit=1)}&cursor={cursor}")
    assert "cursor" in assert_problem(other, 422, "invalid_input")["errors"]


def test_each_search_of_a_batch_has_its_own_answer_or_problem(gallery: Gallery) -> None:
    for degrees in (0, 10, 20):
        gallery.upload(degrees=degrees)
    queries: list[Any] = [
        {"vector": on_arc(0), "k": 2},
        {"image_id": 999},
        {"vector": [1.0]},
        {"unknown": 1},
        7,
        None,
        {"query": [{"vector": on_arc(20)}, {"vector": on_arc(0), "weight": -1}], "k": 5000},
        {"vector": on_arc(20), "explain": True},
    ]
    reply = gallery.client.post(f"{PATH}/batch", json={"queries": queries})
    assert reply.status_code == 200, reply.get_json()
    answers = reply.get_json()["answers"]
    assert [each["status"] for each in answers] == [200, 404, 422, 422, 422, 422, 422, 200]
    alone = search(gallery, **queries[0]).get_json()
    assert answers[0]["answer"]["results"] == alone["results"]
    assert answers[0]["answer"]["next"]
    assert answers[-1]["answer"]["explained"]["sources"]
    for each in answers[1:7]:
        assert each["answer"] is None
        assert each["problem"]["detail"]
    assert answers[1]["problem"]["code"] == "not_found"
    assert "vector" in answers[2]["problem"]["errors"]
    assert "unknown" in answers[3]["problem"]["errors"]
    assert ": unknown: Unknown field; it takes collapse, " in answers[3]["problem"]["detail"]
    for each in answers[4:6]:
        assert "an object, such as" in each["problem"]["errors"]["_schema"][0]


def test_the_texts_of_a_batch_are_encoded_together(words: Words) -> None:
    cat = words.hang("cat")
    words.encoder.batches.clear()
    queries = [
        {"text": "cat"},
        {"text": "moon -sea", "syntax": "signs"},
        {"query": [{"text": "cat"}, {"text": "hill"}]},
    ]
    reply = words.client.post(f"{PATH}/batch", json={"queries": queries})
    assert reply.get_json()["answers"][0]["answer"]["results"][0]["image"]["id"] == cat
    assert words.encoder.batches == [["cat", "moon", "sea", "hill"]]


@pytest.mark.parametrize(
    "body",
    [{}, {"queries": []}, {"queries": {}}, {"queries": [{"text": "a"}] * 17}, {"searches": []}, []],
    ids=str,
)
def test_a_batch_that_is_none_is_422(gallery: Gallery, body: Any) -> None:
    reply = gallery.client.post(f"{PATH}/batch", json=body)
    assert_problem(reply, 422, "invalid_input")
