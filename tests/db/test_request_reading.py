"""A request reads with one session and one connection, and sends nothing that asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.engine import make_url

from mirada.db import waits
from mirada.db.models import User
from mirada.db.session import Database, make_engine
from testing.round_trips import counted
from testing.servers.mariadb import MariaDbServer


@contextmanager
def request() -> Iterator[None]:
    waits.begin_request()
    try:
        yield
    finally:
        waits.end_request()


def name_of(database: Database) -> str | None:
    with database.reading() as session:
        return session.scalar(select(User.username).where(User.id == 1))


def make_user(database: Database, name: str) -> None:
    with database.transaction() as session:
        session.execute(insert(User).values(id=1, username=name))


def taken(database: Database) -> int:
    return database.connections().in_use


@pytest.mark.mariadb
def test_a_request_that_reads_sends_its_statements_alone(mariadb_database: Database) -> None:
    make_user(mariadb_database, "ana")
    with request():
        name_of(mariadb_database)
    with counted() as sent, request():
        for _ in range(3):
            assert name_of(mariadb_database) == "ana"
        assert taken(mariadb_database) == 1
    assert len(sent) == 3, sent
    assert all(each.startswith("SELECT") for each in sent)
    assert taken(mariadb_database) == 0


@pytest.mark.mariadb
def test_a_transaction_is_begun_and_ended_and_nothing_else(mariadb_database: Database) -> None:
    make_user(mariadb_database, "ana")
    with counted() as sent, mariadb_database.transaction() as session:
        session.execute(update(User).values(username="bea"))
    assert [each.split()[0] for each in sent] == ["BEGIN", "UPDATE", "COMMIT"]
    with counted() as sent, suppress(ZeroDivisionError), mariadb_database.transaction() as session:
        session.execute(update(User).values(username="eva"))
        raise ZeroDivisionError
    assert [each.split()[0] for each in sent] == ["BEGIN", "UPDATE", "ROLLBACK"]
    assert name_of(mariadb_database) == "bea"


def test_a_request_reads_what_was_committed_meanwhile(database: Database) -> None:
    make_user(database, "ana")
    with request():
        with database.reading() as session:
            before = session.get_one(User, 1)
        with database.transaction() as session:
            session.execute(update(User).values(username="bea"))
        with database.reading() as session:
            after = session.get_one(User, 1)
    assert (before.username, after.username) == ("ana", "bea")


def test_statements_of_one_block_see_what_was_committed_between_them(database: Database) -> None:
    make_user(database, "ana")
    name = select(User.username)
    with database.reading() as session:
        assert session.scalar(name) == "ana"
        with database.transaction() as writing:
            writing.execute(update(User).values(username="bea"))
        assert session.scalar(name) == "bea"


def test_a_block_within_another_has_a_session_of_its_own(database: Database) -> None:
    make_user(database, "ana")
    with request(), database.reading() as outer:
        user = outer.get_one(User, 1)
        with database.reading() as inner:
            assert inner is not outer
            assert inner.get_one(User, 1) is not user
        # What the outer one has loaded is still its own.
        assert user in outer


def test_a_request_that_writes_has_one_connection_at_a_time(database: Database) -> None:
    make_user(database, "ana")
    with request():
        name_of(database)
        with database.transaction() as session:
            session.execute(update(User).values(username="bea"))
            assert taken(database) == 1
        assert name_of(database) == "bea"


def test_a_session_that_reads_refuses_to_write(database: Database) -> None:
    make_user(database, "ana")
    with pytest.raises(AssertionError), database.reading() as session:
        session.execute(update(User).values(username="bea"))
    with database.reading() as session:
        session.get_one(User, 1).username = "bea"
        session.scalar(select(User.username))
    assert name_of(database) == "ana"


@pytest.mark.mariadb
def test_a_request_keeps_no_connection_that_others_wait_for(
    mariadb: MariaDbServer, migrated_mariadb_url: str
) -> None:
    database = Database(make_engine(make_url(migrated_mariadb_url), 1))
    make_user(database, "ana")
    with request():
        assert name_of(database) == "ana"
        assert taken(database) == 0
    database.close()


@pytest.mark.mariadb
@pytest.mark.parametrize("writes", [False, True], ids=["reading", "writing"])
def test_a_connection_that_the_server_closed_is_no_error(
    mariadb: MariaDbServer, mariadb_database: Database, writes: bool
) -> None:
    make_user(mariadb_database, "ana")

    def ask() -> int | None:
        with mariadb_database.transaction() if writes else mariadb_database.reading() as session:
            return session.scalar(text("SELECT CONNECTION_ID()"))

    with request():
        first = ask()
    mariadb.execute(f"KILL {first}")
    with request():
        assert ask() != first


@pytest.mark.mariadb
def test_a_connection_that_rested_is_asked_whether_it_lives(
    mariadb_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user(mariadb_database, "ana")
    monkeypatch.setattr(waits, "FRESH_S", 0.0)
    with counted() as sent, request():
        name_of(mariadb_database)
        name_of(mariadb_database)
    # COM_PING is 14.
    assert [each.split()[0] for each in sent if "SET" not in each] == ["command", "SELECT"] * 2
    assert "command 14" in sent
