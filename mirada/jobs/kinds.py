"""A kind of job as one row: its work, its retries, its time limit, and what becomes of its subject.

The work is given an `Attempt`, which `workers` makes. An attempt that ends in an error is judged here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mirada.db.models import Job
from mirada.kernel.errors import (
    CorruptImage,
    Deferred,
    InvalidInput,
    LanguageModelRefused,
    LeaseLost,
    MiradaError,
    NotAllowed,
    NotFound,
    Unavailable,
    UnusableReply,
)
from mirada.runtime import Runtime

MAX_ERROR_CHARS = 2_000
HOPELESS = (InvalidInput, NotAllowed, NotFound, LanguageModelRefused, UnusableReply)
"""Errors of the input, or of whoever was asked: another attempt would end the same way."""


class Stopping(LeaseLost):
    """This process is asked to stop; the attempt is given back unused."""


class TimedOut(Unavailable):
    """The attempt took longer than its kind of job may."""


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


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after how long, a job is tried again after an error.

    Attributes:
        max_attempts: attempts that may end in an error before the job is failed.
        first_delay_s: wait after the first error; it doubles with every further one.
        max_delay_s: the wait never grows beyond this.
    """

    max_attempts: int = 5
    first_delay_s: float = 30.0
    max_delay_s: float = 3_600.0

    def delay_s(self, errors: int) -> float:
        """Return the wait after the given number of errors (>= 1), jittered by a fifth either way."""
        exponential = self.first_delay_s * 2.0 ** min(errors - 1, 30)
        jittered = exponential * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
        return min(jittered, self.max_delay_s)

    def wait_s(self, error: BaseException, errors: int) -> float:
        """Return how long the job waits for its next attempt: at least as long as the error asks.

        Args:
            error: what ended the attempt.
            errors: attempts that ended in an error, this one included.
        """
        asked_s: float = error.retry_after_s if isinstance(error, Unavailable) else 0
        if isinstance(error, Deferred):
            # What was deferred together must not come back together.
            asked_s += random.uniform(0, self.first_delay_s)  # noqa: S311 - spreads load
        return max(self.delay_s(errors), asked_s)


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """How long an attempt may take.

    Attributes:
        soft_s: from here on its next step records a time-out instead.
        hard_s: from here on its lease is no longer renewed: it is given up for lost, and if it comes
            back after all, its result is refused.
    """

    soft_s: float
    hard_s: float


def _nothing(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class SubjectRules:
    """The ledger's calls about the subject of a job, given its id, in the ledger's transaction.

    Attributes:
        lock: called before the job's row is locked.
        give_up: called with the reason when the job is failed for good or quarantined.
        retry: called when the job is queued afresh by hand.
        cancel: called with the owner's id and a reason when the job is cancelled; None: `give_up` is.
    """

    lock: Callable[[Session, int], object] = _nothing
    give_up: Callable[[Session, int, str], object] = _nothing
    retry: Callable[[Session, int], object] = _nothing
    cancel: Callable[[Session, int, int | None, str], object] | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of job.

    Attributes:
        name: stands in rows and messages, so it never changes.
        work: what an attempt does: steps with a transaction each; the last one finishes the job.
        retry_policy: for attempts that end in an error.
        time_limit: of one attempt; None sets none.
        subject_rules: for the job's subject.
        retried_with: arguments that a retry by hand adds to the job's.
        makes_image: the subject is the image that the job made, which its owner alone is told.
        makes_file: it makes an export, which its owner alone is told of.
        title: what it does, in a few words for people.
        is_about_content: the subject is a content; its owner is shown their own image of it.
        why_not_cancelled: what to do instead of cancelling such a job; None where one may be cancelled.
        together: does several attempts at once and returns those that are left for `work`, one by one.
            None: jobs of this kind are claimed one by one. What it raises leaves them all, so it
            writes either nothing of an attempt or, with the attempt's end, everything.
    """

    name: str
    work: Callable[[Runtime, Attempt], None]
    retry_policy: RetryPolicy = RetryPolicy()
    time_limit: TimeLimit | None = None
    subject_rules: SubjectRules = SubjectRules()
    retried_with: Mapping[str, Any] = field(default_factory=dict)
    makes_image: bool = False
    makes_file: bool = False
    title: str = ""
    is_about_content: bool = False
    why_not_cancelled: str | None = None
    together: Callable[[Runtime, Sequence[Attempt]], Sequence[Attempt]] | None = None


Kinds = Mapping[str, Kind]
"""Kinds of jobs by name."""


def kind_of(kinds: Kinds, name: str) -> Kind:
    """Return the kind of that name; for an unknown name one whose work raises NotFound."""

    def fail(runtime: Runtime, attempt: Attempt) -> None:
        raise NotFound(f"This version of Mirada knows no work called '{name}'.")

    return kinds.get(name) or Kind(name, fail)


def is_hopeless(error: BaseException) -> bool:
    """Return whether another attempt would end the same way.

    Not so a picture that does not decode: every pixel was decoded when it came in, so here the
    machine is suspected.
    """
    return isinstance(error, HOPELESS) and not isinstance(error, (CorruptImage, Deferred))


def code_of(error: BaseException) -> str:
    """Return an error's code for machines, <= 40 characters; `mirada.jobs.hints` has words for each."""
    if isinstance(error, MiradaError):
        return error.code[:40]
    return "unavailable" if isinstance(error, DBAPIError) else "unexpected"


def reason_of(error: BaseException) -> str:
    """Return an error as people read it in the failed list."""
    if isinstance(error, MiradaError):
        return error.detail[:MAX_ERROR_CHARS]
    if isinstance(error, DBAPIError):
        # Its text quotes the statement, and sometimes what people wrote.
        return f"{type(error).__name__}: the worker's log has the details under this job's id."
    return f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS]
