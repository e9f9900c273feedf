"""Failures of attempts: whether the job is given up, when it is tried again, and the words people read."""

from __future__ import annotations

import random

from sqlalchemy.exc import DBAPIError

from mirada.jobs.kinds import RetryPolicy
from mirada.kernel.errors import (
    CorruptImage,
    Deferred,
    InvalidInput,
    LanguageModelRefused,
    MiradaError,
    NotAllowed,
    NotFound,
    Unavailable,
    UnusableReply,
)

MAX_ERROR_CHARS = 2_000
HOPELESS = (InvalidInput, NotAllowed, NotFound, LanguageModelRefused, UnusableReply)
"""Errors of the input, or of whoever was asked: another attempt would end the same way."""


def is_hopeless(error: BaseException) -> bool:
    """Return whether another attempt would end the same way.

    Not so a picture that does not decode: every pixel was decoded when it came in, so here the
    machine is suspected.
    """
    return isinstance(error, HOPELESS) and not isinstance(error, (CorruptImage, Deferred))


def is_deferred(error: BaseException) -> bool:
    """Return whether nothing failed: the job waits, and loses no attempt by it."""
    return isinstance(error, Deferred)


def wait_s(error: BaseException, errors: int, policy: RetryPolicy) -> float:
    """Return how long the job waits for its next attempt: at least as long as the error asks.

    Args:
        error: what ended the attempt.
        errors: attempts that ended in an error, this one included.
        policy: of the job's kind.
    """
    asked_s: float = error.retry_after_s if isinstance(error, Unavailable) else 0
    if is_deferred(error):
        # What was deferred together must not come back together.
        asked_s += random.uniform(0, policy.first_delay_s)  # noqa: S311 - spreads load
    return max(policy.delay_s(errors), asked_s)


def reason_of(error: BaseException) -> str:
    """Return an error as people read it in the failed list."""
    if isinstance(error, MiradaError):
        return error.detail[:MAX_ERROR_CHARS]
    if isinstance(error, DBAPIError):
        # Its text quotes the statement, and sometimes what people wrote.
        return f"{type(error).__name__}: the worker's log has the details under this job's id."
    return f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS]
