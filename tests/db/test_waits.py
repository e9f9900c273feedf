"""Whoever asks a database that hangs or is locked: requests hear within 5 s, background work waits on."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pymysql.cursors import Cursor
from sqlalchemy import make_url, text

from mirada.db import waits
from mirada.db.session import Database, make_engine
from mirada.kernel.errors import Unavailable
from testing.outages import held
from testing.patience import Stopwatch, wait_until
from testing.proxy import proxied
from testing.servers.mariadb import MariaDbServer

HEARD_WITHIN_S = 5.0
AT_ONCE_S = 0.5


@contextmanager
def request() -> Iterator[None]:
    waits.begin_request()
    try:
        yield
    finally:
        waits.end_request()


def read(database: Database) -> int | None:
    with database.reading() as session:
        return session.scalar(text("SELECT 1"))


def heard_s(work: object, *arguments: object) -> float:
    """Return how many seconds a request takes to be told that the database is unavailable."""
    watch = Stopwatch()
    with request(), pytest.raises(Unavailable) as told:
        work(*arguments)  # type: ignore[operator]
    assert told.value.retry_after_s >= 1
    return watch.seconds


def assert_left_alone_after_two(work: object, *arguments: object) -> None:
    """Two requests wait in vain; those after them are told at once."""
    for _ in range(2):
        assert heard_s(work, *arguments) < HEARD_WITHIN_S
    assert heard_s(work, *arguments) < AT_ONCE_S


def works_again(database: Database) -> bool:
    with request(), suppress(Unavailable):
        return read(database) == 1
    return False


@pytest.mark.mariadb
def test_a_request_leaves_a_mariadb_that_hangs(mariadb: MariaDbServer) -> None:
    with mariadb.new_database() as name, proxied(mariadb.port) as proxy:
        url = make_url(mariadb.url(name)).set(port=proxy.port)
        database = Database(make_engine(url, 4))
        with request():
            assert read(database) == 1
        with proxy.frozen():
            # One meets a connection that is open, and pings it; the next ones open a new one.
            assert_left_alone_after_two(read, database)
            assert database.patience.is_in_trouble()
        wait_until(lambda: works_again(database), what="the breaker to close")
        database.close()


@pytest.mark.postgresql
def test_a_request_leaves_a_postgresql_that_hangs(postgresql_url: str) -> None:
    database = Database(make_engine(make_url(postgresql_url), 4))

    def hang_in_the_middle() -> None:
        with database.reading() as session:
            pid = session.scalar(text("SELECT pg_backend_pid()"))
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
            session.scalar(text("SELECT 2"))

    stopped: list[int] = []
    try:
        assert_left_alone_after_two(hang_in_the_middle)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: works_again(database), what="the breaker to close")
    database.close()


@pytest.mark.parametrize("backend", ["mysql+pymysql", "postgresql+psycopg"])
def test_a_server_that_accepts_and_never_greets_is_left_within_seconds(backend: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = make_url(f"{backend}://mirada:x@127.0.0.1:{silent.getsockname()[1]}/mirada")
        database = Database(make_engine(url, 2))
        assert_left_alone_after_two(read, database)
        database.close()


@pytest.mark.mariadb
@pytest.mark.parametrize(
    "statement",
    [
        "FLUSH TABLES WITH READ LOCK",
        "LOCK TABLES {0}.t WRITE",
        "LOCK TABLES {0}.t READ",
    ],
)
def test_a_request_leaves_tables_that_a_backup_locks(
    mariadb: MariaDbServer, statement: str
) -> None:
    with mariadb.new_database() as name:
        database = Database(make_engine(make_url(mariadb.url(name)), 4))
        with database.transaction() as session:
            session.execute(text("CREATE TABLE t (id INT PRIMARY KEY)"))

        def write() -> None:
            with database.transaction() as session:
                session.execute(text("INSERT INTO t VALUES (1)"))

        def look() -> None:
            with database.reading() as session:
                session.execute(text("SELECT * FROM t"))

        with held(mariadb, statement.format(name)):
            assert_left_alone_after_two(write)
            if "WRITE" in statement:
                assert heard_s(look) < HEARD_WITHIN_S
            else:
                watch = Stopwatch()
                with request():
                    look()
                assert watch.seconds < AT_ONCE_S
        database.close()


@pytest.mark.mariadb
def test_each_takes_its_own_limits_from_one_pool(mariadb: MariaDbServer) -> None:
    variables = "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout, @@max_statement_time"
    with mariadb.new_database() as name:
        database = Database(make_engine(make_url(mariadb.url(name)), 1))

        def limits() -> tuple[float, ...]:
            with database.reading() as session:
                found = session.execute(text(variables)).one()
                connection = session.connection().connection.dbapi_connection
                return (*map(float, found), connection._read_timeout)

        assert limits() == (15, 15, 0, 30)
        with request():
            assert limits() == (2, 2, 3.5, 4)
            with pytest.raises(Unavailable), database.reading() as session:
                session.execute(text("SELECT SLEEP(9)"))
        with waits.waiting_as(waits.MIGRATIONS):
            assert limits() == (15, 15, 0, 3600)
        database.close()


def test_a_request_leaves_a_sqlite_file_that_somebody_else_writes(tmp_path: Path) -> None:
    path = tmp_path / "mirada.db"
    database = Database(make_engine(make_url(f"sqlite:///{path}"), 4))
    with database.transaction() as session:
        session.execute(text("CREATE TABLE t (id INTEGER)"))

    def write() -> None:
        with database.transaction() as session:
            session.execute(text("INSERT INTO t VALUES (1)"))

    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert_left_alone_after_two(write)
    with request():
        assert read(database) == 1
    other.rollback()
    other.close()
    wait_until(lambda: not _refused(write), what="the breaker to close")
    database.close()


def _refused(write: object) -> bool:
    with request(), suppress(Unavailable):
        write()  # type: ignore[operator]
        return False
    return True


def test_a_request_that_waited_in_vain_waits_no_second_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = make_url(f"mysql+pymysql://m:x@127.0.0.1:{silent.getsockname()[1]}/mirada")
        database = Database(make_engine(url, 2))
        with request():
            with pytest.raises(Unavailable):
                read(database)
            watch = Stopwatch()
            with pytest.raises(Unavailable), database.transaction():
                pass
            assert watch.seconds < AT_ONCE_S
        database.close()


def test_what_other_threads_do_is_no_request() -> None:
    with request():
        seen: list[object] = []
        thread = threading.Thread(target=lambda: seen.append((waits.hurry(), waits.current())))
        thread.start()
        thread.join()
        assert seen == [(None, waits.WORK)]
        assert waits.current() is waits.REQUESTS


@pytest.mark.mariadb
def test_a_server_without_one_of_the_limits_keeps_the_others(
    mariadb: MariaDbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = Cursor.execute

    def execute_elsewhere(cursor: Cursor, query: str, args: object = None) -> int:
        renamed = query.replace(" lock_wait_timeout", " lock_wait_timeout_of_elsewhere")
        return int(execute(cursor, renamed, args))

    with mariadb.new_database() as name, monkeypatch.context() as elsewhere:
        elsewhere.setattr(Cursor, "execute", execute_elsewhere)
        database = Database(make_engine(make_url(mariadb.url(name)), 1))
        with request(), database.reading() as session:
            assert session.scalar(text("SELECT @@innodb_lock_wait_timeout")) == 2
        database.close()
