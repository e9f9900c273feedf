"""Pictures embedded in batches: few calls of the encoder and few transactions, and each fares alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select, update

from mirada.db.models import Content, Job, JobState
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs.batches import BATCH
from mirada.jobs.pace import MANY
from mirada.kernel.audience import Audience
from mirada.kernel.errors import EncoderUnavailable
from mirada.pictures import images
from testing.worksite import Site
from workers.claiming import Claiming
from workers.lanes import SLOW_AFTER_S, Lanes
from workers.runner import JobRunner


@pytest.fixture
def runner(site: Site) -> Iterator[JobRunner]:
    runner = JobRunner(site.runtime)
    yield runner
    runner.stop(0)


@pytest.fixture
def calls(site: Site) -> list[int]:
    """How many pictures each call of the encoder was given."""
    found: list[int] = []
    encode = site.encoder.encode_images

    def counting(pictures: Any) -> Any:
        found.append(len(pictures))
        return encode(pictures)

    site.encoder.encode_images = counting  # type: ignore[method-assign]
    return found


def test_many_pictures_take_few_calls_and_few_transactions(
    site: Site, runner: JobRunner, calls: list[int]
) -> None:
    taken = [site.upload(seed) for seed in range(40)]
    commits: list[object] = []
    event.listen(site.runtime.database.engine, "commit", commits.append)

    assert runner.run_batches(CREATE_EMBEDDINGS)

    assert calls == [16, 16, 8]
    assert len(commits) <= 3 * 3 + 8
    assert site.statuses() == {"READY": 40}
    assert site.vectors() == 40
    assert {site.job(one.job_id).state for one in taken} == {JobState.DONE}
    with site.runtime.reading() as session:
        palettes = session.execute(select(Content.palette)).scalars().all()
        changed = session.execute(select(Content.id)).all()
    assert all(palettes)
    assert len(changed) == 40


def test_a_picture_that_cannot_be_read_fails_alone(site: Site, runner: JobRunner) -> None:
    taken = [site.upload(seed) for seed in range(6)]
    with site.runtime.reading() as session:
        image = images.get_image(session, taken[2].image_id, Audience(site.owner_id))
        path = site.runtime.image_store.path(image.content.storage_key)
    path.write_bytes(path.read_bytes()[:60])

    runner.run_batches(CREATE_EMBEDDINGS)

    states = [site.job(one.job_id).state for one in taken]
    assert states.count(JobState.DONE) == 5
    broken = site.job(taken[2].job_id)
    assert (broken.state, broken.attempts) == (JobState.QUEUED, 1)
    assert "cut off" in str(broken.last_error)
    assert site.statuses() == {"READY": 5, "PROCESSING": 1}


def test_an_encoder_that_fails_is_told_of_every_job(site: Site, runner: JobRunner) -> None:
    def fail() -> None:
        raise EncoderUnavailable("The device is on fire.")

    site.encoder.before = fail
    taken = [site.upload(seed) for seed in range(3)]

    runner.run_batches(CREATE_EMBEDDINGS)

    jobs = [site.job(one.job_id) for one in taken]
    assert {(job.state, job.attempts, job.crashes) for job in jobs} == {(JobState.QUEUED, 1, 0)}
    assert {job.last_error for job in jobs} == {"The device is on fire."}


def test_a_slow_batch_with_poison_in_it_comes_to_an_end(
    site: Site, runner: JobRunner, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = site.encoder.encode_images

    def refusing_many(pictures: Any) -> Any:
        vectors = encode(pictures)
        if len(pictures) > 1:
            raise EncoderUnavailable("One of these has no direction.")
        return vectors

    site.encoder.encode_images = refusing_many  # type: ignore[method-assign]
    # As if each batch had taken half a minute before it failed.
    monkeypatch.setattr("workers.runner.GIVE_BACK_AFTER_S", -1.0)
    for seed in range(4):
        site.upload(seed)

    assert runner.run_batches(CREATE_EMBEDDINGS)

    assert site.statuses() == {"READY": 4}
    assert calls == [4, 1, 3, 1, 2, 1, 1]


def test_a_lost_lease_takes_nothing_from_the_others(site: Site, runner: JobRunner) -> None:
    taken = [site.upload(seed) for seed in range(4)]
    lost = taken[1].job_id

    def lose() -> None:
        with site.runtime.transaction() as session:
            session.execute(update(Job).where(Job.id == lost).values(lease_token="other"))

    site.encoder.before = lose

    runner.run_batches(CREATE_EMBEDDINGS)

    assert site.job(lost).state == JobState.RUNNING
    assert site.vectors() == 3
    assert site.statuses() == {"READY": 3, "PROCESSING": 1}


def test_a_picture_deleted_meanwhile_leaves_no_vector(site: Site, runner: JobRunner) -> None:
    taken = [site.upload(seed) for seed in range(3)]
    gone = iter([taken[0].image_id])

    def delete() -> None:
        for image_id in gone:
            with site.runtime.transaction() as session:
                images.delete_image(session, image_id, site.owner_id, expected_version=None)

    site.encoder.before = delete

    runner.run_batches(CREATE_EMBEDDINGS)

    assert {site.job(one.job_id).state for one in taken} == {JobState.DONE}
    assert site.vectors() == 2


def test_what_was_embedded_meanwhile_is_not_embedded_again(
    site: Site, runner: JobRunner, calls: list[int]
) -> None:
    taken = [site.upload(seed) for seed in range(3)]
    assert runner.run(taken[1].job_id or 0)
    with site.runtime.transaction() as session:
        session.execute(update(Job).values(state=JobState.QUEUED))

    runner.run_batches(CREATE_EMBEDDINGS)

    assert calls == [1, 2]
    assert site.statuses() == {"READY": 3}
    assert {site.job(one.job_id).state for one in taken} == {JobState.DONE}


def test_a_ring_for_one_job_is_answered_by_a_batch_and_for_a_suspect_by_itself(
    site: Site, runner: JobRunner, calls: list[int]
) -> None:
    first, second, third = (site.upload(seed).job_id or 0 for seed in range(3))
    with site.runtime.transaction() as session:
        session.execute(update(Job).where(Job.id == third).values(is_suspect=True))

    assert runner.answer(first, CREATE_EMBEDDINGS)
    assert site.job(third).state == JobState.QUEUED
    assert runner.answer(third, CREATE_EMBEDDINGS)
    assert not runner.answer(second, CREATE_EMBEDDINGS)

    assert calls == [2, 1]
    assert site.statuses() == {"READY": 3}


def test_no_ring_is_lost_while_all_places_are_taken() -> None:
    lanes = Lanes(places=1)
    assert lanes.enter()
    assert not lanes.enter()

    assert not lanes.leave_if_nobody_rang()
    assert lanes.leave_if_nobody_rang()
    assert lanes.free() == 1


def test_a_few_jobs_are_left_to_whoever_works_already() -> None:
    lanes = Lanes(places=2)
    assert lanes.enter()
    assert not lanes.leave_to_others()  # nobody else would see them
    lanes.began(BATCH)
    assert lanes.enter()

    assert lanes.leave_to_others()
    assert lanes.free() == 1
    assert not lanes.leave_if_nobody_rang()  # the other looks again before it leaves
    assert lanes.leave_if_nobody_rang()


def test_a_second_thread_begins_beside_a_full_or_a_slow_batch(monkeypatch: Any) -> None:
    now = [100.0]
    monkeypatch.setattr("workers.lanes.time.monotonic", lambda: now[0])
    lanes = Lanes(places=2)
    assert lanes.enter()
    assert lanes.enter()  # nobody knows yet how many there are
    lanes.leave()
    lanes.began(BATCH - 1)
    assert not lanes.enter()
    now[0] += SLOW_AFTER_S + 0.1
    assert lanes.enter()
    assert not lanes.leave_to_others()
    lanes.leave()
    lanes.began(BATCH)
    assert lanes.enter()
    assert not lanes.leave_if_nobody_rang()


def test_what_comes_while_a_few_are_worked_is_one_batch(
    site: Site, runner: JobRunner, calls: list[int]
) -> None:
    site.upload(0)
    seen: list[bool] = []

    def meanwhile() -> None:
        if not seen:
            for seed in range(1, 4):
                site.upload(seed)
                seen.append(runner.run_batches(CREATE_EMBEDDINGS))

    site.encoder.before = meanwhile

    assert runner.run_batches(CREATE_EMBEDDINGS)

    assert seen == [False] * 3
    assert calls == [1, 3]
    assert site.statuses() == {"READY": 4}


def test_in_a_rush_a_batch_waits_while_more_come(site: Site, monkeypatch: Any) -> None:
    counts = [3, 5, 9, 9, 11]
    looks: list[int] = []

    def due(*_: Any) -> list[int]:
        looks.append(counts[len(looks)])
        return list(range(looks[-1]))

    monkeypatch.setattr("workers.claiming.batches.due", due)
    monkeypatch.setattr("workers.claiming.GATHER_S", 60.0)
    monkeypatch.setattr("workers.claiming.GATHER_STEP_S", 0.0)
    lanes = Lanes()
    claiming = Claiming(site.runtime, 60, threading.Event())
    assert len(claiming._gathered(CREATE_EMBEDDINGS, lanes)) == 3
    assert looks == [3]
    lanes.began(MANY)
    assert len(claiming._gathered(CREATE_EMBEDDINGS, lanes)) == 9
    assert looks == [3, 5, 9, 9]


def test_a_new_picture_and_its_job_take_few_statements(site: Site) -> None:
    site.upload(0)
    seen: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        seen.append(statement)

    event.listen(site.runtime.database.engine, "before_cursor_execute", note)
    site.upload(1)

    # No look for an earlier job: the content is of this very transaction.
    assert not [one for one in seen if "SAVEPOINT" in one or "FROM mirada_jobs" in one]
    assert len(seen) <= 14
