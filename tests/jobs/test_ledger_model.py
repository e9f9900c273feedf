"""The ledger against a model of it: any order of claims, crashes, errors, late writes and retries."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import update

from mirada.db.models import Job, JobState, Role, User
from mirada.db.session import Database
from mirada.embedding.index_rebuild import REBUILD_INDEX
from mirada.jobs import attempts, batches, ledger
from mirada.jobs.kinds import RetryPolicy
from mirada.kernel.errors import Conflict, LeaseLost
from workers.kinds import KINDS

POLICY = RetryPolicy(max_attempts=2, first_delay_s=1)
KIND = replace(KINDS[REBUILD_INDEX], retry_policy=POLICY)
ENDED = (JobState.DONE, JobState.FAILED)
_numbers = itertools.count()


def machine(database: Database) -> type[RuleBasedStateMachine]:
    class Ledger(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            with database.transaction() as session:
                self.job_id = ledger.enqueue(session, REBUILD_INDEX, space_id=next(_numbers)).id
            self.state = JobState.QUEUED
            self.errors = self.crashes = 0
            self.is_suspect = self.is_in_batch = False
            self.token: str | None = None
            self.is_expired = False
            self.late: list[str] = []

        def change(self, **values: Any) -> None:
            with database.transaction() as session:
                session.execute(update(Job).where(Job.id == self.job_id).values(**values))

        @rule()
        def claim(self) -> None:
            with database.transaction() as session:
                job = attempts.claim(session, self.job_id)
                if job is None:
                    attempts.quarantine_if_crashing(session, self.job_id, KINDS)
            is_free = self.state == JobState.QUEUED or (
                self.state == JobState.RUNNING and self.is_expired
            )
            if not is_free:
                assert job is None
                return
            if self.state == JobState.RUNNING:
                self.is_suspect = True
                self.crashes += 0 if self.is_in_batch else 1
                assert self.token is not None
                self.late.append(self.token)
                self.token = None
                if self.crashes == attempts.CRASHES_ALLOWED:
                    assert job is None
                    self.state = JobState.QUARANTINED
                    return
            assert job is not None
            self.state, self.token, self.is_expired = JobState.RUNNING, job.lease_token, False
            self.is_in_batch = False

        @rule()
        def claim_with_another(self) -> None:
            with database.transaction() as session:
                ledger.enqueue(session, REBUILD_INDEX, space_id=next(_numbers))
                ids = batches.due(session, REBUILD_INDEX, 1_000)
                took = self.job_id in ids
                mine = [self.job_id, ids[-1]] if took else ids[-2:]
                found = batches.claim(session, mine, attempts.LEASE_S)
            assert took == (self.state == JobState.QUEUED and not self.is_suspect)
            if took:
                job = next(job for job in found if job.id == self.job_id)
                self.state, self.token = JobState.RUNNING, job.lease_token
                self.is_in_batch, self.is_expired = True, False

        @precondition(lambda self: self.state == JobState.RUNNING)
        @rule()
        def let_the_lease_run_out(self) -> None:
            self.change(lease_until_ms=1)
            self.is_expired = True

        @precondition(lambda self: self.token is not None)
        @rule()
        def finish(self) -> None:
            with database.transaction() as session:
                attempts.finish(session, self.job_id, self.token or "")
            self.end(JobState.DONE)

        @precondition(lambda self: self.token is not None)
        @rule()
        def fail(self) -> None:
            with database.transaction() as session:
                state = attempts.fail(session, self.job_id, self.token or "", ValueError(), KIND)
            self.errors += 1
            assert state == (
                JobState.FAILED if self.errors == POLICY.max_attempts else JobState.QUEUED
            )
            self.change(next_run_at_ms=1)
            self.end(state)

        @precondition(lambda self: self.token is not None)
        @rule()
        def give_back(self) -> None:
            with database.transaction() as session:
                attempts.release(session, self.job_id, self.token or "")
            self.end(JobState.QUEUED)

        @precondition(lambda self: self.late)
        @rule()
        def a_late_write_is_refused(self) -> None:
            with pytest.raises(LeaseLost), database.transaction() as session:
                attempts.finish(session, self.job_id, self.late[-1])

        @rule()
        def retry(self) -> None:
            with database.transaction() as session:
                viewer = User(id=1, username="root", role=Role.ADMINISTRATOR)
                if self.state in ledger.GIVEN_UP:
                    ledger.retry_job(session, self.job_id, viewer, KINDS)
                else:
                    with pytest.raises(Conflict):
                        ledger.retry_job(session, self.job_id, viewer, KINDS)
                    return
            self.state, self.errors, self.crashes = JobState.QUEUED, 0, 0
            self.is_suspect = False

        def end(self, state: JobState) -> None:
            assert self.token is not None
            self.late.append(self.token)
            self.state, self.token, self.is_expired = state, None, False

        @invariant()
        def the_row_is_as_the_model_says(self) -> None:
            with database.reading() as session:
                job = session.get_one(Job, self.job_id)
            assert (job.state, job.crashes) == (self.state, self.crashes)
            # What crashed with a batch took no attempt away.
            running = self.state == JobState.RUNNING
            assert job.attempts - job.crashes <= self.errors + running + (self.state in ENDED)
            assert job.lease_token == self.token
            assert job.attempts <= POLICY.max_attempts + attempts.CRASHES_ALLOWED

    return Ledger


def test_the_ledger_does_what_its_model_does(sqlite_database: Database) -> None:
    run_state_machine_as_test(
        machine(sqlite_database),
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
