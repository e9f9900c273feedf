"""The job runner: claim a job by its id, keep the lease, work, and record how the attempt ended."""

from __future__ import annotations

import logging
import threading
import time

import structlog

from mirada.db.models import Job
from mirada.jobs import attempts
from mirada.jobs.kinds import Kind, Kinds, Stopping, kind_of, reason_of
from mirada.jobs.ledger import UNFINISHED
from mirada.kernel.errors import LeaseLost, MiradaError, Unavailable
from mirada.metrics.instruments import JOB_SECONDS
from mirada.runtime import Runtime
from workers import lease_holder
from workers.attempt import RENEW_EVERY_S, LeasedAttempt, LeaseKeeper
from workers.kinds import KINDS

logger = logging.getLogger(__name__)

SUSPECT_WAIT_S = 5.0
"""How long a job that crashed before waits until no other such job runs; then the sweeper rings again."""
RECORD_PATIENCE_S = 20.0
"""How long a database that is down is asked again to record an error, less than half a lease."""


class JobRunner:
    """Runs jobs in the caller's threads; one per process."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        kinds: Kinds = KINDS,
        lease_s: int = attempts.LEASE_S,
        renew_every_s: float = RENEW_EVERY_S,
    ) -> None:
        """Prepare; nothing is claimed yet.

        Args:
            runtime: what the jobs work with.
            kinds: the kinds of jobs it knows.
            lease_s: how long a claim stands without renewal.
            renew_every_s: how often claims are renewed.
        """
        self._runtime = runtime
        self.kinds = kinds
        self._lease_s = lease_s
        self._keeper = LeaseKeeper(runtime, renew_every_s, lease_s)
        self._stopping = threading.Event()
        self._suspects = threading.Lock()

    def run(self, job_id: int) -> bool:
        """Run one attempt of the job if it is due and free; never raises.

        Returns:
            Whether an attempt was made, however it ended.
        """
        if self._stopping.is_set():
            return False
        try:
            return self._run_if_free(job_id, only_unsuspected=True) or self._run_if_suspect(job_id)
        except MiradaError as error:
            logger.warning("Job %s stays due: %s", job_id, error)
        except Exception:
            # The edge of the process: whatever it was, the next job must run.
            logger.exception("Job %s ended unexpectedly", job_id)
        return False

    def stop(self, grace_s: float) -> None:
        """Take no more work, let attempts end for `grace_s`, and give back the rest."""
        self._stopping.set()
        deadline = time.monotonic() + grace_s
        while self._keeper.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        for attempt in self._keeper.running():
            self._release(attempt)
        self._keeper.close()

    def _run_if_suspect(self, job_id: int) -> bool:
        with self._runtime.reading() as session:
            if not attempts.is_suspect(session, job_id):
                return False
        # What may kill the process runs with no other suspect beside it: otherwise three crashes of
        # one poisonous picture would quarantine everything that happened to run at the same time.
        if not self._suspects.acquire(timeout=SUSPECT_WAIT_S):
            return False
        try:
            return self._run_if_free(job_id)
        finally:
            self._suspects.release()

    def _run_if_free(self, job_id: int, *, only_unsuspected: bool = False) -> bool:
        with self._runtime.transaction() as session:
            job = attempts.claim(
                session,
                job_id,
                self._lease_s,
                holder=lease_holder.this_process(),
                only_unsuspected=only_unsuspected,
            )
            if job is None and not only_unsuspected:
                attempts.quarantine_if_crashing(session, job_id, self.kinds)
        if job is not None:
            self._attempt(job)
        return job is not None

    def _attempt(self, job: Job) -> None:
        kind = kind_of(self.kinds, job.kind)
        attempt = LeasedAttempt(self._runtime, job, self._stopping, kind.time_limit)
        context = {"job_id": job.id, "kind": job.kind}
        if job.request_id is not None:
            context["request_id"] = job.request_id
        outcome = "lost"
        with (
            structlog.contextvars.bound_contextvars(**context),
            self._keeper.keeping(attempt),
            self._runtime.keeping_view(),
        ):
            try:
                kind.work(self._runtime, attempt)
                logger.info("Job done in %.2f s", attempt.age_s)
                outcome = "done"
            except Stopping:
                self._release(attempt)
                outcome = "given_back"
            except LeaseLost as error:
                logger.warning("An attempt came too late: %s", error)
            except Exception as error:
                outcome = self._fail(attempt, error, kind)
            finally:
                # Kinds that this version does not know are one label, whatever they are called.
                name = job.kind if job.kind in self.kinds else "unknown"
                JOB_SECONDS.labels(name, outcome).observe(attempt.age_s)

    def _fail(self, attempt: LeasedAttempt, error: Exception, kind: Kind) -> str:
        """Record an error, and return what became of the attempt: failed, retried or lost."""
        expected = isinstance(error, MiradaError)
        logger.warning(
            "Attempt %s failed: %s",
            attempt.job.attempts,
            reason_of(error),
            exc_info=None if expected else error,
        )
        deadline = time.monotonic() + RECORD_PATIENCE_S
        while True:
            try:
                with self._runtime.transaction() as session:
                    state = attempts.fail(session, attempt.job.id, attempt.token, error, kind)
                logger.info("The job is %s now", state.value)
                return "retried" if state in UNFINISHED else "failed"
            except LeaseLost:
                # Either another attempt has begun, or a commit that seemed to fail had succeeded.
                logger.info("The error was not recorded: the attempt had ended already")
                return "lost"
            except Unavailable:
                # Unrecorded it would count as a crash, and the database's trouble is not the job's.
                if time.monotonic() > deadline or self._stopping.wait(1.0):
                    raise

    def _release(self, attempt: LeasedAttempt) -> None:
        try:
            with self._runtime.transaction() as session:
                attempts.release(session, attempt.job.id, attempt.token)
            attempt.is_lost = True
            logger.info("Job %s was given back", attempt.job.id)
        except MiradaError as error:
            logger.warning("Job %s was not given back: %s", attempt.job.id, error)


def run_job(runtime: Runtime, job_id: int) -> bool:
    """Run one attempt of a job in this thread; for tests and commands. See `JobRunner.run`."""
    runner = JobRunner(runtime)
    try:
        return runner.run(job_id)
    finally:
        runner.stop(grace_s=0)
