"""Running a job: its vector is stored once, its error is recorded, its end is the owner's alone."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

from sqlalchemy import select, update

from mirada.db.models import Content, Job, JobState
from mirada.embedding.backfill import BACKFILL_EMBEDDINGS, count_to_embed, queue_page
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs import attempts, ledger, sweep
from mirada.jobs.kinds import Attempt, Kind, TimeLimit
from mirada.kernel.audience import Audience
from mirada.kernel.errors import EncoderUnavailable
from mirada.pictures import images
from testing.patience import PATIENCE_S, wait_until
from testing.worksite import Site
from workers import lease_holder
from workers.kinds import KINDS
from workers.runner import JobRunner, run_job


def test_a_picture_becomes_ready(site: Site) -> None:
    taken = site.upload(1)
    assert site.statuses() == {"PENDING": 1}

    assert run_job(site.runtime, taken.job_id or 0)

    assert site.statuses() == {"READY": 1}
    assert site.vectors() == 1
    assert site.job(taken.job_id).state == JobState.DONE


def test_running_a_job_twice_changes_nothing(site: Site) -> None:
    taken = site.upload(1)
    assert run_job(site.runtime, taken.job_id or 0)

    assert not run_job(site.runtime, taken.job_id or 0)

    assert (site.encoder.encoded, site.vectors()) == (1, 1)


def test_the_same_bytes_are_embedded_once(site: Site) -> None:
    first, second = site.upload(1), site.upload(1)
    assert first.job_id == second.job_id
    run_job(site.runtime, first.job_id or 0)
    third = site.upload(1)

    assert third.job_id is None
    assert site.statuses() == {"READY": 3}
    assert site.encoder.encoded == 1


def test_an_encoder_that_fails_is_tried_three_times(site: Site) -> None:
    def fail() -> None:
        raise EncoderUnavailable("The device is on fire.")

    site.encoder.before = fail
    taken = site.upload(1)
    for _ in range(3):
        assert run_job(site.runtime, taken.job_id or 0)
        with site.runtime.transaction() as session:
            session.execute(update(Job).values(next_run_at_ms=1))

    assert not run_job(site.runtime, taken.job_id or 0)
    job = site.job(taken.job_id)
    assert (job.state, job.attempts) == (JobState.FAILED, 3)
    assert job.last_error == "The device is on fire."
    assert site.statuses() == {"FAILED": 1}


def attempt_again(site: Site, job_id: int | None) -> bool:
    with site.runtime.transaction() as session:
        session.execute(update(Job).values(next_run_at_ms=1))
    return run_job(site.runtime, job_id or 0)


def test_a_store_that_is_away_for_a_while_fails_nothing(site: Site) -> None:
    taken = site.upload(1)
    folder = site.runtime.settings.image_dir
    away = folder.with_name("unmounted")
    folder.rename(away)

    assert attempt_again(site, taken.job_id)
    assert site.job(taken.job_id).state == JobState.QUEUED
    away.rename(folder)

    assert attempt_again(site, taken.job_id)
    assert site.statuses() == {"READY": 1}


def test_a_picture_whose_file_is_gone_for_good_fails_after_three_attempts(site: Site) -> None:
    taken = site.upload(1)
    with site.runtime.reading() as session:
        key = images.get_image(session, taken.image_id, Audience(site.owner_id)).content.storage_key
    site.runtime.image_store.delete(key)

    for _ in range(3):
        assert attempt_again(site, taken.job_id)

    job = site.job(taken.job_id)
    assert job.state == JobState.FAILED
    assert "missing from the store" in str(job.last_error)
    assert site.statuses() == {"FAILED": 1}


def test_a_picture_that_stopped_decoding_is_suspected_only_after_three_attempts(site: Site) -> None:
    taken = site.upload(1)
    with site.runtime.reading() as session:
        key = images.get_image(session, taken.image_id, Audience(site.owner_id)).content.storage_key
    path = site.runtime.image_store.path(key)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    assert attempt_again(site, taken.job_id)
    assert site.job(taken.job_id).state == JobState.QUEUED
    path.write_bytes(whole)

    assert attempt_again(site, taken.job_id)
    assert site.statuses() == {"READY": 1}


def test_a_picture_deleted_meanwhile_leaves_no_vector(site: Site) -> None:
    taken = site.upload(1)

    def delete() -> None:
        with site.runtime.transaction() as session:
            images.delete_image(session, taken.image_id, site.owner_id, expected_version=None)

    site.encoder.before = delete
    run_job(site.runtime, taken.job_id or 0)

    assert site.job(taken.job_id).state == JobState.DONE
    assert site.vectors() == 0


def test_an_attempt_that_lost_its_lease_takes_its_vector_back(site: Site) -> None:
    taken = site.upload(1)

    def lose() -> None:
        with site.runtime.transaction() as session:
            session.execute(update(Job).values(lease_token="somebody else's"))

    site.encoder.before = lose
    run_job(site.runtime, taken.job_id or 0)

    assert site.vectors() == 0
    assert site.job(taken.job_id).state == JobState.RUNNING
    assert site.statuses() == {"PROCESSING": 1}


def test_a_lease_is_renewed_while_the_work_goes_on(site: Site) -> None:
    taken = site.upload(1)
    began, may_end = threading.Event(), threading.Event()
    site.encoder.before = lambda: assert_true(began.set() is None and may_end.wait(PATIENCE_S))
    runner = JobRunner(site.runtime, lease_s=30, renew_every_s=0.2)
    thread = threading.Thread(target=runner.run, args=(taken.job_id,))
    thread.start()
    assert began.wait(PATIENCE_S)

    # Each time it ends later: a short lease would end on a busy machine before it is renewed.
    def ends_at_ms() -> int:
        return site.job(taken.job_id).lease_until_ms or 0

    for _ in range(3):
        last_ms = ends_at_ms()
        wait_until(lambda last_ms=last_ms: ends_at_ms() > last_ms, what="another renewal")  # type: ignore[misc]

    with site.runtime.transaction() as session:
        assert attempts.claim(session, taken.job_id or 0) is None

    may_end.set()
    thread.join()
    runner.stop(0)
    assert site.statuses() == {"READY": 1}


def limit_time(monkeypatch: Any, limit: TimeLimit) -> None:
    kind = replace(KINDS[CREATE_EMBEDDINGS], time_limit=limit)
    monkeypatch.setitem(KINDS, CREATE_EMBEDDINGS, kind)


def test_past_its_soft_limit_a_time_out_is_recorded(site: Site, monkeypatch: Any) -> None:
    limit_time(monkeypatch, TimeLimit(0.1, 60))
    taken = site.upload(1)
    site.encoder.before = lambda: time.sleep(0.2)

    run_job(site.runtime, taken.job_id or 0)

    job = site.job(taken.job_id)
    assert job.state == JobState.QUEUED
    assert "longer than" in (job.last_error or "")


def test_past_its_hard_limit_an_attempt_is_given_up_for_lost(site: Site, monkeypatch: Any) -> None:
    limit_time(monkeypatch, TimeLimit(60, 0.1))
    taken = site.upload(1)
    began, came_back = threading.Event(), threading.Event()
    site.encoder.before = lambda: assert_true(began.set() is None and came_back.wait(PATIENCE_S))
    runner = JobRunner(site.runtime, lease_s=1, renew_every_s=0.05)
    thread = threading.Thread(target=runner.run, args=(taken.job_id,))
    thread.start()
    assert began.wait(PATIENCE_S)

    def claimed() -> Job | None:
        with site.runtime.transaction() as session:
            return attempts.claim(session, taken.job_id or 0)

    job = wait_until(claimed, timeout_s=30, what="the end of the lease")
    assert job.crashes == 1

    came_back.set()
    thread.join()
    runner.stop(0)
    assert site.vectors() == 0


def assert_true(value: bool) -> None:
    assert value


def test_a_runner_that_stops_gives_back_what_it_cannot_finish(site: Site) -> None:
    taken = site.upload(1)
    began, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        may_end.wait(PATIENCE_S)

    site.encoder.before = wait
    runner = JobRunner(site.runtime)
    thread = threading.Thread(target=runner.run, args=(taken.job_id,))
    thread.start()
    assert began.wait(PATIENCE_S)

    runner.stop(grace_s=0.1)

    job = site.job(taken.job_id)
    assert (job.state, job.attempts, job.crashes) == (JobState.QUEUED, 0, 0)
    assert not runner.run(taken.job_id or 0)
    may_end.set()
    thread.join()
    assert site.vectors() == 0


def test_work_of_an_unknown_kind_fails_with_a_reason(site: Site) -> None:
    with site.runtime.transaction() as session:
        job_id = ledger.enqueue(session, "make_coffee").id

    run_job(site.runtime, job_id)

    assert "make_coffee" in (site.job(job_id).last_error or "")
    assert site.job(job_id).state == JobState.FAILED


def test_nothing_is_embedded_when_embeddings_are_switched_off(
    make_site: Any, site_settings: dict[str, Any]
) -> None:
    on = make_site(**site_settings)
    taken = on.upload(1)
    off = on.runtime.settings.model_copy(update={"embeddings_enabled": False})
    on.runtime.settings = off

    assert run_job(on.runtime, taken.job_id or 0)

    assert on.job(taken.job_id).state == JobState.DONE
    assert on.statuses() == {"PENDING": 1}
    assert on.encoder.encoded == 0


def test_suspects_run_one_at_a_time(site: Site) -> None:
    ids = [site.upload(seed).job_id or 0 for seed in range(3)]
    with site.runtime.transaction() as session:
        session.execute(update(Job).values(crashes=1))
    beside_each_other = []
    inside: list[int] = []

    def enter() -> None:
        inside.append(1)
        beside_each_other.append(len(inside))
        time.sleep(0.05)
        inside.pop()

    site.encoder.before = enter
    runner = JobRunner(site.runtime)
    threads = [threading.Thread(target=runner.run, args=(job_id,)) for job_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runner.stop(0)

    assert beside_each_other == [1, 1, 1]
    assert site.statuses() == {"READY": 3}


def test_backfill_queues_what_has_no_vector(site: Site) -> None:
    ids = [site.upload(seed).job_id or 0 for seed in range(5)]
    run_job(site.runtime, ids[0])
    with site.runtime.transaction() as session:
        session.execute(update(Job).values(state=JobState.DONE))
    with site.runtime.transaction() as session:
        backfill = ledger.enqueue(session, BACKFILL_EMBEDDINGS, arguments={"batch_size": 2}).id

    assert run_job(site.runtime, backfill)

    done = site.job(backfill)
    assert (done.state, done.progress_done, done.progress_total) == (JobState.DONE, 4, 4)
    assert site.job(ids[0]).state == JobState.DONE
    assert {site.job(job_id).state for job_id in ids[1:]} == {JobState.QUEUED}
    for job_id in ids[1:]:
        run_job(site.runtime, job_id)
    assert site.statuses() == {"READY": 5}


def test_backfill_computes_everything_again_on_request(site: Site) -> None:
    first = site.upload(1).job_id or 0
    run_job(site.runtime, first)
    with site.runtime.transaction() as session:
        backfill = ledger.enqueue(
            session, BACKFILL_EMBEDDINGS, arguments={"skip_existing": False}
        ).id
    run_job(site.runtime, backfill)
    run_job(site.runtime, first)

    assert (site.encoder.encoded, site.vectors()) == (2, 1)


def test_backfill_gives_pictures_from_before_palettes_theirs(site: Site) -> None:
    for seed in range(2):
        run_job(site.runtime, site.upload(seed).job_id or 0)
    palettes = select(Content.palette).order_by(Content.id)
    with site.runtime.transaction() as session:
        before = session.scalars(palettes).all()
        session.execute(update(Content).values(palette=None))
        assert count_to_embed(session, site.space_id, only_unqueued=True) == 0
        backfill = ledger.enqueue(session, BACKFILL_EMBEDDINGS).id
    run_job(site.runtime, backfill)
    assert site.job(backfill).progress_done == 2
    for job in due_jobs_of(site):
        run_job(site.runtime, job)
    with site.runtime.reading() as session:
        assert session.scalars(palettes).all() == before
        assert None not in before
        assert count_to_embed(session, site.space_id) == 0
    # The vectors they had are the vectors they have.
    assert (site.encoder.encoded, site.vectors(), site.statuses()) == (2, 2, {"READY": 2})


def test_a_palette_that_cannot_be_read_leaves_a_picture_ready(site: Site) -> None:
    job_id = site.upload(1).job_id or 0
    run_job(site.runtime, job_id)
    with site.runtime.transaction() as session:
        content = session.execute(select(Content)).scalar_one()
        content.palette = None
        site.runtime.image_store.path(content.storage_key).unlink()
        queue_page(session, site.space_id)
    run_job(site.runtime, job_id)
    assert site.statuses() == {"READY": 1}
    assert site.job(job_id).state == JobState.QUEUED
    assert site.job(job_id).last_error


def due_jobs_of(site: Site) -> list[int]:
    with site.runtime.reading() as session:
        return [job.id for job in sweep.due_jobs(session)]


def test_long_work_stops_when_the_process_stops(site: Site) -> None:
    with site.runtime.transaction() as session:
        job_id = ledger.enqueue(session, "count").id

    def count(_: Any, attempt: Attempt) -> None:
        for done in range(10_000):
            attempt.report(done, 10_000)
            time.sleep(0.005)

    runner = JobRunner(site.runtime, kinds={"count": Kind("count", count)})
    thread = threading.Thread(target=runner.run, args=(job_id,))
    thread.start()
    time.sleep(0.2)
    runner.stop(grace_s=5)
    thread.join(PATIENCE_S)

    assert not thread.is_alive()
    assert site.job(job_id).state == JobState.QUEUED
    assert site.job(job_id).attempts == 0


def test_a_process_that_died_is_told_from_one_that_lives() -> None:
    import subprocess
    import sys

    code = "from workers import lease_holder; print(lease_holder.this_process())"
    token = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()

    assert len(token) == 16
    assert lease_holder.is_dead(token + "0" * 16)
    assert not lease_holder.is_dead(lease_holder.this_process() + "0" * 16)
    assert not lease_holder.is_dead("ffffffff" + token[8:] + "0" * 16)
    assert not lease_holder.is_dead("")
