"""Attempts that run in this process: their time limits, their progress, and the renewal of their leases."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mirada.background import Loop
from mirada.db.models import Job
from mirada.jobs import attempts
from mirada.jobs.kinds import Stopping, TimedOut, TimeLimit
from mirada.kernel.errors import LeaseLost
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

RENEW_EVERY_S = 15.0
"""A third of the lease: two renewals may fail before it is lost."""
REPORT_EVERY_S = 1.0
"""People do not read progress faster, and each report is a transaction."""


class LeasedAttempt:
    """One claimed job, as the code that works on it sees it. Used by one thread, and by the keeper."""

    def __init__(
        self,
        runtime: Runtime,
        job: Job,
        stopping: threading.Event,
        time_limit: TimeLimit | None = None,
    ) -> None:
        """Begin to count the time; `job` was claimed and has its token."""
        self.job = job
        self.token: str = job.lease_token or ""
        self.is_lost = False
        self._runtime = runtime
        self._stopping = stopping
        self._began_at = time.monotonic()
        self._reported_at = 0.0
        self._limit = time_limit

    @property
    def context(self) -> dict[str, object]:
        """The fields of every line of the log about the job."""
        context: dict[str, object] = {"job_id": self.job.id, "kind": self.job.kind}
        request_id = self.job.request_id
        return context if request_id is None else context | {"request_id": request_id}

    @property
    def age_s(self) -> float:
        """Seconds since the claim."""
        return time.monotonic() - self._began_at

    @property
    def is_past_hard_limit(self) -> bool:
        """Whether the attempt is to be given up for lost."""
        return self._limit is not None and self.age_s > self._limit.hard_s

    def check(self) -> None:
        """Raise LeaseLost when the attempt is lost, TimedOut past its soft limit; for every step."""
        if self.is_lost:
            raise LeaseLost(f"Job {self.job.id} was taken over by another attempt.")
        if self._limit is not None and self.age_s > self._limit.soft_s:
            raise TimedOut(f"This took longer than {self._limit.soft_s:.0f} s and was stopped.")

    def check_long(self) -> None:
        """As `check`; raises Stopping too when the process is to stop. For work of many steps."""
        self.check()
        if self._stopping.is_set():
            raise Stopping("The worker is being stopped.")

    def report(self, done: int, total: int | None) -> None:
        """Record progress, at most once a second but always the last step; raises as `check_long`."""
        self.check_long()
        now = time.monotonic()
        if done != total and now - self._reported_at < REPORT_EVERY_S:
            return
        self._reported_at = now
        with self._runtime.transaction() as session:
            attempts.report_progress(session, self.job.id, self.token, done, total)


class LeaseKeeper:
    """Renews the leases of everything that runs in this process, in one statement."""

    def __init__(
        self, runtime: Runtime, every_s: float = RENEW_EVERY_S, lease_s: int = attempts.LEASE_S
    ) -> None:
        """Prepare; the thread begins with the first attempt and ends with `close`."""
        self._runtime = runtime
        self._lease_s = lease_s
        self._held: dict[int, LeasedAttempt] = {}
        self._lock = threading.Lock()
        self._loop = Loop(
            "lease-keeper", self.renew, every_s, "Leases could not be renewed", waits_first=True
        )

    @contextmanager
    def keeping(self, attempt: LeasedAttempt) -> Iterator[None]:
        """Keep the attempt's lease alive while the block runs."""
        with self._lock:
            self._held[attempt.job.id] = attempt
            self._loop.start()
        try:
            yield
        finally:
            with self._lock:
                if self._held.get(attempt.job.id) is attempt:
                    del self._held[attempt.job.id]

    def running(self) -> list[LeasedAttempt]:
        """Return the attempts under way."""
        with self._lock:
            return list(self._held.values())

    def close(self) -> None:
        """Stop renewing."""
        self._loop.stop(timeout_s=5)

    def renew(self) -> None:
        """Renew once; attempts past their hard limit are let go, lost ones are told."""
        current: dict[int, LeasedAttempt] = {}
        for attempt in self.running():
            if attempt.is_past_hard_limit:
                logger.error(
                    "Job %s has run for %.0f s and is given up for lost",
                    attempt.job.id,
                    attempt.age_s,
                )
                attempt.is_lost = True
            elif not attempt.is_lost:
                current[attempt.job.id] = attempt
        if not current:
            return
        tokens = {job_id: attempt.token for job_id, attempt in current.items()}
        with self._runtime.transaction() as session:
            ours = attempts.renew(session, tokens, self._lease_s)
        for job_id in current.keys() - ours:
            # One that has just finished holds nothing either; it no longer asks.
            current[job_id].is_lost = True
