"""/api/v1/models/switch: a change of the image model as an administrator asks for it."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.model_switch import flipping
from mirada.model_switch.following import ModelFollower
from mirada.people import keys, users
from mirada.people.access import checked_scopes
from mirada.runtime import Runtime
from testing.application import create_app
from testing.console import run_command
from testing.gallery import as_upload, assert_problem
from testing.patience import wait_until
from testing.pictures import picture
from testing.two_models import with_two_models
from workers.in_process import InProcessWorker
from workers.runner import run_job

SWITCH = "/api/v1/models/switch"
STEPS = ("flip", "rollback", "discard", "cancel")


@pytest.fixture
def one(make_runtime: Any, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A client of a process that works by hand, with one picture."""
    monkeypatch.setattr(flipping, "HEARD_AFTER_S", 0.0)
    runtime = make_runtime(auth_mode="open")
    with_two_models(runtime)
    client = create_app(runtime).test_client()
    assert client.post("/api/v1/images", data={"file": as_upload(picture(1))}).status_code == 201
    (job,) = client.get("/api/v1/jobs").get_json()["results"]
    assert run_job(runtime, job["id"])
    return client


def runtime_of(client: FlaskClient) -> Runtime:
    runtime: Runtime = client.application.extensions["mirada_runtime"]
    return runtime


def work(client: FlaskClient) -> dict[str, Any]:
    """Do the job of the present step, and return the change."""
    assert run_job(runtime_of(client), client.get(SWITCH).get_json()["job"]["id"])
    return dict(client.get(SWITCH).get_json())


def post(client: FlaskClient, step: str = "", **body: Any) -> Any:
    address = f"{SWITCH}/{step}" if step else SWITCH
    return client.post(address, json=body) if body else client.post(address)


def test_a_change_from_its_beginning_to_its_end(one: FlaskClient) -> None:
    assert_problem(one.get(SWITCH), 404, "not_found")
    reply = post(one, model="second")
    assert (reply.status_code, reply.headers["Location"]) == (202, SWITCH)
    assert reply.get_json()["state"] == "building"
    ready = work(one)
    assert ready["state"] == "ready"
    assert ready["comparison"]["now"]["model"] == "first/v1"
    assert ready["comparison"]["then"]["model"] == "second/v1"
    assert post(one, "flip").get_json()["state"] == "flipping"
    flipped = work(one)
    assert (flipped["state"], flipped["in_use"]) == ("flipped", flipped["to_space"])
    assert post(one, "rollback").get_json()["state"] == "returning"
    back = work(one)
    assert (back["state"], back["in_use"]) == ("ready", back["from_space"])
    post(one, "flip")
    work(one)
    post(one, "discard")
    ended = work(one)
    assert (ended["state"], ended["outcome"]) == ("ended", "switched")
    assert one.get(f"{SWITCH}/missing").get_json()["results"] == []
    told = one.get("/api/v1/audit").get_json()["results"]
    assert [each["action"] for each in reversed(told)] == [
        *("model.begin", "model.flip", "model.go_back", "model.flip", "model.discard")
    ]
    assert told[-1]["detail"] == {"model": "second"}


def test_cursors_and_query_pictures_are_of_their_model_and_count_again_with_it(
    one: FlaskClient,
) -> None:
    for seed in (2, 3):
        one.post("/api/v1/images", data={"file": as_upload(picture(seed))})
    runtime = runtime_of(one)
    for job in one.get("/api/v1/jobs").get_json()["results"]:
        run_job(runtime, job["id"])
    kept = one.post("/api/v1/query-pictures", data={"file": as_upload(picture(9))}).get_json()
    follower = ModelFollower(runtime, works=True)

    def turn(step: str, state: str) -> None:
        wait_until(lambda: one.get(SWITCH).get_json()["is_prepared"], what="both models are loaded")
        assert post(one, step).get_json()["state"] == state

    follower.look()
    page = one.get("/api/v1/search?text=cat&limit=1").get_json()
    asked_with = {"picture": kept["id"], "limit": 1}
    assert one.post("/api/v1/search", json=asked_with).status_code == 200
    post(one, model="second")
    work(one)
    follower.start()
    turn("flip", "flipped")
    told = assert_problem(one.get(page["next"]), 410, "search_expired")
    assert told["detail"]
    refused = assert_problem(one.post("/api/v1/search", json=asked_with), 409, "conflict")
    assert "read by another model" in refused["detail"]
    later = one.get("/api/v1/search?text=cat&limit=1").get_json()
    assert one.get(later["next"]).status_code == 200
    turn("rollback", "ready")
    assert_problem(one.get(later["next"]), 410, "search_expired")
    assert one.get(page["next"]).status_code == 200
    assert one.post("/api/v1/search", json=asked_with).status_code == 200
    follower.stop()


def test_what_cannot_be_done_is_said(one: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "in use already" in assert_problem(post(one, model="first"), 409, "conflict")["detail"]
    assert_problem(post(one, model="third"), 422, "invalid_input")
    assert_problem(post(one, model=""), 422, "invalid_input")
    for step in STEPS:
        assert_problem(post(one, step), 409, "conflict")
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
        assert "Make room" in post(one, model="second").get_json()["detail"]
    assert_problem(one.get(SWITCH), 404, "not_found")
    post(one, model="second")
    work(one)
    told = assert_problem(post(one, model="second"), 409, "conflict")["detail"]
    assert "second is on: it is ready" in told


def test_only_administrators_change_the_model(make_runtime: Any) -> None:
    runtime = make_runtime(auth_mode="keys")
    with_two_models(runtime)
    client = create_app(runtime).test_client()

    def headers(name: str, scopes: tuple[str, ...], *, is_administrator: bool) -> dict[str, str]:
        with runtime.transaction() as session:
            user = users.create_user(session, name, is_administrator=is_administrator)
            new = keys.issue(session, user, scopes=checked_scopes(scopes))
        return {"Authorization": f"Bearer {new.key}"}

    calls = [("get", SWITCH), ("post", SWITCH), ("get", f"{SWITCH}/missing")]
    calls += [("post", f"{SWITCH}/{step}") for step in STEPS]
    person = headers("ana", ("read", "write"), is_administrator=False)
    limited = headers("bea", ("read", "write"), is_administrator=True)
    for method, path in calls:
        body = {"json": {"model": "second"}} if path == SWITCH and method == "post" else {}
        for who in (person, limited):
            assert getattr(client, method)(path, headers=who, **body).status_code == 403
        assert getattr(client, method)(path, **body).status_code == 401


def test_commands_change_the_model_as_requests_do(one: FlaskClient) -> None:
    runtime = runtime_of(one)
    worker = InProcessWorker(runtime, threads=1)
    worker.start()
    try:
        refused = run_command(runtime, "models", "switch", "first")
        assert refused.exit_code == 1
        assert "in use already" in refused.output
        done = run_command(runtime, "models", "switch", "second", "--yes")
        assert done.exit_code == 0, done.output
        assert "state: flipped" in done.output
        assert "the ten nearest that both models have: texts" in done.output
        back = run_command(runtime, "models", "rollback")
        assert "state: ready" in back.output
        shown = run_command(runtime, "models", "status", "--missing")
        assert "in use: image:first" in shown.output
        ended = run_command(runtime, "models", "cancel")
        assert "outcome: cancelled" in ended.output
    finally:
        worker.stop(grace_s=5)
