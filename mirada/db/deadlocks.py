"""A transaction that is run again when a deadlock undid it."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from mirada.db.session import Database
from mirada.kernel.errors import DatabaseBusy, Deadlock

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

ATTEMPTS = 3
"""MySQL's manual: be prepared to send a transaction again that was rolled back for a deadlock."""
BUSY_WITHIN_S = 1.0
"""Who waited longer than this for a lock has waited enough; a deadlock is tried again at any time."""


def in_transaction(database: Database, work: Callable[[Session], Result]) -> Result:
    """Run a use case in a transaction of its own, commit, and return what it returned.

    Only what certainly did nothing is run again: the database undid it because of a lock. A connection
    that is lost after the COMMIT was sent may hide one that happened.

    Args:
        database: where.
        work: does nothing but through the session, for it may be called up to ATTEMPTS times.

    Raises:
        Unavailable: not now, or three deadlocks in a row.
    """
    for attempts_left in reversed(range(ATTEMPTS)):
        began = time.monotonic()
        try:
            with database.transaction() as session:
                return work(session)
        except DatabaseBusy as error:
            if attempts_left == 0 or not may_run_again(error, began):
                raise
        pause()
    raise AssertionError("unreachable")


def may_run_again(error: BaseException, began_s: float) -> bool:
    """Return whether a transaction that began at that monotonic time may be run again after an error."""
    is_slow = time.monotonic() - began_s > BUSY_WITHIN_S
    return isinstance(error, Deadlock) or (isinstance(error, DatabaseBusy) and not is_slow)


def retried(
    work: Callable[Concatenate[Session, Parameters], Result],
) -> Callable[Concatenate[Database, Parameters], Result]:
    """Return a function that does the same `in_transaction` of a database."""

    @functools.wraps(work)
    def flow(database: Database, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return in_transaction(database, lambda session: work(session, *args, **kwargs))

    return flow


def pause() -> None:
    """Wait between two attempts, so that the two who met do not meet again."""
    time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - keeps two losers apart, hides nothing
