"""Jobs that wait for a turn or for money are woken: each once, oldest first, and nothing else."""

from __future__ import annotations

import threading

from sqlalchemy import select, update

from mirada.captions.writing import CAPTION_IMAGE
from mirada.db.models import Job, JobState
from mirada.db.session import Database, now_ms
from mirada.drawing.request import GENERATE_IMAGE
from mirada.jobs import ledger, waiting

REASON = "It waits for its turn."
HOUR_MS = 3_600_000


def put_off(
    database: Database, *reasons: str | None, state: JobState = JobState.QUEUED
) -> list[int]:
    """Queue a job for each reason, each an hour later than the one before, and return their ids."""
    ids = []
    with database.transaction() as session:
        now = session.execute(select(now_ms())).scalar_one()
        for place, reason in enumerate(reasons, start=1):
            job = ledger.enqueue(session, CAPTION_IMAGE, same_work=f"{state}:{place}")
            session.execute(
                update(Job)
                .where(Job.id == job.id)
                .values(state=state, last_error=reason, next_run_at_ms=now + place * HOUR_MS)
            )
            ids.append(job.id)
    return ids


def due(database: Database) -> list[int]:
    with database.reading() as session:
        query = select(Job.id).where(Job.state == JobState.QUEUED, Job.next_run_at_ms <= now_ms())
        return list(session.execute(query.order_by(Job.id)).scalars())


def wake(database: Database, kind: str = CAPTION_IMAGE) -> int | None:
    with database.transaction() as session:
        return waiting.wake_next(session, kind, REASON)


def test_whoever_waited_longest_is_woken_and_nobody_else(database: Database) -> None:
    other, first, second = put_off(database, "Another reason.", REASON, REASON)
    put_off(database, REASON, state=JobState.FAILED)
    assert wake(database, GENERATE_IMAGE) is None
    assert wake(database) == first
    assert due(database) == [first]
    assert wake(database) == second
    assert wake(database) is None
    assert due(database) == [first, second]
    assert other not in due(database)


def test_wakers_at_once_wake_as_many_as_they_are(database: Database) -> None:
    ids = put_off(database, *[REASON] * 8)
    barrier = threading.Barrier(4)
    woken: list[int | None] = []

    def wake_one() -> None:
        barrier.wait()
        woken.append(wake(database))

    threads = [threading.Thread(target=wake_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(job_id) for job_id in woken) == sorted(map(str, ids[:4]))
    assert due(database) == ids[:4]


def test_what_waits_for_money_is_woken_alone(database: Database) -> None:
    first, _, second = put_off(
        database,
        "Today's budget for language models (LLM_DAILY_BUDGET_USD) is reached; this waits.",
        "The language model answered 429; it is asked again later.",
        "Today's budget for language models (LLM_USER_DAILY_BUDGET_USD) is reached; this waits.",
    )
    with database.transaction() as session:
        assert waiting.wake_held_back(session) == 2
    assert due(database) == [first, second]
    with database.transaction() as session:
        assert waiting.wake_held_back(session) == 0
