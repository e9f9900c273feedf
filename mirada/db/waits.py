"""How long the database is waited for: briefly by requests, longer by background work and migrations.

A connection gets the limits of whoever takes it from the pool. The server keeps those for locks and
statements; the driver keeps that for a server which does not answer at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError

from mirada.kernel.errors import Unavailable

PING_S = 2.0
"""How long a pooled connection may take to say that it is alive."""
FRESH_S = 1.0
"""A connection that was used so short a time ago, and has nothing to read, is alive; others are asked."""
RETRY_AFTER_S = 2
SILENT = "The database does not answer just now; try again shortly."


@dataclass(frozen=True, slots=True)
class Waits:
    """Limits in seconds.

    Attributes:
        connect_s: to connect and log in.
        lock_s: for a lock of a row or a table, whole seconds.
        statement_s: for one statement, kept by the server; 0 for as long as it takes.
        reply_s: until the server says anything at all; then the connection is given up.
    """

    connect_s: int
    lock_s: int
    statement_s: float
    reply_s: float


REQUESTS = Waits(connect_s=2, lock_s=2, statement_s=3.5, reply_s=4.0)
"""A request is answered within 5 s whatever the database does: CONTRACT, F."""
WORK = Waits(connect_s=3, lock_s=15, statement_s=0, reply_s=30.0)
"""Jobs, commands and background threads: a rebuild's statements take seconds, and nobody waits for them."""
MIGRATIONS = Waits(connect_s=3, lock_s=15, statement_s=0, reply_s=3600.0)
"""Changing a large table takes minutes."""


class Kept(Protocol):
    """A session that a request keeps from one look at the database to the next."""

    def close(self) -> None:
        """Give it back."""
        ...


@dataclass(slots=True)
class Hurry:
    """One request's experience of the database.

    Attributes:
        has_waited: one of its waits was in vain, so it waits no more.
        depth: how many blocks with a connection it is in.
        kept: the session that it reads with, given back at its end; None before it has read.
    """

    has_waited: bool = False
    depth: int = 0
    kept: Kept | None = None


_waits: ContextVar[Waits] = ContextVar("waits", default=WORK)
_hurry: ContextVar[Hurry | None] = ContextVar("hurry", default=None)


def current() -> Waits:
    """Return the limits of this thread's work."""
    return _waits.get()


def hurry() -> Hurry | None:
    """Return what the request of this thread has seen; None outside requests."""
    return _hurry.get()


def begin_request() -> None:
    """Let this thread wait as a request does, and keep a session, until `end_request`."""
    end_request()
    _waits.set(REQUESTS)
    _hurry.set(Hurry())


def end_request() -> None:
    """Let this thread wait as background work does, and give back what a request kept."""
    seen = _hurry.get()
    _waits.set(WORK)
    _hurry.set(None)
    if seen is not None and seen.kept is not None:
        seen.kept.close()


@contextmanager
def waiting_as(waits: Waits) -> Iterator[None]:
    """Let the block wait by other limits than its thread."""
    before = _waits.get()
    _waits.set(waits)
    try:
        yield
    finally:
        _waits.set(before)


def bound(engine: Engine) -> None:
    """Have the connections of an engine keep the limits of whoever uses them; SQLite's keep their own."""
    if engine.dialect.name == "sqlite":
        return
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "handle_error", _note_silence)
    event.listen(engine, "checkout", partial(_prepare, engine.dialect))
    event.listen(engine, "checkin", _rest)


def is_timeout(error: BaseException | None) -> bool:
    """Return whether a driver's error says that the server did not answer in time."""
    said = str(error)
    return "timed out" in said or "timeout expired" in said


def _connect(dialect: Any, _record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
    seen, waits = _hurry.get(), _waits.get()
    if seen is not None and seen.has_waited:
        # This request has waited for another connection already.
        raise Unavailable(SILENT, retry_after_s=RETRY_AFTER_S)
    parameters["connect_timeout"] = waits.connect_s
    if dialect.name == "postgresql":
        from mirada.db.bounded_postgresql import BoundedConnection as PostgreSql

        return PostgreSql.connect(*arguments, **parameters)
    from mirada.db.bounded_mysql import BoundedConnection as MySql

    # The server's greeting is waited for by the time-out for replies.
    parameters |= {"read_timeout": waits.connect_s, "write_timeout": waits.connect_s}
    return MySql(*arguments, **parameters)


def _note_silence(context: ExceptionContext) -> None:
    seen = _hurry.get()
    if seen is not None and is_timeout(context.original_exception):
        seen.has_waited = True


def _prepare(dialect: Dialect, connection: Any, record: Any, _proxy: Any) -> None:
    """Give a connection that is taken from the pool the limits of its taker, if it is alive."""
    waits, used_at_s = _waits.get(), record.info.get("used_at_s")
    # What a server says unasked is mostly goodbye, so a connection that it closed is seen for nothing.
    if used_at_s is not None and (
        time.monotonic() - used_at_s > FRESH_S or not connection.is_quiet()
    ):
        _heard(partial(dialect.do_ping, connection), InvalidatePoolError)
    connection.wait_at_most(waits.reply_s)
    if record.info.get("waits") == waits:
        return
    record.info.pop("waits", None)
    _heard(partial(connection.limit, waits.lock_s, waits.statement_s), DisconnectionError)
    record.info["waits"] = waits


def _heard(ask: Callable[[], object], otherwise: type[DisconnectionError]) -> None:
    """Ask the server something.

    Raises:
        Unavailable: a request waited in vain.
        DisconnectionError: of the kind given: the connection is broken, so the pool connects anew.
    """
    try:
        ask()
    except Exception as error:
        seen = _hurry.get()
        if seen is not None and is_timeout(error):
            seen.has_waited = True
            raise Unavailable(SILENT, retry_after_s=RETRY_AFTER_S) from error
        raise otherwise from error


def _rest(connection: Any, record: Any) -> None:
    if connection is not None:
        connection.wait_at_most(PING_S)
        record.info["used_at_s"] = time.monotonic()
