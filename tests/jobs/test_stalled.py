"""Work that lies about while nobody works is a fault; a long queue under a living worker is none."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from mirada.db.models import Job, JobState
from mirada.db.session import Database, now_ms
from mirada.embedding.job import queue_embedding
from mirada.jobs import attempts
from mirada.jobs.stalled import PATIENCE_S, stalled_s

LONG_AGO_MS = 95_000


@pytest.fixture
def ids(database: Database) -> list[int]:
    """Three jobs that have been due for 95 s."""
    with database.transaction() as session:
        found = [queue_embedding(session, n, None).id for n in range(1, 4)]
        session.execute(update(Job).values(next_run_at_ms=now_ms() - LONG_AGO_MS))
    return found


def change(database: Database, job_id: int, **values: object) -> None:
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def waited(database: Database) -> float | None:
    with database.reading() as session:
        return stalled_s(session)


def test_without_work_all_is_well(database: Database) -> None:
    assert waited(database) is None


def test_jobs_that_nobody_claims_are_stalled(database: Database, ids: list[int]) -> None:
    found = waited(database)
    assert found is not None
    assert 95 <= found < 120


def test_a_job_that_is_not_due_for_long_is_no_fault(database: Database, ids: list[int]) -> None:
    for job_id in ids:
        change(database, job_id, next_run_at_ms=now_ms() - (PATIENCE_S - 5) * 1000)
    assert waited(database) is None
    for job_id in ids:
        change(database, job_id, next_run_at_ms=now_ms() + 60_000)
    assert waited(database) is None


def test_a_queue_under_a_living_worker_is_none(database: Database, ids: list[int]) -> None:
    with database.transaction() as session:
        assert attempts.claim(session, ids[0])
    assert waited(database) is None
    # A long job: begun long ago, its lease renewed a moment ago.
    change(database, ids[0], started_at_ms=now_ms() - 600_000)
    assert waited(database) is None


def test_a_job_that_was_finished_lately_is_a_sign_of_life(
    database: Database, ids: list[int]
) -> None:
    done = {"state": JobState.DONE, "lease_until_ms": None, "started_at_ms": now_ms() - LONG_AGO_MS}
    change(database, ids[0], finished_at_ms=now_ms() - 10_000, **done)
    assert waited(database) is None
    change(database, ids[0], finished_at_ms=now_ms() - 40_000, **done)
    assert waited(database) is not None


def test_a_worker_that_died_is_noticed(database: Database, ids: list[int]) -> None:
    with database.transaction() as session:
        assert attempts.claim(session, ids[0])
    # Killed 40 s ago: the lease has seconds to run and is no longer renewed.
    values = {"started_at_ms": now_ms() - 50_000, "lease_until_ms": now_ms() + 4_000}
    change(database, ids[0], **values)
    assert waited(database) is not None
