"""What each driver says becomes an outage, a busy database, a refusal, or stays our own fault."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)

from mirada.db import errors
from mirada.db.session import Database, make_engine
from mirada.kernel.errors import (
    DatabaseAway,
    DatabaseBusy,
    DatabaseRefused,
    Deadlock,
    StorageFull,
    Unavailable,
)
from testing.servers.mariadb import MariaDbServer


def of_mysql(code: int, kind: type[DBAPIError] = OperationalError) -> Unavailable | None:
    return errors.told(kind("SELECT 1", {}, pymysql.err.OperationalError(code, "ana@10.0.0.1")))


@pytest.mark.parametrize(
    ("codes", "kind", "said"),
    [
        ((2002, 2003, 2006, 2013, 0, 1053, 1927), Unavailable, "cannot be reached"),
        ((1040, 1203, 1226), Unavailable, "no more connections"),
        ((1290, 1792, 1836), Unavailable, "read-only"),
        ((1969, 3024, 1317), Unavailable, "took too long"),
        ((1213, 1020), Deadlock, "busy"),
        ((1205, 3572), DatabaseBusy, "busy"),
        ((1021, 1114), StorageFull, "make room"),
        ((1045, 1698), DatabaseRefused, "DB_USER and DB_PASSWORD"),
        ((2059, 2061, 1251, 3159), DatabaseRefused, "another way to log in"),
        ((1129, 1130), DatabaseRefused, "this machine"),
        ((1049,), DatabaseRefused, "DB_NAME"),
        ((1044, 1142, 1143, 1227), DatabaseRefused, "GRANT"),
        ((1193, 1231, 1064), DatabaseRefused, "docs/mysql.md says which servers"),
        ((1153,), DatabaseRefused, "max_allowed_packet"),
        ((1054,), DatabaseRefused, "db upgrade"),
        ((1234, 9999), DatabaseRefused, "refused a statement.*error"),
    ],
)
def test_mysqls_codes_are_told_apart(
    codes: tuple[int, ...], kind: type[Unavailable], said: str
) -> None:
    for code in codes:
        found = of_mysql(code)
        assert type(found) is kind, code
        with pytest.raises(kind, match=said):
            raise found
        # Who logged in from where is for the operator, not for any client.
        assert "ana@" not in found.detail
        if isinstance(found, DatabaseRefused):
            assert "ana@10.0.0.1" in found.for_operator


@pytest.mark.parametrize(
    ("original", "url", "said"),
    [
        (
            pymysql.err.OperationalError(2003, "on 'db' ([Errno -2] Name or service not known)"),
            "mysql+pymysql://ana:sesame@db/d",
            "The database at db:3306 cannot be reached: the name of the host is unknown.",
        ),
        (
            pymysql.err.OperationalError(2003, "on 'db' (timed out)"),
            "mysql+pymysql://ana:sesame@db:3307/d",
            "The database at db:3307 cannot be reached: no answer came in time.",
        ),
        (
            pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query"),
            "mysql+pymysql://ana:sesame@db/d",
            "The database at db:3306 cannot be reached: the connection broke off.",
        ),
        (
            psycopg.OperationalError("failed to resolve host 'db': [Errno -2] Name or service"),
            "postgresql+psycopg://ana:sesame@db/d",
            "The database at db:5432 cannot be reached: the name of the host is unknown.",
        ),
        (
            psycopg.OperationalError("connection timeout expired"),
            "postgresql+psycopg://ana:sesame@db/d",
            "The database at db:5432 cannot be reached: no answer came in time.",
        ),
    ],
)
def test_an_outage_is_told_with_its_address_and_cause_to_operators_alone(
    original: Exception, url: str, said: str
) -> None:
    found = errors.told(OperationalError("SELECT 1", {}, original), make_url(url))
    assert isinstance(found, DatabaseAway)
    assert (str(found), found.for_operator) == (said, said)
    assert found.detail == errors.AWAY


@pytest.mark.parametrize("code", [1064, 1193, 1305])
def test_a_refusal_is_one_whatever_class_the_driver_gives_it(code: int) -> None:
    assert isinstance(of_mysql(code, ProgrammingError), DatabaseRefused)


def test_a_statement_of_ours_that_is_wrong_is_nobody_elses_fault() -> None:
    assert of_mysql(1062, IntegrityError) is None
    assert of_mysql(1406, DBAPIError) is None


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40P01", Deadlock),
        ("40001", Deadlock),
        ("55P03", DatabaseBusy),
        ("57014", Unavailable),
        ("57P01", Unavailable),
        ("53300", Unavailable),
        ("53100", StorageFull),
        ("28P01", DatabaseRefused),
        ("3D000", DatabaseRefused),
        ("42501", DatabaseRefused),
        ("42601", None),
    ],
)
def test_postgresqls_states_are_told_apart(state: str, kind: type[Unavailable] | None) -> None:
    class Error(psycopg.Error):
        sqlstate = state

    found = errors.told(DBAPIError("SELECT 1", {}, Error("no")))
    assert (type(found) if found else None) is kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('FATAL:  password authentication failed for user "ana"', DatabaseRefused),
        ('FATAL:  database "d" does not exist', DatabaseRefused),
        ("FATAL:  no pg_hba.conf entry for host", DatabaseRefused),
        ("FATAL:  sorry, too many clients already", Unavailable),
        ("FATAL:  the database system is starting up", Unavailable),
        ("connection refused", Unavailable),
    ],
)
def test_a_connection_that_postgresql_refuses_is_told_by_its_words(
    said: str, kind: type[Unavailable]
) -> None:
    error = OperationalError("", {}, psycopg.OperationalError(said))
    assert type(errors.told(error)) is kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_BUSY_SNAPSHOT", DatabaseBusy),
        ("SQLITE_LOCKED", DatabaseBusy),
        ("SQLITE_FULL", StorageFull),
        ("SQLITE_READONLY_DIRECTORY", DatabaseRefused),
        ("SQLITE_CANTOPEN", DatabaseRefused),
        ("SQLITE_NOTADB", DatabaseRefused),
        ("SQLITE_IOERR_READ", Unavailable),
        ("SQLITE_CONSTRAINT", None),
    ],
)
def test_sqlites_names_are_told_apart(name: str, kind: type[Unavailable] | None) -> None:
    original = sqlite3.Error("no")
    original.sqlite_errorname = name
    found = errors.told(DBAPIError("SELECT 1", {}, original))
    assert (type(found) if found else None) is kind


def test_a_connection_that_is_closed_is_an_outage() -> None:
    error = InterfaceError("", {}, pymysql.err.InterfaceError(0, ""))
    assert type(errors.told(error)) is Unavailable


def tried(url: str, statement: str = "SELECT 1") -> Any:
    database = Database(make_engine(make_url(url), 1))
    try:
        with database.reading() as session:
            session.execute(text(statement))
    except Unavailable as error:
        return error
    finally:
        database.close()
    return None


@pytest.mark.mariadb
def test_what_a_real_server_refuses_is_told(mariadb: MariaDbServer, mariadb_url: str) -> None:
    wrong_password = tried(mariadb_url.replace("for-tests-only", "sesame"))
    no_database = tried(mariadb.url("nowhere"))
    no_variable = tried(mariadb_url, "SET SESSION no_such_variable = 1")
    nonsense = tried(mariadb_url, "SELEKT 1")
    away = tried(mariadb_url.replace(str(mariadb.port), "1"))

    for refused, said in (
        (wrong_password, "DB_PASSWORD"),
        (no_database, "DB_NAME"),
        (no_variable, "docs/mysql.md"),
        (nonsense, "docs/mysql.md"),
    ):
        assert isinstance(refused, DatabaseRefused)
        assert said in refused.detail
        assert "sesame" not in refused.for_operator
    assert isinstance(away, DatabaseAway)
    assert ":1 cannot be reached: the connection was refused" in away.for_operator
