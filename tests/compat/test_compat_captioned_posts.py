"""Captioned image posts: found by what their captions mean, in the short list form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirada.db.models import Job
from testing.console import run_command
from tests.compat.conftest import Server, upload


def found(server: Server, query: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
    reply = server.client.post(
        "/api/v1/images/search", json={"query": query, **more}, headers=headers or {}
    )
    assert reply.status_code == 200, reply.get_json()
    return reply.get_json()


def test_posts_are_found_by_their_captions_as_a_plain_list(
    guarded: Server, people: dict[str, dict[str, str]]
) -> None:
    ana = people["ana"]
    assert found(guarded, "a cat") == []
    cat = upload(guarded, ana, 1, caption="a cat", is_public=True, prompt="felis")
    upload(guarded, ana, 2, caption="a hamburger with chips", is_public=True)
    upload(guarded, ana, 3, is_public=True)
    guarded.work()

    posts = found(guarded, "a cat")

    assert {post["caption"] for post in posts} == {"a cat", "a hamburger with chips", None}
    assert posts[0] == {
        "id": cat["id"],
        "caption": "a cat",
        "description": None,
        "prompt": "felis",
        "image_url": cat["file_url"],
        "thumbnail_url": cat["thumbnail_url"],
        "created_at": cat["created_at"],
        "similarity": pytest.approx(1, abs=1e-4),
        "relevance": pytest.approx(1, abs=0.2),
        "is_relevant": True,
    }
    assert len(found(guarded, "a cat", limit=1)) == 1


def test_a_caption_is_found_by_those_who_may_see_its_image(
    guarded: Server, people: dict[str, dict[str, str]]
) -> None:
    mine = upload(guarded, people["ana"], 1, caption="a secret cat")
    guarded.work()
    assert [post["id"] for post in found(guarded, "a cat", people["ana"])] == [mine["id"]]
    assert found(guarded, "a cat", people["bea"]) == found(guarded, "a cat") == []
    guarded.client.patch(mine["url"], json={"is_public": True}, headers=people["ana"])
    assert [post["id"] for post in found(guarded, "a cat")] == [mine["id"]]


def test_a_caption_typed_later_is_found_and_one_taken_away_is_not(
    guarded: Server, people: dict[str, dict[str, str]]
) -> None:
    ana = people["ana"]
    image = upload(guarded, ana, 1)
    assert (image["caption"], image["caption_source"], image["caption_model"]) == (None,) * 3
    body = guarded.client.patch(image["url"], json={"caption": "a cat"}, headers=ana).get_json()
    assert (body["caption_source"], body["caption_model"]) == ("person", None)
    guarded.work()
    assert len(found(guarded, "a cat", ana)) == 1
    guarded.client.patch(image["url"], json={"caption": None}, headers=ana)
    (post,) = found(guarded, "a cat", ana)
    assert (post["id"], post["caption"]) == (image["id"], None), "found by what it shows"


@pytest.mark.parametrize(
    "wrong",
    [{}, {"query": " "}, {"query": "x" * 100_000}, {"query": "a", "limit": "ten"}, {"query": 7}],
    ids=["none", "blank", "long", "limit", "number"],
)
def test_a_question_that_is_none_is_refused(serve: Callable[..., Server], wrong: Any) -> None:
    client = serve().client
    assert client.post("/api/v1/images/search", json=wrong).status_code == 422
    if wrong and wrong["query"] != 7:
        assert client.post("/api/v1/images/search", query_string=wrong).status_code == 422


def test_a_question_in_the_address_is_the_same_as_one_in_the_body(server: Server) -> None:
    for seed, caption in enumerate(("a cat", "a cat on a roof", "a hamburger"), start=1):
        upload(server, {}, seed, caption=caption)
    server.work()

    def asked(query: str, **body: Any) -> list[str]:
        reply = server.client.post(f"/api/v1/images/search{query}", **body)
        assert reply.status_code == 200, reply.get_json()
        return [post["caption"] for post in reply.get_json()]

    in_body = [post["caption"] for post in found(server, "a cat", limit=2)]
    assert len(in_body) == 2
    assert asked("?query=cat&limit=2")[0] in ("a cat", "a cat on a roof")
    assert asked("?query=a%20cat&limit=2") == in_body
    # What HTTP clients send as a body where there is nothing to send.
    for body in (
        {"json": {}},
        {"data": b"", "content_type": "application/json"},
        {"data": b"", "content_type": "application/x-www-form-urlencoded"},
        {"data": {"unread": "1"}},
    ):
        assert asked("?query=a%20cat&limit=2", **body) == in_body
    assert asked("?limit=2", json={"query": "a cat"}) == in_body
    assert asked("?query=a%20hamburger&limit=1", json={"query": "a cat", "limit": 2}) == in_body
    assert asked("/?query=a%20cat&limit=2") == in_body
    assert len(asked("?query=a%20cat&limit=500")) == 3
    assert len(asked("?query=a%20cat&limit=0")) == 1


def test_a_question_that_is_nowhere_is_told_where_to_stand(server: Server) -> None:
    for body in ({}, {"data": {"query": "a cat"}}):
        reply = server.client.post("/api/v1/images/search", **body)
        assert reply.status_code == 415
        assert "?query=a%20cat&limit=10, or as application/json" in reply.get_json()["detail"]
    reply = server.client.post("/api/v1/images/search?limit=3", json={"limit": 2})
    assert reply.get_json()["errors"] == {"query": ["Missing data for required field."]}


def test_without_a_key_no_caption_is_written_and_no_job_asks(serve: Callable[..., Server]) -> None:
    server = serve()
    image = server.upload()
    assert (image["caption"], image["caption_source"]) == (None, None)
    with server.runtime.reading() as session:
        assert session.query(Job).count() == 1


def test_switched_off_embeddings_store_captions_and_embed_them_later(
    serve: Callable[..., Server],
) -> None:
    server = serve(embeddings_enabled=False)
    upload(server, {}, 1, caption="a cat")
    reply = server.client.post("/api/v1/images/search", json={"query": "a cat"})
    assert reply.status_code == 409
    assert "EMBEDDINGS_ENABLED" in reply.get_json()["detail"]
    on = serve(data_dir=server.runtime.settings.data_dir)
    dry = run_command(on.runtime, "captions", "backfill", "--dry-run")
    assert "1 pictures lack a vector of what is said of them." in dry.output
    done = run_command(on.runtime, "captions", "backfill", "--no-wait")
    assert "1 jobs were queued" in done.output, done.output
    run_command(on.runtime, "embeddings", "backfill", "--no-wait")
    on.work()
    on.work()
    assert [post["caption"] for post in found(on, "a cat")] == ["a cat"]
    again = run_command(on.runtime, "captions", "switch-model")
    assert "is in use already" in again.output
