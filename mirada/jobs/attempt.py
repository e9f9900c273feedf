"""A running attempt at a job, as the code that works on it sees it. `workers` makes attempts."""

from __future__ import annotations

from typing import Protocol

from mirada.db.models import Job
from mirada.kernel.errors import LeaseLost, Unavailable


class Stopping(LeaseLost):
    """This process is asked to stop; the attempt is given back unused."""

    code = "stopping"


class TimedOut(Unavailable):
    """The attempt took longer than its kind of job may."""

    code = "timed_out"


class Attempt(Protocol):
    """One claimed job. Used by one thread."""

    @property
    def job(self) -> Job:
        """The job's row as it was claimed."""

    @property
    def token(self) -> str:
        """The lease token that every finishing write carries."""

    def check(self) -> None:
        """Raise LeaseLost when the attempt is lost, TimedOut past its soft limit; for every step."""

    def check_long(self) -> None:
        """As `check`; raises Stopping too when the process is to stop. For work of many steps."""

    def report(self, done: int, total: int | None) -> None:
        """Record progress, at most once a second but always the last step; raises as `check_long`."""
