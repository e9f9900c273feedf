"""The job runner: claim jobs, keep their leases, work, and record how the attempts ended.

Most jobs are claimed by their ids. Those of a kind that is worked together are claimed in batches, by
few threads at once (`workers.lanes`), and a ring only says that there may be some.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import structlog

from mirada.db.models import Job
from mirada.jobs import attempts, batches
from mirada.jobs.kinds import Kind, Kinds, Stopping, kind_of, reason_of
from mirada.jobs.ledger import UNFINISHED
from mirada.kernel.errors import LeaseLost, MiradaError, Unavailable
from mirada.metrics.instruments import JOB_SECONDS
from mirada.runtime import Runtime
from workers import lanes, lease_holder
from workers.attempt import RENEW_EVERY_S, LeasedAttempt, LeaseKeeper
from workers.claiming import Claiming
from workers.kinds import KINDS

logger = logging.getLogger(__name__)

SUSPECT_WAIT_S = 5.0
"""How long a job that crashed before waits until no other such job runs; then the sweeper rings again."""
GIVE_BACK_AFTER_S = 30.0
"""How old a batch may be before what is left of it, but the first, is given back and not tried one by one:
without that first one a slow encoder would get the same batch, with its poison, for ever."""
TURNS = 8
"""Batches that a thread works in a row; then jobs of other kinds get a turn."""
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
        self._lanes = {name: lanes.Lanes() for name, kind in kinds.items() if kind.together}
        self._claiming = Claiming(runtime, lease_s, self._stopping)

    @property
    def batched(self) -> frozenset[str]:
        """The names of the kinds that are claimed in batches."""
        return frozenset(self._lanes)

    def answer(self, job_id: int, kind_name: str) -> bool:
        """Do what a ring asks for: batches of its kind, or the job itself; never raises.

        Returns:
            Whether an attempt was made, however it ended.
        """
        if kind_name not in self._lanes:
            return self.run(job_id)
        was_made = self.run_batches(kind_name)
        # Whoever rings for a job that has crashed means this very one.
        return self._guarded(f"Job {job_id}", lambda: self._run_if_suspect(job_id)) or was_made

    def run_batches(self, kind_name: str) -> bool:
        """Work batches of a kind until none is due, or leave it to those who do already; never raises.

        Returns:
            Whether an attempt was made, however it ended.
        """
        lane = self._lanes[kind_name]
        was_made = False
        if not lane.enter():
            return False
        for _ in range(TURNS):
            is_attempt, is_left = self._take_turn(kind_name, lane)
            was_made = was_made or is_attempt
            if is_left:
                return was_made
        lane.leave()
        self._guarded(f"Jobs {kind_name}", lambda: self._ring_for_more(kind_name))
        return was_made

    def _take_turn(self, kind_name: str, lane: lanes.Lanes) -> tuple[bool, bool]:
        """Work one batch; return whether an attempt was made, and whether the place was given back."""
        jobs: list[Job] | None = []

        def work() -> bool:
            nonlocal jobs
            jobs = self._claiming.claim(kind_name, lane)
            return bool(jobs) and self._attempt_together(jobs or [])

        was_made = self._guarded(f"Jobs {kind_name}", work)
        return was_made, jobs is None or (not jobs and lane.leave_if_nobody_rang())

    def free_lanes(self, kind_name: str) -> int:
        """Return how many more threads may work batches of a kind."""
        return self._lanes[kind_name].free()

    def run(self, job_id: int) -> bool:
        """Run one attempt of the job if it is due and free; never raises.

        Returns:
            Whether an attempt was made, however it ended.
        """
        return self._guarded(
            f"Job {job_id}",
            lambda: (
                self._run_if_free(job_id, only_unsuspected=True) or self._run_if_suspect(job_id)
            ),
        )

    def stop(self, grace_s: float) -> None:
        """Take no more work, let attempts end for `grace_s`, and give back the rest."""
        self._stopping.set()
        deadline = time.monotonic() + grace_s
        while self._keeper.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        for attempt in self._keeper.running():
            self._release(attempt)
        self._keeper.close()

    def _guarded(self, what: str, work: Callable[[], bool]) -> bool:
        if self._stopping.is_set():
            return False
        try:
            return work()
        except MiradaError as error:
            logger.warning("%s: what is due stays due: %s", what, error)
        except Exception:
            # The edge of the process: whatever it was, the next job must run.
            logger.exception("%s ended unexpectedly", what)
        return False

    def _ring_for_more(self, kind_name: str) -> bool:
        with self._runtime.reading() as session:
            more = batches.due(session, kind_name, 1)
        # Whoever answers takes its place behind what was rung for before.
        return bool(more) and self._runtime.doorbell.ring(more[0], kind_name)

    def _attempt_together(self, jobs: list[Job]) -> bool:
        kind = kind_of(self.kinds, jobs[0].kind)
        made = [LeasedAttempt(self._runtime, job, self._stopping, kind.time_limit) for job in jobs]
        with ExitStack() as kept:
            for attempt in made:
                kept.enter_context(self._keeper.keeping(attempt))
            left = self._work_together(kind, made) if len(made) > 1 else made
            for attempt in (each for each in made if each not in left):
                self._tell_done(attempt)
            for place, attempt in enumerate(left):
                is_late = place and attempt.age_s > GIVE_BACK_AFTER_S
                if len(made) > 1 and (is_late or self._stopping.is_set()):
                    self._release(attempt)
                else:
                    self._attempt(attempt)
        return True

    def _work_together(self, kind: Kind, made: list[LeasedAttempt]) -> list[LeasedAttempt]:
        assert kind.together is not None
        try:
            with self._runtime.keeping_view():
                left = {attempt.job.id for attempt in kind.together(self._runtime, made)}
            return [attempt for attempt in made if attempt.job.id in left]
        except Exception as error:
            # Each is tried by itself now: that tells whose fault it is, and spares the others.
            logger.warning(
                "%s jobs are tried one by one: %s",
                len(made),
                reason_of(error),
                exc_info=None if isinstance(error, MiradaError) else error,
            )
            return made

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
            kind = kind_of(self.kinds, job.kind)
            attempt = LeasedAttempt(self._runtime, job, self._stopping, kind.time_limit)
            with self._keeper.keeping(attempt):
                self._attempt(attempt)
        return job is not None

    def _attempt(self, attempt: LeasedAttempt) -> None:
        kind = kind_of(self.kinds, attempt.job.kind)
        outcome = "lost"
        with (
            structlog.contextvars.bound_contextvars(**attempt.context),
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
                name = attempt.job.kind if attempt.job.kind in self.kinds else "unknown"
                JOB_SECONDS.labels(name, outcome).observe(attempt.age_s)

    def _tell_done(self, attempt: LeasedAttempt) -> None:
        with structlog.contextvars.bound_contextvars(**attempt.context):
            logger.info("Job done in %.2f s, with others", attempt.age_s)
        JOB_SECONDS.labels(attempt.job.kind, "done").observe(attempt.age_s)

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
