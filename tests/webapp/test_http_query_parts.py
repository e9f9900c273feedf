"""Queries of several parts over HTTP: mixed, weighted, with what is not wanted, and with signs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from testing.asking import A_FEW_NEAR, Words, ids_of, search
from testing.gallery import Gallery, as_upload, assert_problem, nothing_kept, on_arc
from testing.pictures import picture

Part = dict[str, Any]


def similarities(response: Any) -> list[float]:
    return [found["similarity"] for found in response.get_json()["results"]]


def test_one_part_is_the_query_that_it_was(gallery: Gallery) -> None:
    for degrees in (50, 5, 30):
        gallery.upload(degrees=degrees)
    whole = search(gallery, vector=on_arc(0)).get_json()
    for weight in (1, 0.25):
        part = {"vector": on_arc(0), "weight": weight}
        assert search(gallery, query=[part]).get_json() == whole


def test_parts_are_blended_by_weight_and_their_images_are_no_results(gallery: Gallery) -> None:
    left, middle, right = (gallery.upload(degrees=degrees)["id"] for degrees in (0, 40, 90))
    far = gallery.upload(degrees=180)["id"]
    both = search(gallery, query=[{"vector": on_arc(0)}, {"vector": on_arc(80)}])
    assert ids_of(both)[0] == middle
    leaning = search(
        gallery, query=[{"vector": on_arc(0), "weight": 0.1}, {"vector": on_arc(90), "weight": 9}]
    )
    assert ids_of(leaning)[0] == right
    named = search(gallery, query=[{"image_id": left}, {"image_id": right}])
    assert ids_of(named) == [middle, far]


def test_what_is_not_wanted_moves_down_and_the_list_stays_whole(gallery: Gallery) -> None:
    ids = [gallery.upload(degrees=degrees)["id"] for degrees in A_FEW_NEAR]
    wanted, unwanted = {"vector": on_arc(20)}, {"vector": on_arc(0), "weight": -1}
    plain = search(gallery, query=[wanted], k=30)
    without = search(gallery, query=[wanted, unwanted], k=30)
    assert sorted(ids_of(without)) == sorted(ids_of(plain)) == sorted(ids)
    assert ids_of(without).index(ids[0]) > ids_of(plain).index(ids[0])
    found = similarities(without)
    assert found == sorted(found, reverse=True)
    assert search(gallery, query=[wanted, unwanted], k=5).get_json()["reason"] is None
    assert ids_of(search(gallery, query=[wanted, unwanted], k=5)) == ids_of(without)[:5]
    # Asking for more than the mildest: the weight says how much.
    mild = search(gallery, query=[wanted, {**unwanted, "weight": -0.01}], k=30)
    assert ids_of(mild).index(ids[0]) < ids_of(without).index(ids[0])


def test_a_threshold_cuts_what_is_left_of_the_similarity(gallery: Gallery) -> None:
    for degrees in A_FEW_NEAR:
        gallery.upload(degrees=degrees)
    query = [{"vector": on_arc(20)}, {"vector": on_arc(0), "weight": -1}]
    whole = similarities(search(gallery, query=query, k=30))
    cut = search(gallery, query=query, k=30, threshold=0.8)
    assert similarities(cut) == [each for each in whole if each >= 0.8]
    assert "threshold" in cut.get_json()["reason"]


MALFORMED: list[tuple[Any, str]] = [
    ([], "Length must be between 1 and 16"),
    ({}, "Must be a list of parts"),
    ("cat", "Must be a list of parts"),
    ([{"vector": on_arc(1)}] * 17, "16 parts at most"),
    ([{}], "exactly one of"),
    ([{"weight": 1}], "exactly one of"),
    ([{"vector": on_arc(0), "image_id": 1}], "exactly one of"),
    ([{"text": "a", "picture": "b"}], "exactly one of"),
    ([{"vector": on_arc(0), "weight": 0}], "at least 0.001"),
    ([{"vector": on_arc(0), "weight": 1e-300}], "at least 0.001"),
    ([{"vector": on_arc(0), "weight": 1e300}], "less than or equal to 10"),
    ([{"vector": on_arc(0), "weight": -11}], "greater than or equal to -10"),
    ([{"vector": on_arc(0), "weight": "much"}], "Not a valid number"),
    ([{"vector": on_arc(0), "weight": None}], "may not be null"),
    ([{"vector": on_arc(0), "weight": -1}], "only says what is not wanted"),
    ([{"text": "a", "weight": -1}, {"image_id": 1, "weight": -2}], "only says what is not wanted"),
    ([{"vector": on_arc(0), "boost": 2}], "it takes image_id, picture, text, vector and weight."),
    ([{"text": ""}], "Length must be between"),
    ([{"text": " "}], "Must not be blank"),
    ([{"text": 7}], "Not a valid string"),
    ([{"vector": on_arc(0)}, {"text": "a\ud800"}], "half a surrogate pair"),
    ([{"image_id": "x"}], "Not a valid integer"),
    ([{"vector": []}], "Length must be between"),
    ([{"vector": on_arc(0)}, {"vector": [1.0]}], "Part 2 of the query: The vector has 1 numbers"),
    ([{"vector": on_arc(0)}, {"vector": [0.0] * 8}], "Part 2 of the query: A vector of zeros"),
    ([{"vector": on_arc(0)}, {"vector": on_arc(180)}], "cancel each other out"),
    ([{"picture": "file"}], "exactly one of that name"),
    ([{"picture": ""}], "Must be the id of a query picture"),
    ([{"picture": True}], "Must be the id of a query picture"),
    ([7], "Invalid input type"),
    ([None], "may not be null"),
]


@pytest.mark.parametrize(("query", "says"), MALFORMED, ids=[says for _, says in MALFORMED])
def test_a_malformed_query_is_422_and_says_why(gallery: Gallery, query: Any, says: str) -> None:
    gallery.upload(degrees=0)
    with nothing_kept(gallery.runtime):
        body = assert_problem(search(gallery, query=query), 422, "invalid_input")
    assert says in json.dumps([body["detail"], body["errors"]])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_weight_that_is_not_finite_is_422(gallery: Gallery, number: str) -> None:
    body = json.dumps({"query": [{"vector": on_arc(0), "weight": 7}]}).replace("7}", f"{number}}}")
    response = gallery.client.post("/api/v1/search", data=body, content_type="application/json")
    assert "query" in assert_problem(response, 422, "invalid_input")["errors"]


@pytest.mark.parametrize(
    "fields",
    [
        {"query": [{"text": "a"}], "text": "a"},
        {"query": [{"text": "a"}], "image_id": 1},
        {"query": [{"text": "a"}], "vector": on_arc(0)},
        {"query": [{"image_id": 1}], "in": "captions"},
        {"query": [{"image_id": 1}, {"text": "a", "weight": -1}], "in": "all"},
        {"query": [{"image_id": 1}], "weights": {"pictures": 1}},
        {"query": [{"text": "a"}], "syntax": "signs"},
        {"image_id": 1, "syntax": "signs"},
        {"text": "a", "syntax": "morse"},
        {"text": "a", "syntax": None},
        {"text": "a -", "syntax": "signs"},
        {"text": "-a", "syntax": "signs"},
        {"text": 'a "b', "syntax": "signs"},
        {"text": "a " + " ".join(f"-b{n}" for n in range(16)), "syntax": "signs"},
        {"query": [{"text": "a"}], "k": 1001},
    ],
    ids=str,
)
def test_what_does_not_go_together_is_422(gallery: Gallery, fields: dict[str, Any]) -> None:
    assert assert_problem(search(gallery, **fields), 422, "invalid_input")["errors"]


def test_an_image_of_somebody_else_is_as_absent_as_one_that_is_not_there(gallery: Gallery) -> None:
    query = [{"vector": on_arc(0)}, {"image_id": 999, "weight": -1}]
    assert_problem(search(gallery, query=query), 404, "not_found")


@pytest.mark.parametrize("image_id", [999, 0, -1, 2**63, 10**30])
def test_where_texts_alone_are_compared_no_image_is_looked_up(words: Words, image_id: int) -> None:
    cat = words.hang("cat", caption="a cat")
    query = [{"text": "cat"}, {"image_id": image_id}]
    assert words.found(query=query, **{"in": "keywords"}) == [cat]


def test_signs_say_what_is_not_wanted(words: Words) -> None:
    cat, both, hat = words.hang("cat"), words.hang("cat", "dog"), words.hang("red hat")
    assert words.found(text="cat", k=2) == [cat, both]
    found = words.found(text='cat -dog "red hat"', syntax="signs", k=11)
    assert set(found[:2]) == {cat, hat}
    assert found[-1] == both
    # Without the syntax the signs are text.
    words.encoder.texts.clear()
    words.found(text="cat -dog")
    assert words.encoder.texts == ["cat -dog"]


def test_all_texts_of_a_query_are_encoded_together(words: Words) -> None:
    words.encoder.batches.clear()
    words.found(query=[{"text": "cat"}, {"text": "dog", "weight": -1}, {"text": "red hat"}])
    assert words.encoder.batches == [["cat", "dog", "red hat"]]


def test_words_with_a_minus_take_an_image_out_of_what_words_find(words: Words) -> None:
    cat = words.hang("cat", caption="a cat in the sun")
    both = words.hang("cat", caption="a cat and a small dog")
    other = words.hang("cat", caption="a cat and a dog, small as both are")
    search = {"text": "cat -dog", "syntax": "signs"}
    assert words.found(text="cat", **{"in": "keywords"}) == [cat, both, other]
    assert words.found(**search, **{"in": "keywords"}) == [cat]
    # A phrase goes where all its words are.
    phrase = {"text": 'cat -"small sun"', "syntax": "signs", "in": "keywords"}
    assert words.found(**phrase) == [cat, both, other]
    # In `all` the words no longer find them, and what they show still does.
    reply = words.client.post("/api/v1/search", json={**search, "in": "all", "k": 11}).get_json()
    by_words = [
        found["image"]["id"]
        for found in reply["results"]
        if any(part["source"] == "keywords" for part in found["found_by"])
    ]
    assert by_words == [cat]
    assert reply["results"][0]["image"]["id"] == cat
    assert {both, other} <= {found["image"]["id"] for found in reply["results"]}


def test_sent_pictures_are_parts_by_the_names_of_their_fields(words: Words) -> None:
    sent, hat = picture(500), words.hang("red hat")
    like_it = words.hang("cat")
    words.encoder.show("cat")

    def post(query: list[Part], **files: Any) -> Any:
        data = {"query": json.dumps(query), "k": "2", **files}
        return words.client.post("/api/v1/search", data=data)

    query = [{"picture": "sent"}, {"text": "red hat", "weight": 1}]
    with nothing_kept(words.runtime):
        assert set(ids_of(post(query, sent=as_upload(sent)))) == {hat, like_it}
        refused = assert_problem(post(query, other=as_upload(sent)), 422, "invalid_input")
        assert "exactly one of that name" in refused["detail"]
        refused = assert_problem(
            post(query, sent=as_upload(sent), more=as_upload(sent)), 422, "invalid_input"
        )
        assert "names the file part 'more'" in refused["detail"]
        broken = as_upload(b"no picture")
        assert_problem(post(query, sent=broken), 415, "unsupported_image")
        for text in ("", "{", "[" * 2000, "7"):
            reply = words.client.post(
                "/api/v1/search", data={"query": text, "sent": as_upload(sent)}
            )
            assert reply.status_code in (400, 422)


def test_a_picture_cannot_be_compared_with_prompts(words: Words) -> None:
    data = {"query": '[{"picture": "file"}]', "in": "prompts", "file": as_upload(picture(1))}
    assert_problem(words.client.post("/api/v1/search", data=data), 422, "invalid_input")
