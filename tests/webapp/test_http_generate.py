"""Pictures made from words, over HTTP: who may ask, for what, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from mirada.db.models import Image, Job
from mirada.people import keys, users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery, assert_problem
from testing.openai_server import DRAWINGS, OpenAiServer, failure, openai_serving
from workers.runner import run_job

GENERATE = "/api/v1/images/generate"
PROMPT = "a cat on the moon, flat colours"


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        yield server


@pytest.fixture
def make_drawing(
    make_runtime: Callable[..., Runtime], server: OpenAiServer
) -> Callable[..., Gallery]:
    """Return a function that makes a gallery behind AUTH_MODE=keys whose pictures the server draws."""

    def make(**settings: Any) -> Gallery:
        defaults = {**server.settings, "auth_mode": "keys", "embeddings_enabled": False}
        runtime = make_runtime(**{**defaults, **settings})
        return Gallery(runtime, create_app(runtime).test_client())

    return make


@pytest.fixture
def drawing(make_drawing: Callable[..., Gallery]) -> Gallery:
    return make_drawing()


def headers_of(gallery: Gallery, name: str, *scopes: str) -> dict[str, str]:
    """Make a user unless there is one, and return the headers of a new key."""
    with gallery.runtime.transaction() as session:
        known = {user.username: user for user in users.list_users(session)}
        user = known.get(name) or users.create_user(session, name)
        new = keys.issue(session, user, scopes=frozenset(scopes) or None)  # type: ignore[arg-type]
        return {"Authorization": f"Bearer {new.key}"}


def ask(gallery: Gallery, headers: dict[str, str], **body: Any) -> Any:
    return gallery.client.post(GENERATE, json={"prompt": PROMPT, **body}, headers=headers)


def job_count(gallery: Gallery) -> int:
    with gallery.runtime.reading() as session:
        return session.execute(select(func.count()).select_from(Job)).scalar_one()


def test_a_job_is_answered_and_names_the_image_once_it_is_done(drawing: Gallery) -> None:
    ana = headers_of(drawing, "ana")

    response = ask(drawing, ana)

    assert response.status_code == 202
    body = response.get_json()
    assert response.headers["Location"] == body["url"]
    assert (body["kind"], body["state"], body["result"]) == ("generate_image_task", "queued", None)
    run_job(drawing.runtime, body["id"])
    done = drawing.get(response.headers["Location"], headers=ana).get_json()
    assert done["state"] == "done"
    image = drawing.get(f"/api/v1/images/{done['result']['image_id']}", headers=ana).get_json()
    assert (image["prompt"], image["is_public"], image["owner"]["username"]) == (
        PROMPT,
        False,
        "ana",
    )
    assert image["generation"]["model"] == "gpt-image-2"


def test_a_private_picture_and_its_job_are_nobody_elses(drawing: Gallery) -> None:
    ana, ben = headers_of(drawing, "ana"), headers_of(drawing, "ben")
    job = ask(drawing, ana).get_json()
    run_job(drawing.runtime, job["id"])
    image_id = drawing.get(job["url"], headers=ana).get_json()["result"]["image_id"]

    for headers in (ben, {}):
        for path in (
            f"/images/{image_id}",
            f"/images/{image_id}/file",
            f"/images/{image_id}/related",
        ):
            theirs = drawing.get(f"/api/v1{path}", headers=headers)
            assert_problem(theirs, 404, "not_found")
    theirs = assert_problem(drawing.get(job["url"], headers=ben), 404, "not_found")
    absent = assert_problem(drawing.get("/api/v1/jobs/999", headers=ben), 404, "not_found")
    assert theirs["detail"].replace(str(job["id"]), "999") == absent["detail"]
    assert drawing.get("/api/v1/jobs", headers=ben).get_json()["results"] == []
    retried = drawing.client.post(f"{job['url']}/retry", headers=ben)
    assert_problem(retried, 404, "not_found")


def test_an_administrator_sees_the_job_and_not_which_private_image_it_made(
    drawing: Gallery,
) -> None:
    ana = headers_of(drawing, "ana")
    with drawing.runtime.transaction() as session:
        root = users.create_user(session, "root", is_administrator=True)
        admin = {"Authorization": f"Bearer {issue_key(session, root).key}"}
    job = ask(drawing, ana).get_json()
    run_job(drawing.runtime, job["id"])

    seen = drawing.get(job["url"], headers=admin).get_json()

    assert (seen["state"], seen["result"], seen["subject_id"]) == ("done", None, None)
    assert drawing.get(job["url"], headers=ana).get_json()["result"] is not None


def test_a_public_picture_is_everybodys_and_its_making_its_owners(drawing: Gallery) -> None:
    ana, ben = headers_of(drawing, "ana"), headers_of(drawing, "ben")
    job = ask(drawing, ana, is_public=True, caption="Luna").get_json()
    run_job(drawing.runtime, job["id"])
    image_id = drawing.get(job["url"], headers=ana).get_json()["result"]["image_id"]

    for headers in (ben, {}):
        image = drawing.get(f"/api/v1/images/{image_id}", headers=headers).get_json()
        assert (image["prompt"], image["caption"], image["generation"]) == (PROMPT, "Luna", None)
    assert_problem(drawing.get(job["url"], headers=ben), 404, "not_found")


@pytest.mark.parametrize("allowed", [True, False])
def test_a_missing_caption_is_written_under_the_rule_of_uploads(
    drawing: Gallery, allowed: bool
) -> None:
    ana = headers_of(drawing, "ana")
    job = ask(drawing, ana, **({} if allowed else {"auto_caption": False})).get_json()
    run_job(drawing.runtime, job["id"])
    image_id = drawing.get(job["url"], headers=ana).get_json()["result"]["image_id"]
    with drawing.runtime.reading() as session:
        assert session.get_one(Image, image_id).auto_caption is allowed


def test_one_idempotency_key_makes_and_pays_one_picture(
    drawing: Gallery, server: OpenAiServer
) -> None:
    ana, ben = headers_of(drawing, "ana"), headers_of(drawing, "ben")
    key = {"Idempotency-Key": "k-1"}
    first = ask(drawing, ana | key)
    run_job(drawing.runtime, first.get_json()["id"])
    again = ask(drawing, ana | key)

    assert again.status_code == 202
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.get_json()["id"] == first.get_json()["id"]
    assert again.get_json()["state"] == "done"
    # Another of one's own keys is the same person; other words are another request.
    assert ask(drawing, headers_of(drawing, "ana") | key).get_json()["id"] == again.get_json()["id"]
    assert_problem(ask(drawing, ana | key, size="auto"), 422, "invalid_input")
    assert_problem(ask(drawing, ana | {"Idempotency-Key": "k 1"}), 422, "invalid_input")
    assert ask(drawing, ben | key).get_json()["id"] != first.get_json()["id"]
    assert server.paid[DRAWINGS] == 1


def test_asking_twice_without_a_key_is_two_pictures(drawing: Gallery) -> None:
    ana = headers_of(drawing, "ana")
    assert ask(drawing, ana).get_json()["id"] != ask(drawing, ana).get_json()["id"]


def test_nobody_and_a_reading_key_may_not_ask(drawing: Gallery) -> None:
    assert_problem(ask(drawing, {}), 401, "not_authenticated")
    reader = headers_of(drawing, "ana", "read")
    assert_problem(ask(drawing, reader), 403, "scope_missing")
    assert job_count(drawing) == 0


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"openai_api_key": None}, "OPENAI_API_KEY is not set"),
        ({"generation_enabled": False}, "GENERATION_ENABLED=false"),
    ],
)
def test_where_nothing_is_drawn_no_job_is_queued(
    make_drawing: Callable[..., Gallery], settings: dict[str, Any], reason: str
) -> None:
    gallery = make_drawing(**settings)
    body = assert_problem(ask(gallery, headers_of(gallery, "ana")), 409, "conflict")
    assert reason in body["detail"]
    assert job_count(gallery) == 0


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": ""},
        {"prompt": " \n"},
        {"prompt": None},
        {"prompt": 7},
        {"prompt": "a" * 10_001},
        {"prompt": "a\x00cat"},
        {"prompt": "a \ud800 cat"},
        {"size": "large"},
        {"size": "0x0"},
        {"size": "1024x1024 "},
        {"size": "１０２４x１０２４"},
        {"size": "9999x9999"},
        {"caption": "a" * 10_001},
        {"is_public": "perhaps"},
        {"n": 10},
        {"model": "dall-e-3"},
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_queued(
    drawing: Gallery, body: dict[str, Any]
) -> None:
    response = ask(drawing, headers_of(drawing, "ana"), **body)
    problem = assert_problem(response, 422, response.get_json()["code"])
    assert problem["errors"]
    assert job_count(drawing) == 0


def test_a_body_that_is_no_json_is_refused(drawing: Gallery) -> None:
    ana = headers_of(drawing, "ana")
    form = drawing.client.post(GENERATE, data={"prompt": PROMPT}, headers=ana)
    assert form.status_code == 415
    broken = drawing.client.post(GENERATE, data="{", content_type="application/json", headers=ana)
    assert broken.status_code == 400
    assert drawing.client.post(
        f"{GENERATE}/", json={"prompt": PROMPT}, headers=ana
    ).status_code == (202)


def test_a_declined_prompt_is_told_to_who_asked(drawing: Gallery, server: OpenAiServer) -> None:
    ana = headers_of(drawing, "ana")
    server.next.append(failure(400, "moderation_blocked"))
    job = ask(drawing, ana).get_json()
    run_job(drawing.runtime, job["id"])

    told = drawing.get(job["url"], headers=ana).get_json()

    assert (told["state"], told["result"]) == ("failed", None)
    assert "declined" in told["last_error"]
    assert "SECRET" not in told["last_error"]


def test_usage_tells_what_was_paid_and_for_what(drawing: Gallery) -> None:
    ana, ben = headers_of(drawing, "ana"), headers_of(drawing, "ben")
    job = ask(drawing, ana).get_json()
    run_job(drawing.runtime, job["id"])

    usage = drawing.get("/api/v1/usage", headers=ana).get_json()

    (call,) = usage["calls"]
    assert (call["purpose"], call["model"], call["state"]) == ("generation", "gpt-image-2", "paid")
    assert (call["job_id"], call["cost_usd"]) == (job["id"], 0.03174)
    assert [total["purpose"] for total in usage["totals"]] == ["generation"]
    assert PROMPT not in drawing.get("/api/v1/usage", headers=ana).text
    assert drawing.get("/api/v1/usage", headers=ben).get_json()["calls"] == []


def test_a_revoked_key_spends_nothing_that_still_waits(
    drawing: Gallery, server: OpenAiServer
) -> None:
    ana, fresh = headers_of(drawing, "ana"), headers_of(drawing, "ana")
    job = ask(drawing, ana).get_json()
    own = drawing.get("/api/v1/users/me/keys", headers=fresh).get_json()["results"]
    used = next(key for key in own if ana["Authorization"].split()[1].startswith(key["prefix"]))
    revoked = drawing.client.delete(f"/api/v1/users/me/keys/{used['id']}", headers=fresh)
    assert revoked.status_code == 204
    run_job(drawing.runtime, job["id"])

    told = drawing.get(job["url"], headers=fresh).get_json()
    assert told["state"] == "failed"
    assert "revoked" in told["last_error"]
    assert server.calls == []
    assert drawing.client.post(f"{job['url']}/retry", headers=fresh).status_code == 202
    run_job(drawing.runtime, job["id"])
    assert drawing.get(job["url"], headers=fresh).get_json()["state"] == "done"
