"""The database engine and its transactions; drivers' errors become errors of ours here."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, CursorResult, Engine, UpdateBase, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from mirada import private_files
from mirada.db import changes, errors, waits
from mirada.db.clock import now_ms as now_ms
from mirada.db.patience import Patience
from mirada.db.request_reading import ReadByRequest
from mirada.kernel.errors import DatabaseBusy

SQLITE_BUSY_TIMEOUT_S = 15
SQLITE_BUSY_IN_REQUESTS_S = 1.5
"""A request that writes waits so long for its turn in this process, and again for other processes."""
POOL_TIMEOUT_S = 3
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
READS_BY_STATEMENT = frozenset({"sqlite", "mysql", "mariadb"})
"""Databases that are read without a transaction: beginning and ending one are round trips.

Each statement sees what was committed before it, as with READ COMMITTED inside a transaction."""
MYSQL_SESSION = (
    "SET time_zone = '+00:00', "
    "sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
)
"""What each connection to MySQL or MariaDB begins with: whatever the server's defaults are, a statement
means the same. The three modes are in every version from 5.7 on."""


def make_engine(url: URL, pool_size: int) -> Engine:
    """Return an engine with the time-outs, isolation level and pragmas that Mirada relies on.

    The isolation level is READ COMMITTED: under REPEATABLE READ a reader would not see the change
    counter advance.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, pool_size)
    connect_args: dict[str, Any] = {}
    if url.get_backend_name() in ("mysql", "mariadb"):
        connect_args = {"charset": "utf8mb4", "init_command": MYSQL_SESSION}
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_TIMEOUT_S,
        # The one that was used last is the one that need not be asked whether it is alive.
        pool_use_lifo=True,
        pool_recycle=280,
        isolation_level="READ COMMITTED",
        connect_args=connect_args,
        # Texts of users must be neither in logs nor in error messages.
        hide_parameters=True,
    )
    waits.bound(engine)
    if engine.dialect.name in READS_BY_STATEMENT:
        event.listen(engine, "connect", _commit_by_itself)
        event.listen(engine, "begin", _begin_mysql)
    return engine


def _commit_by_itself(connection: Any, _record: object) -> None:
    connection.autocommit(True)


def _begin_mysql(connection: Connection) -> None:
    if not connection.get_execution_options().get("mirada_reads", False):
        connection.exec_driver_sql("BEGIN")


def _sqlite_engine(url: URL, pool_size: int) -> Engine:
    if url.database:
        # Where that is not permitted, opening the file says so, as for any other fault of it.
        with suppress(OSError):
            private_files.make_folder(Path(url.database).parent)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        # Each connection keeps up to 2 MB of pages: those that were used last have them.
        pool_use_lifo=True,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S, "check_same_thread": False},
        hide_parameters=True,
    )
    event.listen(engine, "do_connect", _make_sqlite_file)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_sqlite_file(_dialect: object, _record: object, args: Any, _options: object) -> None:
    # SQLite would let everybody read a file that it makes. Its -wal and -shm files get the rights of
    # the database's own.
    name = str(args[0]) if args else ""
    if name and name != ":memory:" and not name.startswith("file:") and not Path(name).exists():
        with suppress(OSError):  # SQLite says in its own words what is amiss.
            private_files.make_file(Path(name))


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # _begin_sqlite begins transactions, so the driver must not.
    connection.isolation_level = None
    # For `lowered`: SQLite's own LOWER knows ASCII alone.
    connection.create_function("mirada_lower", 1, _lower, deterministic=True)
    # With FULL, unlike WAL's usual NORMAL, a power cut loses no upload that was answered 201 and
    # brings no deleted image back without its file.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once if another writer came
    # between, whatever the busy timeout is. So writers take the lock when they begin.
    options = connection.get_execution_options()
    if options.get("mirada_reads", False):
        return
    is_writer = options.get("mirada_writes", False)
    if is_writer:
        is_request = waits.hurry() is not None
        busy_s = SQLITE_BUSY_IN_REQUESTS_S if is_request else SQLITE_BUSY_TIMEOUT_S
        if connection.info.get("busy_s") != busy_s:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(busy_s * 1000)}")
            connection.info["busy_s"] = busy_s
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")


