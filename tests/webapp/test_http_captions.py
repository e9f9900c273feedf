"""Captions of a model's over HTTP: who allows them, what is shown, who may ask, what is said of the key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.db import spaces
from mirada.db.models import Job
from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.application import create_app
from testing.captioned_site import MODEL, describing
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload
from testing.openai_server import (
    CHAT,
    EMBEDDINGS,
    OpenAiServer,
    completion,
    failure,
    openai_serving,
    vectors_for,
)
from testing.pictures import picture
from workers.runner import run_job

Headers = dict[str, str]


class House:
    """An app behind AUTH_MODE=keys whose captions a loopback server writes."""

    def __init__(self, runtime: Runtime, server: OpenAiServer) -> None:
        self.runtime = with_encoder(runtime, CountingEncoder())
        self.server = server
        server.usual[CHAT] = describing
        self.client = create_app(runtime).test_client(use_cookies=False)
        self.ana = self.headers_of("ana")

    def headers_of(self, name: str, **options: Any) -> Headers:
        with self.runtime.transaction() as session:
            user = users.create_user(session, name, **options)
            return {"Authorization": f"Bearer {issue_key(session, user).key}"}

    def upload(self, seed: int, **fields: Any) -> dict[str, Any]:
        part = as_upload(picture(seed), "p.png", "image/png")
        reply = self.client.post("/api/v1/images", data={"file": part, **fields}, headers=self.ana)
        assert reply.status_code == 201, reply.get_json()
        return dict(reply.get_json())

    def work(self) -> None:
        """Run every job once, due or not, and let searches know of it."""
        with self.runtime.transaction() as session:
            session.execute(update(Job).values(next_run_at_ms=1))
            query = select(Job.id).where(Job.state == "queued")
            ids = list(session.execute(query).scalars())
        for job_id in ids:
            run_job(self.runtime, job_id)
        with self.runtime.reading() as session:
            pinned = spaces.searched_spaces(session)
        for space in pinned:
            self.runtime.index(space.id).refresh()

    def get(self, path: str, headers: Headers | None = None) -> Any:
        return self.client.get(path, headers=self.ana if headers is None else headers)

    def post(self, path: str, body: dict[str, Any], headers: Headers | None = None) -> Any:
        return self.client.post(path, json=body, headers=self.ana if headers is None else headers)


@pytest.fixture
def house(make_runtime: Callable[..., Runtime]) -> Iterator[House]:
    with openai_serving() as server:
        yield House(make_runtime(auth_mode="keys", **server.settings), server)


def test_an_upload_without_a_caption_gets_one_and_is_found_by_it(house: House) -> None:
    image = house.upload(1, is_public="true")
    assert (image["caption"], image["caption_source"]) == (None, None)
    tag = house.get(image["url"]).headers["ETag"]
    house.work()

    found = house.get(image["url"])
    body = found.get_json()

    assert body["caption"].startswith("A cat that sits on the roof")
    assert (body["caption_source"], body["caption_model"]) == ("model", MODEL)
    assert found.headers["ETag"] != tag
    reply = house.post("/api/v1/images/search", {"query": body["caption"]})
    (post,) = reply.get_json()
    assert post["id"] == image["id"]
    assert post["similarity"] == pytest.approx(1, abs=1e-4)


def test_every_post_is_found_by_caption_description_or_picture(house: House) -> None:
    own = house.upload(1, is_public="true", caption="my holidays")
    bare = house.upload(2, is_public="true")
    quiet = house.upload(3, is_public="true", auto_caption="false")
    private = house.upload(4, caption="nobody's")
    tag = house.get(own["url"]).headers["ETag"]
    house.work()
    house.work()
    described = house.get(own["url"]).get_json()
    assert (described["caption"], described["caption_source"]) == ("my holidays", "person")
    assert described["description"].startswith("A cat that sits on the roof")
    assert described["description_model"] == MODEL
    assert described["version"] == own["version"]
    assert house.get(own["url"]).headers["ETag"] != tag

    def found(query: str, headers: Headers | None = None) -> list[dict[str, Any]]:
        posts: list[dict[str, Any]] = house.post(
            "/api/v1/images/search", {"query": query}, headers
        ).get_json()
        return posts

    everybodys, bea = {own["id"], bare["id"], quiet["id"]}, house.headers_of("bea")
    for query in (described["description"], "my holidays"):
        posts = found(query)
        assert posts[0]["id"] == own["id"], query
        assert posts[0]["similarity"] == pytest.approx(1, abs=1e-4)
        assert (posts[0]["caption"], posts[0]["description"]) == (
            "my holidays",
            described["description"],
        )
        assert {post["id"] for post in posts} == everybodys | {private["id"]}
        # Each once, with a key and without.
        assert len(posts) == 4
        assert {post["id"] for post in found(query, {})} == everybodys
        assert {post["id"] for post in found(query, bea)} == everybodys
    hits = house.post("/api/v1/search", {"text": described["description"], "in": "all"}).get_json()
    assert [hit["image"]["id"] for hit in hits["results"]].count(own["id"]) == 1


def test_an_uploader_may_say_no(house: House) -> None:
    image = house.upload(1, auto_caption="false")
    house.work()
    assert house.get(image["url"]).get_json()["caption"] is None
    assert house.server.calls == []


def test_what_a_model_wrote_can_be_taken_away_for_good(house: House) -> None:
    image = house.upload(1)
    house.work()
    changed = house.client.patch(image["url"], json={"caption": None}, headers=house.ana)
    assert (changed.get_json()["caption"], changed.get_json()["caption_source"]) == (None, None)
    house.work()
    house.upload(1)
    house.work()
    assert house.get(image["url"]).get_json()["caption"] is None
    assert house.server.paid[CHAT] == 1


def test_questions_that_cost_money_are_for_people_with_a_key(house: House) -> None:
    house.upload(1, is_public="true", caption="a public cat", prompt="a cat")
    assert house.post("/api/v1/images/search", {"query": "a cat"}, {}).get_json() == []
    house.work()
    asked = house.server.paid[EMBEDDINGS]

    # Whoever has no key finds by the pictures, for nothing.
    (found,) = house.post("/api/v1/images/search", {"query": "a cat"}, {}).get_json()
    assert found["caption"] == "a public cat"
    fused = house.post("/api/v1/search", {"text": "a cat", "in": "all"}, {}).get_json()
    assert "captions" in [each["source"] for each in fused["left_out"]]
    assert house.server.paid[EMBEDDINGS] == asked

    assert len(house.post("/api/v1/images/search", {"query": "a cat"}).get_json()) == 1
    assert len(house.post("/api/v1/images/search", {"query": " a  cat"}).get_json()) == 1
    # The same question is paid once, and nobody's usage tells of it.
    assert house.server.paid[EMBEDDINGS] == asked + 1
    calls = house.get("/api/v1/usage").get_json()["calls"]
    assert [call["purpose"] for call in calls] == ["caption"]


def test_a_server_that_is_away_leaves_captions_out_and_answers_the_rest(house: House) -> None:
    house.upload(1, is_public="true", caption="a public cat", prompt="a cat")
    house.work()
    house.server.usual[EMBEDDINGS] = lambda call: failure(500, "server_error")
    assert len(house.post("/api/v1/images/search", {"query": "another"}).get_json()) == 1
    fused = house.post("/api/v1/search", {"text": "cat", "in": "all"}).get_json()
    assert "captions" in [each["source"] for each in fused["left_out"]]
    assert fused["results"]
    house.server.usual[EMBEDDINGS] = vectors_for
    assert house.post("/api/v1/images/search", {"query": "another"}).status_code == 200


def test_a_refused_key_is_said_in_health_and_usage_and_uploads_go_on(house: House) -> None:
    house.server.usual[CHAT] = lambda call: failure(401, "invalid_api_key")
    image = house.upload(1)
    house.work()
    house.work()

    health = house.get("/health").get_json()
    assert "refuses OPENAI_API_KEY (401 invalid_api_key)" in str(health)
    told = house.get("/api/v1/usage").get_json()["language_model"]
    assert told["key"] == "refused"
    assert "refuses OPENAI_API_KEY" in told["reason"]
    (job,) = house.get("/api/v1/jobs?kind=caption_image_task").get_json()["results"]
    assert (job["state"], job["attempts"]) == ("queued", 0)
    assert house.upload(2)["id"] != image["id"]
    assert len(house.server.calls) == 1

    # A restart with a good key: the circuit is closed, and the work goes on.
    house.server.usual[CHAT] = describing
    house.runtime.circuit.answered()
    house.work()
    assert house.get(image["url"]).get_json()["caption_source"] == "model"


def test_a_caption_that_was_refused_says_why_and_is_asked_for_again_by_hand(house: House) -> None:
    image = house.upload(1)
    house.server.next.append(completion("<script>alert(1)</script>"))
    house.work()
    (job,) = house.get("/api/v1/jobs?state=failed").get_json()["results"]
    assert job["last_error"] == "The caption holds markup or signs that belong to no word."
    assert "<script" not in house.get(image["url"]).get_data(as_text=True)

    assert house.post(f"/api/v1/jobs/{job['id']}/retry", {}).status_code == 202
    house.work()
    assert house.get(image["url"]).get_json()["caption_source"] == "model"
