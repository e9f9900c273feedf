"""What operators are shown of the ledger."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from mirada.db import changes
from mirada.db.models import Job, JobState
from mirada.db.session import Database, now_ms
from mirada.embedding.index_rebuild import REBUILD_INDEX
from mirada.embedding.job import CREATE_EMBEDDINGS, queue_embedding
from mirada.jobs import ledger
from workers.kinds import KINDS


@pytest.fixture
def ids(database: Database) -> list[int]:
    """Six jobs to embed something."""
    with database.transaction() as session:
        return [queue_embedding(session, n, None).id for n in range(1, 7)]


def change(database: Database, job_id: int, **values: object) -> None:
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def test_a_ledger_without_work_is_all_zeros(database: Database) -> None:
    with database.reading() as session:
        found = ledger.backlog(session, KINDS)
    assert {kind for kind, _ in found.jobs} == set(KINDS)
    assert {state for _, state in found.jobs} == {"queued", "running", "failed", "quarantined"}
    assert set(found.jobs.values()) == {0}
    assert found.longest_wait_s == 0


def test_jobs_are_counted_by_kind_and_state_but_for_those_done_and_cancelled(
    database: Database, ids: list[int]
) -> None:
    for job_id, state in zip(ids, list(JobState)[1:], strict=False):
        change(database, job_id, state=state)
    with database.transaction() as session:
        ledger.enqueue(session, REBUILD_INDEX, space_id=1)
    with database.reading() as session:
        found = {key: count for key, count in ledger.backlog(session, KINDS).jobs.items() if count}
    assert found == {
        (CREATE_EMBEDDINGS, "queued"): 1,
        (CREATE_EMBEDDINGS, "running"): 1,
        (CREATE_EMBEDDINGS, "failed"): 1,
        (CREATE_EMBEDDINGS, "quarantined"): 1,
        (REBUILD_INDEX, "queued"): 1,
    }


def test_the_longest_wait_is_that_of_the_oldest_due_job(database: Database, ids: list[int]) -> None:
    change(database, ids[0], next_run_at_ms=now_ms() - 90_000)
    change(database, ids[1], next_run_at_ms=now_ms() - 900_000, state=JobState.RUNNING)
    with database.reading() as session:
        waited_s = ledger.backlog(session, KINDS).longest_wait_s
    assert 90 <= waited_s < 890


def test_what_is_to_be_tried_again_later_does_not_wait(database: Database, ids: list[int]) -> None:
    for job_id in ids:
        change(database, job_id, next_run_at_ms=now_ms() + 60_000)
    with database.reading() as session:
        assert ledger.backlog(session, KINDS).longest_wait_s == 0


def test_the_last_change_is_told(database: Database) -> None:
    with database.reading() as session:
        assert changes.current_seq(session) == 0
