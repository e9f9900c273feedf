"""Jobs and indexes over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Job, JobState
from testing.gallery import SPACE, Gallery, assert_problem, on_arc

KeyOf = Callable[..., dict[str, str]]


def give_up(gallery: Gallery, job_id: int, reason: str) -> None:
    with gallery.runtime.transaction() as session:
        session.execute(
            update(Job)
            .where(Job.id == job_id)
            .values(state=JobState.FAILED, attempts=3, last_error=reason)
        )


def test_an_upload_s_job_is_listed_and_read(gallery: Gallery) -> None:
    gallery.upload()
    (job,) = gallery.get("/api/v1/jobs").get_json()["results"]
    assert job["kind"] == "create_embeddings_task"
    assert (job["state"], job["attempts"], job["done"]) == ("queued", 0, 0)
    assert job["next_attempt_in_s"] is not None
    assert gallery.get(job["url"]).get_json()["id"] == job["id"]


@pytest.mark.parametrize("job_id", [0, 99, 2**63 - 1, 10**30])
@pytest.mark.parametrize("tail", ["", "/events"])
def test_an_unknown_job_is_404(gallery: Gallery, job_id: int, tail: str) -> None:
    assert_problem(gallery.get(f"/api/v1/jobs/{job_id}{tail}"), 404, "not_found")


def test_the_failed_list_has_reasons_and_can_be_asked_for_again(gallery: Gallery) -> None:
    gallery.upload()
    gallery.upload()
    newest, job = gallery.get("/api/v1/jobs").get_json()["results"]
    give_up(gallery, job["id"], "The decoder crashed.")
    (failed,) = gallery.get("/api/v1/jobs?state=failed&state=quarantined").get_json()["results"]
    assert (failed["id"], failed["last_error"]) == (job["id"], "The decoder crashed.")
    response = gallery.client.post(f"{job['url']}/retry")
    assert response.status_code == 202
    assert response.headers["Location"] == job["url"]
    assert response.get_json()["state"] == "queued"
    again = gallery.client.post(f"{newest['url']}/retry")
    assert_problem(again, 409, "conflict")


def test_jobs_go_page_by_page(gallery: Gallery) -> None:
    for _ in range(3):
        gallery.upload()
    first = gallery.get("/api/v1/jobs?limit=2&kind=create_embeddings_task&state=queued").get_json()
    second = gallery.get(first["next"]).get_json()
    ids = [job["id"] for job in first["results"] + second["results"]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), second["next"]) == (3, None)


@pytest.mark.parametrize("query", ["state=odd", "kind=odd", "limit=0", "cursor=odd"])
def test_a_list_of_jobs_refuses_what_it_does_not_know(gallery: Gallery, query: str) -> None:
    assert_problem(gallery.get(f"/api/v1/jobs?{query}"), 422, "invalid_input")


def test_a_job_that_ended_is_one_event(gallery: Gallery) -> None:
    gallery.upload()
    (job,) = gallery.get("/api/v1/jobs").get_json()["results"]
    give_up(gallery, job["id"], "Too odd.")
    response = gallery.get(f"{job['url']}/events")
    assert response.mimetype == "text/event-stream"
    event, data, *_ = response.get_data(as_text=True).splitlines()
    assert event == "event: job"
    assert json.loads(data.removeprefix("data: "))["last_error"] == "Too odd."


def test_a_job_is_followed_until_it_ends(gallery: Gallery) -> None:
    gallery.upload()
    (job,) = gallery.get("/api/v1/jobs").get_json()["results"]
    with gallery.client.get(f"{job['url']}/events") as response:
        events = iter(response.response)
        first = json.loads(next(events).decode().partition("data: ")[2])
        give_up(gallery, job["id"], "Too odd.")
        last = json.loads(next(events).decode().partition("data: ")[2])
        assert next(events, None) is None
    assert (first["state"], last["state"], last["last_error"]) == ("queued", "failed", "Too odd.")
    assert last["url"] == first["url"] == job["url"]


def test_a_caller_follows_two_jobs_and_all_together_take_half_the_threads(
    guarded: Gallery, key_of: KeyOf
) -> None:
    people = [key_of(f"person-{n}", is_administrator=True) for n in range(3)]
    guarded.upload(headers=people[0])
    (job,) = guarded.get("/api/v1/jobs", headers=people[0]).get_json()["results"]

    def follow(headers: dict[str, str]) -> Any:
        return guarded.client.get(f"{job['url']}/events", headers=headers)

    assert guarded.runtime.settings.web_threads // 2 == 4
    first, _second = follow(people[0]), follow(people[0])
    assert "You follow 2" in assert_problem(follow(people[0]), 503, "unavailable")["detail"]
    others = [follow(people[1]), follow(people[1])]
    assert "Too many" in assert_problem(follow(people[2]), 503, "unavailable")["detail"]
    first.close()
    again = follow(people[2])
    assert again.status_code == 200
    assert follow(people[2]).status_code == 503
    for one in (_second, again, *others):
        one.close()


@pytest.mark.parametrize("name", ["image", "1", SPACE.name])
def test_an_index_is_found_by_role_id_and_name(gallery: Gallery, name: str) -> None:
    gallery.upload(degrees=0)
    index = gallery.get(f"/api/v1/indexes/{name}").get_json()
    assert (index["space"], index["dimension"], index["live_count"]) == (SPACE.name, 8, 1)
    listed = gallery.get("/api/v1/indexes").get_json()
    assert listed["count"] == 1
    assert listed["results"][0]["id"] == index["id"]


@pytest.mark.parametrize("name", ["99", "prompt", "9" * 30, "a b"])
def test_an_unknown_index_is_404(gallery: Gallery, name: str) -> None:
    assert_problem(gallery.get(f"/api/v1/indexes/{name}"), 404, "not_found")
    response = gallery.client.post(f"/api/v1/indexes/{name}/rebuild")
    assert_problem(response, 404, "not_found")


def test_a_rebuild_is_a_job_to_follow_and_searches_go_on(gallery: Gallery) -> None:
    from workers.runner import run_job

    image = gallery.upload(degrees=0)
    response = gallery.client.post("/api/v1/indexes/image/rebuild")
    job = response.get_json()
    assert (response.status_code, job["kind"]) == (202, "rebuild_index")
    assert response.headers["Location"] == job["url"]
    run_job(gallery.runtime, job["id"])
    done = gallery.get(job["url"]).get_json()
    assert (done["state"], done["last_error"]) == ("done", None)
    found = gallery.client.post("/api/v1/search", json={"vector": on_arc(0)}).get_json()
    assert [result["image"]["id"] for result in found["results"]] == [image["id"]]


def test_what_everybody_s_pictures_come_to_is_told_to_administrators(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, root = key_of("ana"), key_of("root", is_administrator=True)
    guarded.upload(headers=ana, degrees=0)

    seen = guarded.get("/api/v1/indexes/image", ana).get_json()
    counts = ("live_count", "dead_count", "delta_count", "snapshot", "snapshot_change_seq")
    assert [seen[name] for name in counts] == [None] * 5
    assert (seen["space"], seen["dimension"], seen["recall"]) == (SPACE.name, 8, {})
    assert guarded.get("/api/v1/indexes", ana).get_json()["results"] == [seen]
    assert guarded.get("/api/v1/indexes/image", root).get_json()["live_count"] == 1


def test_which_content_a_job_is_about_is_told_to_administrators(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, root = key_of("ana"), key_of("root", is_administrator=True)
    guarded.upload(headers=ana)
    (job,) = guarded.get("/api/v1/jobs", ana).get_json()["results"]
    assert job["subject_id"] is None
    assert guarded.get(job["url"], root).get_json()["subject_id"] is not None
