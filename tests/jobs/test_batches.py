"""Batches in the ledger: claimed by one, finished whole, and a crash counts for what was tried alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Job, JobState
from mirada.db.session import Database
from mirada.jobs import attempts, batches, ledger, sweep
from mirada.kernel.errors import LeaseLost
from workers.kinds import KINDS

KIND = "create_embeddings_task"


@dataclass
class Held:
    """An attempt as the ledger's functions see it."""

    job: Job
    token: str


def queue(database: Database, count: int, kind: str = KIND) -> list[int]:
    with database.transaction() as session:
        return [ledger.enqueue(session, kind, same_work=f"{kind}:{n}").id for n in range(count)]


def claim(database: Database, at_most: int = batches.BATCH) -> list[Job]:
    with database.reading() as session:
        due = batches.due(session, KIND, at_most)
    with database.transaction() as session:
        return batches.claim(session, due, attempts.LEASE_S, holder="me")


def claim_alone(database: Database, job_id: int) -> Job | None:
    with database.transaction() as session:
        job = attempts.claim(session, job_id)
        if job is None:
            attempts.quarantine_if_crashing(session, job_id, KINDS)
        return job


def let_leases_run_out(database: Database) -> None:
    with database.transaction() as session:
        session.execute(update(Job).where(Job.state == JobState.RUNNING).values(lease_until_ms=1))


def read(database: Database, job_id: int) -> Job:
    with database.reading() as session:
        return session.get_one(Job, job_id)


def finish(database: Database, jobs: list[Job], **tokens: str) -> None:
    held: list[Any] = [Held(job, job.lease_token or "") for job in jobs]
    with database.transaction() as session:
        batches.finish(session, held)


def test_a_batch_is_of_one_kind_the_longest_due_first(database: Database) -> None:
    queue(database, 2, "expand_label")
    ids = queue(database, 20)

    first, second, third = claim(database), claim(database), claim(database)

    assert [job.id for job in first] == ids[:16]
    assert [job.id for job in second] == ids[16:]
    assert third == []
    assert {(job.state, job.attempts, job.batch_size) for job in first} == {("running", 1, 16)}
    assert all((job.lease_token or "").startswith("me") and job.lease_until_ms for job in first)


def test_a_batch_is_finished_in_one_transaction(database: Database) -> None:
    queue(database, 3)

    finish(database, jobs := claim(database))

    ended = [read(database, job.id) for job in jobs]
    assert {(job.state, job.lease_token) for job in ended} == {(JobState.DONE, None)}


def test_a_batch_of_which_one_lease_is_lost_is_not_finished(database: Database) -> None:
    queue(database, 3)
    jobs = claim(database)
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == jobs[1].id).values(lease_token="other"))

    with pytest.raises(LeaseLost):
        finish(database, jobs)

    assert {read(database, job.id).state for job in jobs} == {JobState.RUNNING}


def test_a_crash_of_a_batch_counts_for_nobody_and_each_is_tried_alone(database: Database) -> None:
    ids = queue(database, 4)
    claim(database)
    let_leases_run_out(database)

    assert claim(database) == []
    with database.reading() as session:
        assert all(attempts.is_suspect(session, job_id) for job_id in ids)
        assert {due.id for due in sweep.due_jobs(session, batched=[KIND])} == set(ids)
    alone = [claim_alone(database, job_id) for job_id in ids]

    assert all(job is not None for job in alone)
    assert {(job.crashes, job.attempts, job.batch_size) for job in alone if job} == {(0, 1, 1)}


def test_poison_is_quarantined_after_three_attempts_alone(database: Database) -> None:
    poison, *innocent = queue(database, 16)
    claim(database)
    let_leases_run_out(database)
    for job_id in innocent:
        job = claim_alone(database, job_id)
        assert job is not None
        finish(database, [job])
    for _ in range(attempts.CRASHES_ALLOWED):
        assert claim_alone(database, poison) is not None
        let_leases_run_out(database)

    assert claim_alone(database, poison) is None

    given_up = read(database, poison)
    assert (given_up.state, given_up.crashes) == (JobState.QUARANTINED, 3)
    assert {(read(database, each).state, read(database, each).crashes) for each in innocent} == {
        (JobState.DONE, 0)
    }


@pytest.mark.parametrize("how", ["released", "failed"])
def test_a_suspect_joins_no_batch_again(database: Database, how: str) -> None:
    first, second = queue(database, 2)
    claim(database)
    let_leases_run_out(database)
    job = claim_alone(database, first)
    assert job is not None
    with database.transaction() as session:
        if how == "released":
            attempts.release(session, first, job.lease_token or "")
        else:
            attempts.fail(session, first, job.lease_token or "", ValueError(), KINDS[KIND])
            session.execute(update(Job).where(Job.id == first).values(next_run_at_ms=1))

    assert claim(database) == []
    assert claim_alone(database, first) is not None
    assert claim_alone(database, second) is not None


def test_what_is_queued_afresh_is_no_suspect(database: Database) -> None:
    (job_id,) = queue(database, 1)
    claim(database)
    let_leases_run_out(database)
    job = claim_alone(database, job_id)
    assert job is not None
    finish(database, [job])

    queue(database, 1)

    assert [each.id for each in claim(database)] == [job_id]


def test_many_claimers_share_batches_without_doing_any_twice(database: Database) -> None:
    ids = queue(database, 60)

    def claim_all(_: int) -> list[int]:
        won: list[int] = []
        for _ in range(30):
            won += [job.id for job in claim(database, 4)]
        return won

    with ThreadPoolExecutor(4) as pool:
        won = [job_id for mine in pool.map(claim_all, range(4)) for job_id in mine]

    assert sorted(won) == ids
