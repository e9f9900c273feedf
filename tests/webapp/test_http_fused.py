"""Fused search over HTTP: what shows, what was written, and both together."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from mirada.db.models import Image
from mirada.embedding import embed, texts
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import Unavailable
from mirada.runtime import Runtime
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import Gallery, as_upload, assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.runner import run_job

QUERY = "red balloon"


class Wall:
    """A client and its pictures; an encoder to which equal texts are equal and others unrelated."""

    def __init__(self, runtime: Runtime) -> None:
        self.encoder = CountingEncoder()
        self.runtime = with_encoder(runtime, self.encoder)
        self.client = create_app(self.runtime).test_client()
        self._seeds = itertools.count(1)
        runtime.space()

    def hang(
        self,
        shows: str | None,
        *,
        headers: dict[str, str] | None = None,
        embed_prompt: bool = True,
        **fields: Any,
    ) -> int:
        """Upload a picture that shows what a text says; None leaves it without a vector."""
        response = self.client.post(
            "/api/v1/images",
            data={"file": as_upload(picture(next(self._seeds))), **fields},
            headers=headers or {},
        )
        assert response.status_code == 201, response.get_json()
        image_id: int = response.get_json()["id"]
        if shows is not None:
            space_id, space = self.runtime.space()
            with self.runtime.transaction() as session:
                image = session.get_one(Image, image_id)
                vector = self.encoder.encode_texts([shows])[0]
                embed.store_embedding(session, image.content_id, space_id, space, vector)
            self.runtime.index(space_id).refresh()
        if embed_prompt and "prompt" in fields:
            space_id, space = self.runtime.space(SpaceKind.PROMPT)
            with self.runtime.transaction() as session:
                image = session.get_one(Image, image_id)
                text_id = image.prompt_text_id
                assert text_id is not None
                texts.show_vectors(session, image.content_id)
                vector = self.encoder.encode_texts([fields["prompt"]])[0]
                texts.store_prompt_vectors(session, space_id, space, {text_id: vector})
            self.runtime.index(space_id).refresh()
        return image_id

    def fill(self, count: int = 20) -> None:
        """Hang pictures that have nothing to do with the query."""
        for number in range(count):
            self.hang(f"noise {number}")

    def search(self, *, headers: dict[str, str] | None = None, **query: Any) -> Any:
        body = {"text": QUERY, **query}
        return self.client.post("/api/v1/search", json=body, headers=headers or {})

    def all(self, **query: Any) -> dict[str, Any]:
        response = self.search(**({} if "weights" in query else {"in": "all"}), **query)
        body: dict[str, Any] = response.get_json()
        assert response.status_code == 200, body
        return body


@pytest.fixture
def wall(runtime: Runtime) -> Wall:
    return Wall(runtime)


def ids_of(body: dict[str, Any]) -> list[int]:
    return [found["image"]["id"] for found in body["results"]]


def part_of(body: dict[str, Any], image_id: int) -> dict[str, dict[str, Any]]:
    """Return by source who found an image."""
    (result,) = (found for found in body["results"] if found["image"]["id"] == image_id)
    return {part["source"]: part for part in result["found_by"]}


def test_what_matches_by_words_alone_and_what_matches_by_pixels_alone_are_both_found(
    wall: Wall,
) -> None:
    wall.fill()
    by_pixels = wall.hang(QUERY)
    by_words = wall.hang("something else", caption="A BALLOON, which is red")
    by_meaning = wall.hang("yet another thing", prompt=QUERY)

    body = wall.all(k=3)
    assert set(ids_of(body)) == {by_pixels, by_words, by_meaning}
    assert set(part_of(body, by_pixels)) == {"pictures"}
    assert part_of(body, by_pixels)["pictures"]["rank"] == 1
    assert part_of(body, by_pixels)["pictures"]["similarity"] == pytest.approx(1, abs=1e-6)
    assert part_of(body, by_words)["keywords"] == {
        "source": "keywords",
        "rank": part_of(body, by_words)["keywords"]["rank"],
        "similarity": None,
    }
    assert part_of(body, by_meaning)["prompts"]["rank"] == 1
    assert body["verdict"] == "relevant"
    scores = [found["score"] for found in body["results"]]
    assert scores == sorted(scores, reverse=True)


def test_todays_requests_get_todays_reply(wall: Wall) -> None:
    """Nothing is fused and no field is added unless it is asked for."""
    shown = wall.hang(QUERY)
    wall.hang("something else", caption=QUERY)
    body = wall.search().get_json()
    assert ids_of(body)[0] == shown
    assert set(body) == {
        "results", "verdict", "relevant_count", "way", "permitted_count", "change_seq", "reason", "space",
        "next", "ranked_count",
    }  # fmt: skip
    assert set(body["results"][0]) == {"image", "similarity", "relevance", "is_relevant"}
    assert wall.search(**{"in": "pictures"}).get_json() == body


def test_weights_say_which_sources_are_searched_and_how_much_they_count(wall: Wall) -> None:
    wall.fill()
    by_pixels, by_words = wall.hang(QUERY), wall.hang(None, caption=QUERY)
    words = wall.all(weights={"keywords": 3})
    assert ids_of(words) == [by_words]
    assert [source["source"] for source in words["sources"]] == ["keywords"]
    assert words["results"][0]["score"] == pytest.approx(3 / 61)
    assert (words["results"][0]["similarity"], words["results"][0]["relevance"]) == (None, 1.0)
    assert words["left_out"] == []
    first = {
        weight: ids_of(wall.all(weights={"pictures": 1, "keywords": weight}))[0]
        for weight in (0.5, 2)
    }
    assert first == {0.5: by_pixels, 2: by_words}
    assert ids_of(wall.all(weights={"pictures": 1, "keywords": 0}))[0] == by_pixels


def test_a_source_that_is_not_there_is_left_out_with_the_reason(wall: Wall) -> None:
    by_pixels = wall.hang(QUERY)
    body = wall.all()
    assert ids_of(body) == [by_pixels]
    left_out = {each["source"]: each["reason"] for each in body["left_out"]}
    assert set(left_out) == {"prompts", "captions"}
    assert "No prompt" in left_out["prompts"]
    assert {source["source"] for source in body["sources"]} == {"pictures", "keywords"}


def test_a_model_that_is_still_loading_is_left_out_and_not_waited_for(
    wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_pixels, by_words = wall.hang(QUERY), wall.hang(None, prompt=QUERY)

    def loading(wait_s: float) -> Any:
        raise Unavailable("The encoder is still being loaded; try again shortly.")

    monkeypatch.setattr(wall.runtime, "text_encoder_within", loading)
    body = wall.all()
    assert {by_pixels, by_words} <= set(ids_of(body))
    reasons = {each["source"]: each["reason"] for each in body["left_out"]}
    assert "being loaded" in reasons["prompts"]
    assert_problem(wall.search(weights={"prompts": 1}), 503, "unavailable")
    assert_problem(wall.search(weights={"prompts": 1, "captions": 1}), 503, "unavailable")


def test_words_are_found_where_embeddings_are_switched_off(make_runtime: MakeRuntime) -> None:
    wall = Wall(make_runtime(embeddings_enabled=False))
    image_id = wall.hang(None, caption=QUERY)
    body = wall.all()
    assert ids_of(body) == [image_id]
    assert (body["verdict"], body["space"], body["permitted_count"]) == ("relevant", None, None)
    assert {each["source"] for each in body["left_out"]} == {"pictures", "prompts", "captions"}


def test_captions_alone_are_409_while_they_are_not_compared(wall: Wall) -> None:
    assert_problem(wall.search(weights={"captions": 1}), 409, "conflict")


def test_the_threshold_cuts_vectors_and_not_words(wall: Wall) -> None:
    wall.fill(5)
    by_pixels = wall.hang(QUERY)
    by_words = wall.hang("something else", caption=QUERY)
    body = wall.all(threshold=0.9)
    assert set(ids_of(body)) == {by_pixels, by_words}
    assert set(part_of(body, by_words)) == {"keywords"}


def test_more_results_only_append_to_fewer(wall: Wall) -> None:
    wall.fill(15)
    for word in ("red", "balloon", QUERY):
        wall.hang(f"noise of {word}", caption=word)
    assert ids_of(wall.all(k=15))[:4] == ids_of(wall.all(k=4))
    few = wall.all(k=100)
    assert len(few["results"]) == 18
    assert "18" in few["reason"]


@pytest.mark.parametrize("source", ["keywords", "captions"])
def test_one_source_alone_is_asked_as_by_its_weight(wall: Wall, source: str) -> None:
    wall.fill()
    image_id = wall.hang("something else", caption="a red house", embed_prompt=False)
    for job in wall.client.get("/api/v1/jobs?kind=caption_image_task").get_json()["results"]:
        run_job(wall.runtime, job["id"])
    alone = wall.search(text="a red house", **{"in": source}).get_json()
    assert alone["results"][0]["image"]["id"] == image_id
    assert [part["source"] for part in alone["sources"]] == [source]
    weighed = wall.search(text="a red house", weights={source: 1}).get_json()
    assert alone == weighed


@pytest.mark.parametrize("word", ["a", "ox", "the", "猫", "แมว", "🐱", "ß", "8k", "x" * 500])
def test_an_ordinary_word_is_never_refused(wall: Wall, word: str) -> None:
    image_id = wall.hang(None, caption=f"it says {word} here")
    found = wall.search(text=word, **{"in": "keywords"})
    assert found.status_code == 200
    assert [one["image"]["id"] for one in found.get_json()["results"]] == [image_id]


def test_some_of_the_words_are_less_than_all_of_them_and_no_verdict(wall: Wall) -> None:
    wall.fill()
    some = wall.hang(None, caption="a red house")
    body = wall.all(weights={"keywords": 1})
    assert (ids_of(body), body["verdict"]) == ([some], "nothing relevant")


def test_only_what_the_caller_may_see_and_only_their_own_where_asked(
    guarded: Gallery, key_of: Any
) -> None:
    ana, bea = key_of("ana"), key_of("bea")

    def upload(headers: dict[str, str], is_public: bool) -> int:
        image: dict[str, Any] = guarded.upload(
            headers=headers, caption=QUERY, is_public=json.dumps(is_public)
        )
        return int(image["id"])

    secret, mine, public = upload(bea, False), upload(ana, False), upload(bea, True)

    def found(headers: dict[str, str], **query: Any) -> set[int]:
        body = {"text": QUERY, "weights": {"keywords": 1}, **query}
        response = guarded.client.post("/api/v1/search", json=body, headers=headers)
        assert response.status_code == 200, response.get_json()
        return set(ids_of(response.get_json()))

    assert found(ana) == {mine, public}
    assert found(ana, mine=True) == {mine}
    assert found(bea) == {secret, public}
    assert found({}) == {public}
    assert found({}, mine=True) == set()


def test_the_change_number_holds_for_fused_searches(wall: Wall) -> None:
    wall.hang(QUERY)
    image_id = wall.hang(QUERY, caption=QUERY)
    deleted = wall.client.delete(f"/api/v1/images/{image_id}")
    seq = deleted.headers["X-Change-Seq"]
    for query in ({"in": "all"}, {"weights": {"keywords": 1}}):
        fresh = wall.search(headers={"X-Min-Change-Seq": seq}, **query)
        assert image_id not in ids_of(fresh.get_json())
        assert fresh.get_json()["change_seq"] >= int(seq)
        ahead = wall.search(headers={"X-Min-Change-Seq": str(int(seq) + 1)}, **query)
        assert_problem(ahead, 409, "conflict")
        assert_problem(
            wall.search(headers={"X-Min-Change-Seq": "x"}, **query), 422, "invalid_input"
        )


@pytest.mark.parametrize(
    "text", ['"+-*()~<>@', "'; DROP TABLE images; --", "🎈", "שלום", "\u202ex"]
)
def test_any_text_is_a_question(wall: Wall, text: str) -> None:
    image_id = wall.hang(QUERY)
    assert ids_of(wall.all(text=text)) == [image_id]


def test_a_text_without_words_leaves_the_words_out_and_alone_is_422(wall: Wall) -> None:
    wall.hang(QUERY)
    left_out = wall.all(text="+-*")["left_out"]
    assert {"source": "keywords", "reason": "There is no word in the text."} in left_out
    refused = wall.search(text="+-*", weights={"keywords": 1})
    assert "text" in assert_problem(refused, 422, "invalid_input")["errors"]


@pytest.mark.parametrize("text", ["", " \n\t", "x" * 100_000])
def test_an_empty_or_endless_text_is_422(wall: Wall, text: str) -> None:
    refused = wall.search(text=text, **{"in": "all"})
    assert "text" in assert_problem(refused, 422, "invalid_input")["errors"]


@pytest.mark.parametrize(
    "weights",
    [
        "{}",
        '{"pictures": 0, "keywords": 0}',
        '{"pictures": -1}',
        '{"pictures": 10.5}',
        '{"pictures": NaN}',
        '{"pictures": 1e999}',
        '{"pictures": null}',
        '{"pictures": "much"}',
        '{"colours": 1}',
        "[1]",
        '"all"',
    ],
)
def test_weights_that_make_no_sense_are_422(wall: Wall, weights: str) -> None:
    body = f'{{"text": "cat", "weights": {weights}}}'
    refused = wall.client.post("/api/v1/search", data=body, content_type="application/json")
    assert "weights" in assert_problem(refused, 422, "invalid_input")["errors"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"text": "cat", "weights": {"pictures": 1}, "in": "prompts"}, "weights"),
        ({"text": "cat", "weights": {"pictures": 1}, "in": "pictures"}, "weights"),
        ({"image_id": 1, "in": "all"}, "in"),
        ({"vector": [1.0] * 32, "weights": {"pictures": 1}}, "weights"),
        ({"text": "cat", "in": "nothing"}, "in"),
        ({"image_id": 1, "in": "keywords"}, "in"),
        ({"vector": [1.0] * 32, "in": "captions"}, "in"),
        ({"text": "cat", "weights": {"pictures": 1}, "in": "keywords"}, "weights"),
    ],
)
def test_questions_that_cannot_be_fused_are_422(
    wall: Wall, query: dict[str, Any], field: str
) -> None:
    refused = wall.client.post("/api/v1/search", json=query)
    assert field in assert_problem(refused, 422, "invalid_input")["errors"]


def test_a_picture_is_not_looked_for_in_all_sources(wall: Wall) -> None:
    form = {"file": as_upload(picture(1)), "in": "all"}
    refused = wall.client.post("/api/v1/search", data=form)
    assert "in" in assert_problem(refused, 422, "invalid_input")["errors"]


def test_captions_are_a_source_by_their_meaning(wall: Wall) -> None:
    wall.fill(20)
    image_id = wall.hang("something else", caption="another  thing", embed_prompt=False)
    for job in wall.client.get("/api/v1/jobs?kind=caption_image_task").get_json()["results"]:
        run_job(wall.runtime, job["id"])
    body = wall.all(text="another thing", weights={"captions": 1})
    assert ids_of(body) == [image_id]
    assert part_of(body, image_id)["captions"]["similarity"] == pytest.approx(1, abs=1e-4)