@dataclass(frozen=True, slots=True)
class Connections:
    """Numbers of connections to the database: in use, idle in the pool, and permitted in all."""

    in_use: int
    idle: int
    limit: int


class Database:
    """A database: transactions that write, and sessions that read. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        """Keep the engine; no connection is opened yet."""
        self.engine = engine
        self._writing_engine = engine.execution_options(mirada_writes=True)
        self._reading_engine = engine
        self._keeps_sessions = engine.dialect.name in READS_BY_STATEMENT
        if self._keeps_sessions:
            self._reading_engine = engine.execution_options(mirada_reads=True)
            event.listen(self._reading_engine, "before_cursor_execute", _refuse_to_write)
        # SQLite's writers wait for each other by sleeping up to 100 ms at a time. A lock lets writers
        # of this process wait without sleeping; writers of other processes still sleep.
        self._turn = threading.Lock() if engine.dialect.name == "sqlite" else None
        self.patience = Patience()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a Session that commits when the block ends and rolls back when it raises.

        The last statements before the commit advance the change counter for the rows noted by
        `changes.touch`. Afterwards `changes.committed_seq(session)` returns the number.

        Raises:
            Unavailable: the database cannot be reached, is locked, or ended a transaction by itself.
        """
        hurry = waits.hurry()
        if hurry is not None and isinstance(hurry.kept, ReadByRequest) and not hurry.kept.is_lent:
            # A request has one connection at a time.
            hurry.kept.close()
        with (
            self.patience.guarding(writes=True),
            self._writers_turn(),
            driver_errors_told(self.engine),
            Session(self._writing_engine, expire_on_commit=False) as session,
        ):
            yield session
            if session.info:
                changes.stamp(session)
            session.commit()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a Session for SELECTs.

        Every statement sees what was committed before it began, on all databases. The blocks of a
        request, one after another, share a connection. Nothing may be written.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with self.patience.guarding(writes=False), driver_errors_told(self.engine):
            kept = self._kept_by_request()
            with self._new_reader() if kept is None else kept.lent() as session:
                yield session

    def _new_reader(self) -> Session:
        return Session(self._reading_engine, expire_on_commit=False, autoflush=False)

    def _kept_by_request(self) -> ReadByRequest | None:
        """Return the session of this thread's request; None outside requests, or while it is lent."""
        hurry = waits.hurry()
        if hurry is None or not self._keeps_sessions:
            return None
        if hurry.kept is None:
            hurry.kept = ReadByRequest(self._new_reader(), self.is_crowded)
        kept = hurry.kept
        return (
            kept if isinstance(kept, ReadByRequest) and kept.serves(self._reading_engine) else None
        )

    def is_crowded(self) -> bool:
        """Return whether so many connections are taken that nobody should keep one for later."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedout() >= pool.size()

    @contextmanager
    def _writers_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        is_request = waits.hurry() is not None
        turn_s = SQLITE_BUSY_IN_REQUESTS_S if is_request else SQLITE_BUSY_TIMEOUT_S
        if not self._turn.acquire(timeout=turn_s):
            raise DatabaseBusy(errors.BUSY)
        try:
            yield
        finally:
            self._turn.release()

    def connections(self) -> Connections:
        """Return the connections of this process; the database is not asked."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        # `make_engine` permits as many connections again beyond the pool.
        return Connections(pool.checkedout(), pool.checkedin(), 2 * pool.size())

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _refuse_to_write(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
    # Without a transaction nothing would be rolled back.
    assert not statement.lstrip().upper().startswith(WRITES), "a session that reads was to write"


def count_changed(
    session: Session, statement: UpdateBase, values: Mapping[str, Any] | None = None
) -> int:
    """Run an UPDATE or DELETE and return its number of rows; objects of the session stay as they are."""
    result = session.execute(statement, values, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


@contextmanager
def driver_errors_told(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into errors of ours, except those that our own statement is to blame for."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        ours = errors.told(error, engine.url)
        if ours is None:
            raise
        raise ours from error
