"""How long the database is waited for: briefly by requests, longer by background work and migrations.

A connection gets the limits of whoever takes it from the pool. The server keeps those for locks and
statements; the driver keeps that for a server which does not answer at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError

from mirada.kernel.errors import Unavailable

PING_S = 2.0
"""How long a pooled connection may take to say that it is alive."""
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


@dataclass(slots=True)
class Hurry:
    """One request's experience of the database.

    Attributes:
        has_waited: one of its waits was in vain, so it waits no more.
        depth: how many blocks with a connection it is in.
    """

    has_waited: bool = False
    depth: int = 0


_waits: ContextVar[Waits] = ContextVar("waits", default=WORK)
_hurry: ContextVar[Hurry | None] = ContextVar("hurry", default=None)


def current() -> Waits:
    """Return the limits of this thread's work."""
    return _waits.get()


def hurry() -> Hurry | None:
    """Return what the request of this thread has seen; None outside requests."""
    return _hurry.get()


def begin_request() -> None:
    """Let this thread wait as a request does, until `end_request`."""
    _waits.set(REQUESTS)
    _hurry.set(Hurry())


def end_request() -> None:
    """Let this thread wait as background work does."""
    _waits.set(WORK)
    _hurry.set(None)


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
    event.listen(engine, "checkout", _prepare)
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


def _prepare(connection: Any, record: Any, _proxy: Any) -> None:
    """Give a connection that is taken from the pool the limits of its taker."""
    waits = _waits.get()
    connection.wait_at_most(waits.reply_s)
    if record.info.get("waits") == waits:
        return
    record.info.pop("waits", None)
    try:
        connection.limit(waits.lock_s, waits.statement_s)
    except Exception as error:
        seen = _hurry.get()
        if seen is not None and is_timeout(error):
            seen.has_waited = True
            raise Unavailable(SILENT, retry_after_s=RETRY_AFTER_S) from error
        # It broke since the last statement: the pool connects anew.
        raise DisconnectionError from error
    record.info["waits"] = waits


def _rest(connection: Any, _record: Any) -> None:
    if connection is not None:
        connection.wait_at_most(PING_S)
