"""Search over HTTP: by vector and stored image here; what needs an encoder is at the end."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import Gallery, as_upload, assert_problem, on_arc
from testing.patience import PATIENCE_S, Stopwatch
from testing.pictures import picture
from tests.conftest import MakeRuntime


def search(gallery: Gallery, **query: Any) -> Any:
    headers = query.pop("headers", {})
    return gallery.client.post("/api/v1/search", json=query, headers=headers)


def ids_of(response: Any) -> list[int]:
    assert response.status_code == 200, response.get_json()
    return [found["image"]["id"] for found in response.get_json()["results"]]


def test_a_vector_finds_the_nearest_first(gallery: Gallery) -> None:
    ids = [gallery.upload(degrees=degrees)["id"] for degrees in (50, 5, 30)]
    response = search(gallery, vector=on_arc(0))
    assert ids_of(response) == [ids[1], ids[2], ids[0]]
    body = response.get_json()
    assert body["results"][0]["similarity"] == pytest.approx(0.9962, abs=1e-4)
    assert all(0 <= found["relevance"] <= 1 for found in body["results"])
    assert body["permitted_count"] == 3
    assert body["space"] == "image:test:v1:none"
    assert body["way"] == "exact"
    assert isinstance(body["verdict"], str)
    assert body["change_seq"] == 6  # three uploads, three vectors
    assert body["reason"] == "These are all there are: 3."


def test_a_vector_of_any_length_is_the_same_question(gallery: Gallery) -> None:
    gallery.upload(degrees=0)
    for scale in (1e-3, 1.0, 1e6, 1e300):
        vector = [scale * x for x in on_arc(0)]
        [found] = search(gallery, vector=vector).get_json()["results"]
        assert found["similarity"] == pytest.approx(1.0, abs=1e-6)


def test_a_stored_image_finds_its_like_but_not_itself(gallery: Gallery) -> None:
    image, near, twin = (
        gallery.upload(seed=seed, degrees=degrees) for seed, degrees in ((1, 0), (2, 9), (1, 0))
    )
    response = search(gallery, image_id=image["id"])
    assert ids_of(response) == [twin["id"], near["id"]]
    assert response.get_json()["results"][0]["similarity"] >= 0.999
    assert ids_of(search(gallery, image_id=image["id"], k=1)) == [twin["id"]]


def test_an_empty_collection_answers_with_nothing_and_says_so(gallery: Gallery) -> None:
    body = search(gallery, vector=on_arc(0)).get_json()
    assert body["results"] == []
    assert body["permitted_count"] == 0
    assert body["reason"]


@pytest.mark.parametrize("name", ["k", "limit"])
def test_k_and_limit_mean_the_same(gallery: Gallery, name: str) -> None:
    for degrees in range(12):
        gallery.upload(degrees=degrees)
    assert len(ids_of(search(gallery, vector=on_arc(0)))) == 10
    assert len(ids_of(search(gallery, vector=on_arc(0), **{name: 3}))) == 3
    assert len(ids_of(search(gallery, vector=on_arc(0), **{name: 1000}))) == 12


@pytest.mark.parametrize("k", [0, -1, 1001, 10**9, 2**70, "many", None, 1.5])
def test_a_k_that_makes_no_sense_is_422(gallery: Gallery, k: Any) -> None:
    response = search(gallery, vector=on_arc(0), k=k)
    if k is None:
        assert response.status_code == 200
    else:
        assert "k" in assert_problem(response, 422, "invalid_input")["errors"]


@pytest.mark.parametrize(
    "vector",
    [[], [1.0], on_arc(0)[:7], [*on_arc(0), 0.0], [0.0] * 8, ["x"] * 8, [[1.0] * 8], [0.1] * 9000],
    ids=["none", "one", "seven", "nine", "zeros", "words", "nested", "thousands"],
)
def test_a_vector_that_does_not_fit_is_422(gallery: Gallery, vector: Any) -> None:
    assert (
        "vector" in assert_problem(search(gallery, vector=vector), 422, "invalid_input")["errors"]
    )


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_vector_that_is_not_finite_is_422(gallery: Gallery, number: str) -> None:
    body = json.dumps({"vector": on_arc(0)}).replace("1.0", number, 1)
    response = gallery.client.post("/api/v1/search", data=body, content_type="application/json")
    assert "vector" in assert_problem(response, 422, "invalid_input")["errors"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"text": "cat", "image_id": 1},
        {"image_id": 1, "vector": on_arc(0)},
        {"text": ""},
        {"text": "   \n"},
        {"text": "x" * 2001},
        {"text": "half a pair: \ud800"},
        {"text": 7},
        {"image_id": "x"},
        {"image_id": 1, "k": 3, "limit": 4},
        {"image_id": 1, "threshold": 7},
        {"image_id": 1, "unknown": 7},
    ],
    ids=str,
)
def test_a_query_that_is_not_exactly_one_question_is_422(
    gallery: Gallery, query: dict[str, Any]
) -> None:
    assert assert_problem(search(gallery, **query), 422, "invalid_input")["errors"]


def test_a_file_beside_another_question_is_422(gallery: Gallery) -> None:
    response = gallery.client.post(
        "/api/v1/search", data={"file": as_upload(picture(1)), "text": "cat"}
    )
    assert_problem(response, 422, "invalid_input")


@pytest.mark.parametrize("image_id", [0, -1, 99, 2**63, 2**80])
def test_an_unknown_image_is_404(gallery: Gallery, image_id: int) -> None:
    assert_problem(search(gallery, image_id=image_id), 404, "not_found")


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"image_id":' + b"1" * 5000 + b"}", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"x", "text/plain", 415),
        (b"text=cat", "application/x-www-form-urlencoded", 415),
    ],
    ids=["broken", "not UTF-8", "too deep", "a number without end", "a list", "no JSON", "a form"],
)
def test_a_body_that_is_no_query_is_refused(
    gallery: Gallery, content: bytes, media_type: str, status: int
) -> None:
    response = gallery.client.post("/api/v1/search", data=content, content_type=media_type)
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"


def test_a_threshold_cuts(gallery: Gallery) -> None:
    near, _ = (gallery.upload(degrees=degrees)["id"] for degrees in (5, 50))
    assert ids_of(search(gallery, vector=on_arc(0), threshold=0.9)) == [near]


def test_the_change_number_of_a_deletion_makes_the_next_search_fresh(gallery: Gallery) -> None:
    image = gallery.upload(degrees=0)
    deleted = gallery.client.delete(image["url"])
    fresh = {"X-Min-Change-Seq": deleted.headers["X-Change-Seq"]}
    response = search(gallery, vector=on_arc(0), headers=fresh)
    assert ids_of(response) == []
    assert response.get_json()["change_seq"] >= int(fresh["X-Min-Change-Seq"])


def test_a_change_number_this_database_never_gave_is_409_at_once(gallery: Gallery) -> None:
    gallery.upload(degrees=0)
    latest = search(gallery, vector=on_arc(0)).get_json()["change_seq"]
    watch = Stopwatch()
    response = search(gallery, vector=on_arc(0), headers={"X-Min-Change-Seq": str(latest + 1)})
    assert "restored" in assert_problem(response, 409, "conflict")["detail"]
    assert watch.seconds < 1
    fresh = search(gallery, vector=on_arc(0), headers={"X-Min-Change-Seq": str(latest)})
    assert fresh.status_code == 200


def test_a_change_that_is_still_on_its_way_is_503_with_retry_after(gallery: Gallery) -> None:
    image = gallery.upload(degrees=0)
    # What answers, behind what samples the answers.
    index: Any = gallery.runtime.index(gallery.space_id)._index  # type: ignore[attr-defined]
    is_held, is_over = threading.Event(), threading.Event()

    def load_for_long() -> None:
        with index._refreshing:
            is_held.set()
            is_over.wait(PATIENCE_S)

    loading = threading.Thread(target=load_for_long)
    loading.start()
    try:
        assert is_held.wait(PATIENCE_S)
        change = gallery.client.delete(image["url"]).headers["X-Change-Seq"]
        response = search(gallery, vector=on_arc(0), headers={"X-Min-Change-Seq": change})
    finally:
        is_over.set()
        loading.join()
    assert_problem(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    later = search(gallery, vector=on_arc(0), headers={"X-Min-Change-Seq": change})
    assert ids_of(later) == []


@pytest.mark.parametrize("seq", ["x", "-1", "1.5", "9" * 40, ""])
def test_a_change_number_that_is_none_is_422(gallery: Gallery, seq: str) -> None:
    response = search(gallery, vector=on_arc(0), headers={"X-Min-Change-Seq": seq})
    assert_problem(response, 422, "invalid_input")


@pytest.mark.parametrize(("is_on", "encoded"), [(True, 1), (False, 3)])
def test_the_same_words_are_encoded_once_unless_that_is_switched_off(
    make_runtime: MakeRuntime, is_on: bool, encoded: int
) -> None:
    encoder = CountingEncoder()
    runtime = with_encoder(make_runtime(enable_embedding_cache=is_on), encoder)
    client = create_app(runtime).test_client()
    first = client.post("/api/v1/search", json={"text": "a cat"})
    again = client.post("/api/v1/search", json={"text": "  a  cat "})
    embedded = client.post("/api/v1/embeddings", json={"texts": ["a cat"]})
    assert first.get_json() == again.get_json()
    assert embedded.get_json()["embeddings"] == CountingEncoder().encode_texts(["a cat"]).tolist()
    assert encoder.texts == ["a cat"] * encoded
    assert client.get("/labels").get_json()["features"]["embedding_cache"] is is_on


@pytest.mark.parametrize(
    ("k", "status"), [(2.0, 200), (2, 200), (2.5, 422), ("2", 422), (True, 422), (1e300, 422)]
)
def test_a_whole_number_is_one_however_json_writes_it(
    gallery: Gallery, k: object, status: int
) -> None:
    gallery.upload(degrees=0)
    reply = gallery.client.post("/api/v1/search", json={"vector": on_arc(0), "k": k})
    assert reply.status_code == status
