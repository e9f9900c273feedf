"""Jobs in words for people: titles, images, hints; numbers; cancelling and retrying."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.db.models import Image, Job, JobState, Lease
from mirada.db.session import now_ms
from mirada.embedding.job import queue_embedding
from mirada.jobs import attempts, leases
from mirada.jobs.hints import HINTS, OTHERWISE
from mirada.jobs.kinds import code_of
from mirada.kernel import errors
from mirada.kernel.errors import CorruptImage, LeaseLost, NoAnswer, NotFound
from testing.gallery import Gallery, assert_problem
from workers.kinds import KINDS
from workers.sweeper import Sweeper

KeyOf = Callable[..., dict[str, str]]


def jobs_of(gallery: Gallery, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gallery.get("/api/v1/jobs", headers).get_json()["results"]
    return found


def summary(gallery: Gallery, headers: dict[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = gallery.get("/api/v1/jobs/summary", headers).get_json()
    return found


def change(gallery: Gallery, job_id: int, **values: Any) -> None:
    with gallery.runtime.transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def begin(gallery: Gallery, job_id: int) -> str:
    """Claim a job as a worker does, and return its lease token."""
    with gallery.runtime.transaction() as session:
        job = attempts.claim(session, job_id)
    assert job is not None
    return job.lease_token or ""


def fail(gallery: Gallery, job_id: int, error: Exception) -> None:
    token = begin(gallery, job_id)
    with gallery.runtime.transaction() as session:
        kind = KINDS[session.get_one(Job, job_id).kind]
        attempts.fail(session, job_id, token, error, kind)


def status_of(gallery: Gallery, image_id: int) -> tuple[str, str | None]:
    with gallery.runtime.reading() as session:
        row = session.get_one(Image, image_id)
        return str(row.status), row.failure


def test_every_kind_says_what_it_does() -> None:
    assert [kind.name for kind in KINDS.values() if not kind.title.strip()] == []
    assert len({kind.title for kind in KINDS.values()}) == len(KINDS)


def test_a_job_is_told_with_its_title_and_its_owner_s_image(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, root = key_of("ana"), key_of("root", is_administrator=True)
    image = guarded.upload(headers=ana, is_public=False)
    (job,) = jobs_of(guarded, ana)
    assert job["title"] == "Make a picture searchable"
    assert job["image"] == {
        "id": image["id"],
        "filename": image["filename"],
        "thumbnail_url": image["thumbnail_url"],
    }
    assert job["error"] is None
    # An administrator sees everybody's jobs, and nobody's private images.
    assert guarded.get(job["url"], root).get_json()["image"] is None


def test_the_same_bytes_of_somebody_else_are_not_shown(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    of_ana = guarded.upload(headers=ana, seed=7)
    of_ben = guarded.upload(headers=ben, seed=7)
    assert jobs_of(guarded, ana)[0]["image"]["id"] == of_ana["id"]
    assert [job["image"]["id"] for job in jobs_of(guarded, ben)] == [of_ben["id"]]
    guarded.client.delete(of_ana["url"], headers=ana)
    assert [job["image"] for job in jobs_of(guarded, ana)] == [None]


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (NotFound("It is gone."), "not_found", "There is nothing to do"),
        (errors.InvalidInput("Wrong."), "invalid_input", "ask for it anew"),
    ],
)
def test_a_failed_job_says_what_its_owner_can_do(
    gallery: Gallery, error: Exception, code: str, hint: str
) -> None:
    gallery.upload()
    job_id = jobs_of(gallery)[0]["id"]
    fail(gallery, job_id, error)
    (job,) = jobs_of(gallery)
    assert (job["state"], job["error"]["code"]) == ("failed", code)
    assert job["error"]["detail"] == job["last_error"] == str(error)
    assert hint in job["error"]["hint"]


def test_a_damaged_picture_is_to_be_uploaded_again(gallery: Gallery) -> None:
    gallery.upload()
    job_id = jobs_of(gallery)[0]["id"]
    change(gallery, job_id, attempts=9)
    fail(gallery, job_id, CorruptImage("It ends in the middle."))
    (job,) = jobs_of(gallery)
    assert job["state"] == "failed"
    assert job["error"]["hint"] == "The picture is damaged: upload it again."


def test_a_job_that_waits_says_when_it_is_tried_again(gallery: Gallery) -> None:
    gallery.upload()
    job_id = jobs_of(gallery)[0]["id"]
    fail(gallery, job_id, NoAnswer("It was silent."))
    # The fifth minute after two o'clock of the day after the first.
    change(gallery, job_id, next_run_at_ms=4_102_495_500_000)
    (job,) = jobs_of(gallery)
    assert job["state"] == "queued"
    assert job["error"] == {
        "code": "no_answer",
        "detail": "It was silent.",
        "hint": "The model server did not answer: it is tried again at 14:05 UTC on 2100-01-01.",
    }
    change(gallery, job_id, next_run_at_ms=now_ms())
    assert "as soon as a worker is free" in jobs_of(gallery)[0]["error"]["hint"]


def test_an_error_of_before_codes_were_kept_has_a_hint_too(gallery: Gallery) -> None:
    gallery.upload()
    job_id = jobs_of(gallery)[0]["id"]
    change(gallery, job_id, state=JobState.FAILED, last_error="Something.")
    error = jobs_of(gallery)[0]["error"]
    assert (error["code"], error["hint"]) == ("unknown", OTHERWISE[1])


def test_every_code_that_has_words_is_one_that_is_given() -> None:
    classes = [errors.MiradaError]
    for each in classes:
        classes += each.__subclasses__()
    given = {each.code for each in classes} | {attempts.WORKER_DIED, "cancelled"}
    assert set(HINTS) - given == set()
    assert code_of(RuntimeError("odd")) == "unexpected"


def test_what_waits_is_cancelled_and_its_image_says_so(gallery: Gallery) -> None:
    image = gallery.upload()
    (job,) = jobs_of(gallery)
    response = gallery.client.post(f"{job['url']}/cancel")
    body = response.get_json()
    assert (response.status_code, body["state"], body["error"]["code"]) == (
        200,
        "cancelled",
        "cancelled",
    )
    assert status_of(gallery, image["id"]) == ("FAILED", body["error"]["detail"])
    with gallery.runtime.transaction() as session:
        assert attempts.claim(session, job["id"]) is None
    again = gallery.client.post(f"{job['url']}/cancel")
    assert "only queued and running" in assert_problem(again, 409, "conflict")["detail"]


def test_what_was_cancelled_is_retried_by_hand_alone(gallery: Gallery) -> None:
    image = gallery.upload()
    (job,) = jobs_of(gallery)
    gallery.client.post(f"{job['url']}/cancel")
    assert gallery.client.post("/api/v1/jobs/retry", json={}).get_json() == {"count": 0, "left": 0}
    assert summary(gallery)["failed"] == 0
    assert gallery.client.post(f"{job['url']}/retry").get_json()["state"] == "queued"
    assert status_of(gallery, image["id"]) == ("PENDING", None)


def test_cancelling_leaves_the_same_picture_of_others_alone(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    of_ana = guarded.upload(headers=ana, seed=7)
    of_ben = guarded.upload(headers=ben, seed=7)
    (job,) = jobs_of(guarded, ana)
    assert guarded.client.post(f"{job['url']}/cancel", headers=ana).status_code == 200
    assert status_of(guarded, of_ana["id"])[0] == "FAILED"
    assert status_of(guarded, of_ben["id"])[0] == "PENDING"


def test_a_running_job_that_is_cancelled_writes_nothing_more(gallery: Gallery) -> None:
    gallery.upload()
    job_id = gallery.client.post("/api/v1/indexes/image/rebuild").get_json()["id"]
    token = begin(gallery, job_id)
    response = gallery.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert response.get_json()["state"] == "cancelled"
    with pytest.raises(LeaseLost), gallery.runtime.transaction() as session:
        attempts.report_progress(session, job_id, token, 1, 2)
    with pytest.raises(LeaseLost), gallery.runtime.transaction() as session:
        attempts.finish(session, job_id, token)


def test_what_ends_within_seconds_is_not_cancelled_once_begun(gallery: Gallery) -> None:
    gallery.upload()
    (job,) = jobs_of(gallery)
    begin(gallery, job["id"])
    response = gallery.client.post(f"{job['url']}/cancel")
    assert "takes seconds" in assert_problem(response, 409, "conflict")["detail"]


def test_parts_of_something_larger_say_what_to_cancel(gallery: Gallery) -> None:
    with gallery.runtime.transaction() as session:
        job_id = queue_embedding(session, 1, None).id
    change(gallery, job_id, kind="flip_model")
    response = gallery.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert "models/switch/cancel" in assert_problem(response, 409, "conflict")["detail"]


def test_nobody_cancels_or_retries_what_is_somebody_else_s(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    guarded.upload(headers=ana)
    (job,) = jobs_of(guarded, ana)
    response = guarded.client.post(f"{job['url']}/cancel", headers=ben)
    assert_problem(response, 404, "not_found")
    change(guarded, job["id"], state=JobState.FAILED, last_error="No.")
    retried = guarded.client.post("/api/v1/jobs/retry", json={"state": "failed"}, headers=ben)
    assert retried.get_json() == {"count": 0, "left": 0}
    assert jobs_of(guarded, ana)[0]["state"] == "failed"


def test_all_failed_jobs_of_a_kind_are_queued_afresh(
    guarded: Gallery, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = key_of("ana")
    for n in range(3):
        guarded.upload(headers=ana, degrees=10 * n)
    ids = [job["id"] for job in jobs_of(guarded, ana)]
    for job_id in ids:
        change(guarded, job_id, state=JobState.FAILED, last_error="No.", error_code="no_answer")
    change(guarded, ids[0], state=JobState.QUARANTINED)

    def retry(**wanted: Any) -> Any:
        return guarded.client.post("/api/v1/jobs/retry", json=wanted, headers=ana).get_json()

    assert retry(kind="rebuild_index") == {"count": 0, "left": 0}
    monkeypatch.setattr("mirada.jobs.cancelling.MOST_AT_ONCE", 1)
    assert retry(state="failed", kind="create_embeddings_task") == {"count": 1, "left": 1}
    assert retry(state="failed") == {"count": 1, "left": 0}
    assert sorted(job["state"] for job in jobs_of(guarded, ana)) == [
        "quarantined",
        "queued",
        "queued",
    ]
    assert retry(state="quarantined") == {"count": 1, "left": 0}
    assert [job["error"] for job in jobs_of(guarded, ana)] == [None] * 3


def test_the_work_in_numbers_is_one_s_own_and_an_administrator_s_is_everybody_s(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, ben, root = key_of("ana"), key_of("ben"), key_of("root", is_administrator=True)
    for n in range(4):
        guarded.upload(headers=ana, degrees=10 * n)
    guarded.upload(headers=ben, degrees=60)
    ids = [job["id"] for job in jobs_of(guarded, ana)]
    change(guarded, ids[0], state=JobState.FAILED, last_error="No.")
    change(guarded, ids[1], state=JobState.DONE, finished_at_ms=now_ms() - 1_000)
    change(guarded, ids[2], state=JobState.DONE, finished_at_ms=now_ms() - 90_000_000)
    change(guarded, ids[3], next_run_at_ms=now_ms() - 60_000)

    of_ana = summary(guarded, ana)
    assert {name: of_ana[name] for name in ("queued", "running", "failed", "done_24h")} == {
        "queued": 1,
        "running": 0,
        "failed": 1,
        "done_24h": 1,
    }
    assert 59 < of_ana["oldest_queued_s"] < 90
    (kind,) = of_ana["kinds"]
    assert (kind["kind"], kind["title"]) == (
        "create_embeddings_task",
        "Make a picture searchable",
    )
    assert kind["rate_per_s"] == pytest.approx(1 / 60)
    assert kind["eta_s"] == pytest.approx(60)
    assert (summary(guarded, ben)["queued"], summary(guarded, ben)["failed"]) == (1, 0)
    assert (summary(guarded, root)["queued"], summary(guarded, root)["failed"]) == (2, 1)


def test_whether_a_worker_is_there_is_told_to_everybody(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    assert summary(guarded, ana)["worker"] == {"alive": False, "seen_at": None}
    sweeper = Sweeper(guarded.runtime)
    sweeper.sweep()
    worker = summary(guarded, ana)["worker"]
    assert worker["alive"] is True
    assert worker["seen_at"] is not None
    sweeper.stop()
    gone = summary(guarded, ana)["worker"]
    assert (gone["alive"], gone["seen_at"]) == (False, worker["seen_at"])


def test_a_worker_that_was_killed_is_missed_when_its_lease_is_over(gallery: Gallery) -> None:
    Sweeper(gallery.runtime).sweep()
    with gallery.runtime.transaction() as session:
        session.execute(
            update(Lease).where(Lease.name == leases.SWEEPER).values(lease_until_ms=now_ms() - 1)
        )
    worker = summary(gallery)["worker"]
    assert (worker["alive"], worker["seen_at"] is None) == (False, False)


def test_every_change_of_a_job_is_dated(gallery: Gallery) -> None:
    gallery.upload()
    job_id = jobs_of(gallery)[0]["id"]

    def dated() -> int:
        with gallery.runtime.reading() as session:
            at_ms = session.execute(select(Job.changed_at_ms).where(Job.id == job_id)).scalar_one()
        change(gallery, job_id, changed_at_ms=1)
        return int(at_ms)

    assert dated() > 1
    token = begin(gallery, job_id)
    assert dated() > 1
    with gallery.runtime.transaction() as session:
        attempts.report_progress(session, job_id, token, 1, 2)
    assert dated() > 1
    with gallery.runtime.transaction() as session:
        attempts.finish(session, job_id, token)
    assert dated() > 1
    with gallery.runtime.transaction() as session:
        queue_embedding(session, 1, None)
    assert dated() > 1
