"""The ledger: queued once, claimed by one, ended by its owner only, given up at last."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.db.models import Content, Image, Job, JobState, Role, User
from mirada.db.session import Database, now_ms
from mirada.embedding.index_rebuild import REBUILD_INDEX
from mirada.embedding.job import queue_embedding
from mirada.jobs import attempts, ledger, sweep
from mirada.jobs.kinds import RetryPolicy, kind_of
from mirada.kernel.errors import Conflict, InvalidInput, LeaseLost, NotFound, Unavailable
from mirada.kernel.images import ImageStatus
from workers.kinds import KINDS


@pytest.fixture
def queued(database: Database) -> int:
    """The id of a queued rebuild."""
    with database.transaction() as session:
        return ledger.enqueue(session, REBUILD_INDEX, space_id=1).id


def claim(database: Database, job_id: int, **options: Any) -> Job | None:
    """Claim as the runner does."""
    with database.transaction() as session:
        job = attempts.claim(session, job_id, **options)
        if job is None and not options.get("only_unsuspected"):
            attempts.quarantine_if_crashing(session, job_id, KINDS)
        return job


def claimed(database: Database, job_id: int, **options: Any) -> Job:
    job = claim(database, job_id, **options)
    assert job is not None
    return job


def read(database: Database, job_id: int) -> Job:
    with database.reading() as session:
        return session.get_one(Job, job_id)


def change(database: Database, job_id: int, **values: Any) -> None:
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def crash(database: Database, job_id: int) -> None:
    """Claim, and let the lease run out without a word."""
    claimed(database, job_id)
    change(database, job_id, lease_until_ms=1)


def make_due(database: Database, job_id: int) -> None:
    change(database, job_id, next_run_at_ms=1)


def test_a_content_is_queued_once_though_a_space_was_pinned_meanwhile(database: Database) -> None:
    with database.transaction() as session:
        before = queue_embedding(session, 7, None)
    with database.transaction() as session:
        after = queue_embedding(session, 7, 1)

    assert after.id == before.id


def fail(database: Database, job: Job, error: Exception, **changes: Any) -> JobState:
    kind = replace(kind_of(KINDS, job.kind), **changes)
    with database.transaction() as session:
        return attempts.fail(session, job.id, job.lease_token or "", error, kind)


@pytest.fixture
def picture(database: Database) -> tuple[int, int]:
    """(content id, owner id) of a content with one PENDING image."""
    with database.transaction() as session:
        owner = User(username="ana")
        content = Content(
            sha256="0" * 64,
            storage_key="k",
            byte_size=1,
            format="PNG",
            width=1,
            height=1,
            is_animated=False,
        )
        session.add_all([owner, content])
        session.flush()
        session.add(Image(owner_id=owner.id, content_id=content.id, is_public=False))
        return content.id, owner.id


def image_of(database: Database, content_id: int) -> Image:
    with database.reading() as session:
        return session.execute(select(Image).where(Image.content_id == content_id)).scalar_one()


def test_the_same_work_is_queued_once(database: Database, queued: int) -> None:
    with database.transaction() as session:
        again = ledger.enqueue(session, REBUILD_INDEX, space_id=1)
        other = ledger.enqueue(session, REBUILD_INDEX, space_id=2)

    assert again.id == queued
    assert other.id != queued


def test_work_that_came_to_an_end_is_queued_afresh(database: Database, queued: int) -> None:
    job = claimed(database, queued)
    with database.transaction() as session:
        attempts.finish(session, queued, job.lease_token or "")

    with database.transaction() as session:
        again = ledger.enqueue(session, REBUILD_INDEX, space_id=1, request_id="second")

    assert (again.id, again.state, again.attempts) == (queued, JobState.QUEUED, 0)
    assert read(database, queued).request_id == "second"


def test_a_job_is_not_queued_when_its_transaction_fails(database: Database) -> None:
    def enqueue_and_stumble() -> None:
        with database.transaction() as session:
            ledger.enqueue(session, REBUILD_INDEX, space_id=1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        enqueue_and_stumble()

    with database.reading() as session:
        assert session.execute(select(Job)).first() is None


def test_a_due_job_is_claimed_by_one_only(database: Database, queued: int) -> None:
    job = claimed(database, queued, holder="0123456789abcdef")

    assert claim(database, queued) is None
    assert job.state == JobState.RUNNING
    assert job.attempts == 1
    assert len(job.lease_token or "") == 32
    assert (job.lease_token or "").startswith("0123456789abcdef")


def test_a_job_that_is_not_due_yet_is_not_claimed(database: Database, queued: int) -> None:
    with database.reading() as session:
        now = session.execute(select(now_ms())).scalar_one()
    change(database, queued, next_run_at_ms=now + 60_000)

    assert claim(database, queued) is None


def test_an_unknown_job_is_not_claimed(database: Database) -> None:
    assert claim(database, 12345) is None


def test_an_error_is_recorded_and_the_job_waits_longer_each_time(
    database: Database, queued: int
) -> None:
    waits = []
    for _ in range(3):
        job = claimed(database, queued)
        assert fail(database, job, Unavailable("The disk sulks.")) == JobState.QUEUED
        with database.reading() as session:
            row, now = session.execute(select(Job, now_ms())).one()
        waits.append((row.next_run_at_ms - now) / 1000)
        assert row.last_error == "The disk sulks."
        make_due(database, queued)

    assert 23 <= waits[0] <= 37
    assert 47 <= waits[1] <= 73
    assert 95 <= waits[2] <= 145


def test_no_wait_is_longer_than_an_hour() -> None:
    assert all(RetryPolicy().delay_s(errors) <= 3_600 for errors in range(1, 200))


def test_after_five_errors_the_job_has_failed(database: Database, queued: int) -> None:
    states = []
    for _ in range(5):
        states.append(fail(database, claimed(database, queued), ValueError("no")))
        make_due(database, queued)

    assert states == [JobState.QUEUED] * 4 + [JobState.FAILED]
    assert claim(database, queued) is None
    assert read(database, queued).last_error == "ValueError: no"


@pytest.mark.parametrize("error", [InvalidInput("Not a picture."), NotFound("Gone.")])
def test_what_the_input_is_to_blame_for_is_final_at_once(
    database: Database, queued: int, error: Exception
) -> None:
    assert fail(database, claimed(database, queued), error) == JobState.FAILED


def test_a_late_attempt_changes_nothing(database: Database, queued: int) -> None:
    late = claimed(database, queued)
    change(database, queued, lease_until_ms=1)
    current = claimed(database, queued)
    token = late.lease_token or ""

    for write in (
        lambda s: attempts.finish(s, queued, token),
        lambda s: attempts.fail(s, queued, token, ValueError("late"), KINDS[REBUILD_INDEX]),
        lambda s: attempts.release(s, queued, token),
        lambda s: attempts.report_progress(s, queued, token, 1, 2),
    ):
        with pytest.raises(LeaseLost), database.transaction() as session:
            write(session)

    assert read(database, queued).lease_token == current.lease_token
    assert read(database, queued).state == JobState.RUNNING


def test_only_leases_that_are_still_ours_are_renewed(database: Database, queued: int) -> None:
    job = claimed(database, queued, lease_s=1)
    before = read(database, queued).lease_until_ms or 0
    with database.transaction() as session:
        ours = attempts.renew(session, {queued: job.lease_token or "", 999: "x" * 32})

    assert ours == {queued}
    assert (read(database, queued).lease_until_ms or 0) > before + 30_000
    with database.transaction() as session:
        assert attempts.renew(session, {queued: "somebody else's"}) == set()


def test_three_attempts_without_a_word_quarantine_the_job(database: Database, queued: int) -> None:
    for expected in range(3):
        assert read(database, queued).crashes == max(0, expected - 1)
        crash(database, queued)

    assert claim(database, queued) is None
    job = read(database, queued)
    assert (job.state, job.crashes, job.attempts) == (JobState.QUARANTINED, 3, 3)
    assert "died three times" in (job.last_error or "")
    assert claim(database, queued) is None
    assert read(database, queued).attempts == 3


def test_a_job_that_crashed_is_left_alone_where_only_unsuspected_ones_run(
    database: Database, queued: int
) -> None:
    crash(database, queued)

    assert claim(database, queued, only_unsuspected=True) is None
    with database.reading() as session:
        assert attempts.is_suspect(session, queued)
    assert claimed(database, queued).crashes == 1


def test_crashes_take_no_attempts_away_from_errors(database: Database, queued: int) -> None:
    crash(database, queued)
    crash(database, queued)
    policy = RetryPolicy(max_attempts=2)

    assert fail(database, claimed(database, queued), ValueError(), retry_policy=policy) == "queued"


def test_an_attempt_given_back_does_not_count(database: Database, queued: int) -> None:
    job = claimed(database, queued)
    with database.transaction() as session:
        attempts.release(session, queued, job.lease_token or "")

    again = read(database, queued)
    assert (again.state, again.attempts, again.crashes) == (JobState.QUEUED, 0, 0)
    assert claimed(database, queued).crashes == 0


def test_due_jobs_are_rung_for_oldest_first_and_once_a_minute(database: Database) -> None:
    with database.transaction() as session:
        ids = [ledger.enqueue(session, REBUILD_INDEX, space_id=n).id for n in range(5)]

    def ring(**options: Any) -> list[int]:
        with database.transaction() as session:
            return [job.id for job in sweep.due_jobs_to_ring(session, **options)]

    assert ring(limit=2) == ids[:2]
    assert ring() == ids[2:]
    assert ring() == []
    assert ring(ring_again_after_s=0) == ids


def test_running_jobs_are_due_again_when_their_lease_has_run_out(
    database: Database, queued: int
) -> None:
    claimed(database, queued)
    with database.transaction() as session:
        assert sweep.due_jobs_to_ring(session) == []

    change(database, queued, lease_until_ms=1)

    with database.transaction() as session:
        assert [job.id for job in sweep.due_jobs_to_ring(session)] == [queued]


def test_leases_of_dead_processes_are_freed_and_counted_as_crashes(
    database: Database, queued: int
) -> None:
    claimed(database, queued, holder="dead")
    with database.transaction() as session:
        assert sweep.free_dead_attempts(session, lambda token: token.startswith("alive")) == 0
        assert sweep.free_dead_attempts(session, lambda token: token.startswith("dead")) == 1

    assert claimed(database, queued).crashes == 1


def test_images_fail_with_the_reason_when_their_job_is_given_up(
    database: Database, picture: tuple[int, int]
) -> None:
    content_id, owner_id = picture
    with database.transaction() as session:
        job_id = queue_embedding(session, content_id, None, owner_id=owner_id).id
    fail(database, claimed(database, job_id), InvalidInput("It is torn."))

    image = image_of(database, content_id)
    assert (image.status, image.failure) == (ImageStatus.FAILED, "It is torn.")

    with database.transaction() as session:
        viewer = session.get_one(User, owner_id)
        ledger.retry_job(session, job_id, viewer, KINDS)

    image = image_of(database, content_id)
    assert (image.status, image.failure) == (ImageStatus.PENDING, None)
    assert read(database, job_id).state == JobState.QUEUED


def test_images_fail_when_their_job_is_quarantined(
    database: Database, picture: tuple[int, int]
) -> None:
    content_id, _ = picture
    with database.transaction() as session:
        job_id = queue_embedding(session, content_id, None).id
    for _ in range(3):
        crash(database, job_id)
    assert claim(database, job_id) is None

    assert image_of(database, content_id).status == ImageStatus.FAILED


def test_a_job_is_seen_by_its_owner_and_by_administrators(
    database: Database, picture: tuple[int, int]
) -> None:
    content_id, owner_id = picture
    with database.transaction() as session:
        stranger = User(username="bea")
        first = User(username="first")
        administrator = User(username="root", role=Role.ADMINISTRATOR)
        session.add_all([stranger, first, administrator])
        session.flush()
        shared = queue_embedding(session, content_id, None, owner_id=first.id).id
        nobodys = ledger.enqueue(session, REBUILD_INDEX, space_id=1).id
        ana = session.get_one(User, owner_id)

        def seen(viewer: User | None) -> list[int]:
            return [report.job.id for report in ledger.list_jobs(session, viewer, KINDS)]

        assert seen(first) == [shared]
        # Ana shows the same picture; that somebody else does is not hers to know.
        assert seen(ana) == []
        assert seen(administrator) == [nobodys, shared]
        assert seen(stranger) == seen(None) == []
        with pytest.raises(NotFound):
            ledger.get_job(session, shared, stranger, KINDS)
        with pytest.raises(NotFound):
            ledger.retry_job(session, nobodys, ana, KINDS)


def test_only_given_up_jobs_are_retried(database: Database, queued: int) -> None:
    with database.transaction() as session:
        administrator = User(username="root", role=Role.ADMINISTRATOR)
        session.add(administrator)
        with pytest.raises(Conflict, match="queued"):
            ledger.retry_job(session, queued, administrator, KINDS)


def test_progress_tells_rate_and_time_to_go(database: Database, queued: int) -> None:
    job = claimed(database, queued)
    time.sleep(0.02)
    with database.transaction() as session:
        attempts.report_progress(session, queued, job.lease_token or "", 25, 100)
        administrator = User(username="root", role=Role.ADMINISTRATOR)
        session.add(administrator)
        report = ledger.get_job(session, queued, administrator, KINDS)

    assert report.rate_per_s is not None
    assert report.rate_per_s > 0
    assert report.eta_s == pytest.approx(75 / report.rate_per_s)


def test_jobs_are_counted_by_state(database: Database, queued: int) -> None:
    with database.reading() as session:
        counts = ledger.count_by_state(session)

    assert counts[JobState.QUEUED] == 1
    assert counts[JobState.FAILED] == 0


def test_many_claimers_share_jobs_without_doing_any_twice(database: Database) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with database.transaction() as session:
        ids = [ledger.enqueue(session, REBUILD_INDEX, space_id=n).id for n in range(12)]

    def claim_all(_: int) -> list[int]:
        return [job_id for job_id in ids if claim(database, job_id) is not None]

    with ThreadPoolExecutor(4) as pool:
        won = [job_id for mine in pool.map(claim_all, range(4)) for job_id in mine]

    assert sorted(won) == ids


def test_two_transactions_queue_the_same_work_once(database: Database) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def enqueue(_: int) -> int:
        with database.transaction() as session:
            return ledger.enqueue(session, REBUILD_INDEX, space_id=7).id

    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(enqueue, range(8)))

    assert len(ids) == 1
