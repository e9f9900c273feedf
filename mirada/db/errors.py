"""Errors of the three drivers as errors of ours: what happened, and who can do something about it.

An outage ends by itself, and the same request may work later. A busy database undid the transaction, which
can be run again. A refusal stays until the database's operator changes something; the sentence says what.
"""

from __future__ import annotations

import re

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mirada.kernel.commands import command_line
from mirada.kernel.errors import (
    DatabaseAway,
    DatabaseBusy,
    DatabaseRefused,
    Deadlock,
    StorageFull,
    Unavailable,
)

AWAY = "The database cannot be reached just now; try again shortly."
LOST = "The database connection was lost; try again shortly."
BUSY = "The database is busy writing; try again shortly."
FULL = "The disk of the database is full; make room and try again."
NO_CONNECTION_LEFT = "The database accepts no more connections just now; try again shortly."
READ_ONLY = (
    "The database server is read-only just now, as a replica is; try again shortly, or connect to the "
    "server that may be written to."
)
TOO_SLOW = "The database took too long and was told to stop; try again shortly."
LOGIN = (
    "The database refuses the user or the password: check DB_USER and DB_PASSWORD, or DATABASE_URL."
)
LOGIN_METHOD = (
    "The database wants another way to log in: check what the user is IDENTIFIED VIA, and whether the "
    "server demands TLS (?ssl_ca= in DATABASE_URL)."
)
HOST = (
    "The database accepts no connection from this machine: an administrator has to permit this host, or "
    "to run FLUSH HOSTS after many failed attempts."
)
NO_DATABASE = (
    "The server has no database of that name: check DB_NAME or DATABASE_URL, or create it as "
    "docs/mysql.md says."
)
NO_RIGHT = (
    "The database's user may not do what Mirada needs: an administrator has to GRANT it, as docs/mysql.md "
    "says."
)
NOT_UNDERSTOOD = (
    "The database server does not understand a statement of Mirada's: docs/mysql.md says which servers "
    "do."
)
OTHER_TABLES = "The tables are not those of this version"
PACKET = (
    "The database server refuses statements of this size: raise max_allowed_packet to 16M or more."
)
FILE = (
    "The database file cannot be opened for writing; check that its folder and its file exist and belong "
    "to the user who runs this, and that the disk is not read-only."
)
NO_DATABASE_FILE = (
    "The database file is damaged or is none of SQLite: restore it from a backup, or move it away."
)

OUTAGES = frozenset({0, 1053, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2055})
"""MySQL's codes of a server that is away, going away, or not heard of any more; 0 is PyMySQL's own."""
CONNECTIONS = frozenset({1040, 1203, 1226})
READ_ONLY_CODES = frozenset({1290, 1792, 1836})
DISK = frozenset({1021, 1114, 3675})
SLOW = frozenset({1317, 1969, 3024})
DEADLOCKS = frozenset({1020, 1213})
"""1020: MariaDB, the row has changed since it was read. 1213: InnoDB, two waited for each other."""
LOCK_WAITS = frozenset({1205, 3572})
REFUSALS = {
    **dict.fromkeys((1045, 1698, 1820, 1862, 3118, 3955), LOGIN),
    **dict.fromkeys((1251, 2026, 2059, 2061, 3159), LOGIN_METHOD),
    **dict.fromkeys((1129, 1130), HOST),
    1049: NO_DATABASE,
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370, 1410), NO_RIGHT),
    **dict.fromkeys((1064, 1071, 1118, 1193, 1231, 1232, 1235, 1286, 1305), NOT_UNDERSTOOD),
    1153: PACKET,
}

_POSTGRESQL: tuple[tuple[str, type[Unavailable], str], ...] = (
    ("40001|40P01", Deadlock, BUSY),
    ("55P03", DatabaseBusy, BUSY),
    ("57014", Unavailable, TOO_SLOW),
    ("53100", StorageFull, FULL),
    ("53.*", Unavailable, NO_CONNECTION_LEFT),
    ("08.*|57P0[1-5]", Unavailable, AWAY),
    ("25006", Unavailable, READ_ONLY),
    ("28.*", DatabaseRefused, LOGIN),
    ("3D000", DatabaseRefused, NO_DATABASE),
    ("42501", DatabaseRefused, NO_RIGHT),
)
"""By SQLSTATE (PostgreSQL manual, appendix A); the first that fits."""
_POSTGRESQL_FATAL: tuple[tuple[str, type[Unavailable], str], ...] = (
    ("starting up|shutting down|recovery", Unavailable, AWAY),
    ("too many clients|connection slots", Unavailable, NO_CONNECTION_LEFT),
    ("authentication failed|no password supplied|role .* does not exist", DatabaseRefused, LOGIN),
    ("database .* does not exist", DatabaseRefused, NO_DATABASE),
    ("permission denied", DatabaseRefused, NO_RIGHT),
    ("pg_hba.conf", DatabaseRefused, HOST),
)
"""By the words of a refused connection, for which the driver has no SQLSTATE."""


CAUSES = (
    ("refused", "the connection was refused, so no database server listens there"),
    (
        "name or service|name resolution|resolve host|nodename|no address associated",
        "the name of the host is unknown",
    ),
    ("timed out|timeout expired", "no answer came in time"),
    ("unreachable|no route", "no way in the network leads there"),
    ("no such file", "there is no such socket"),
)
"""What the drivers say of a connection that did not come about, in words; the first that fits."""
BROKEN_OFF = "the connection broke off"
PORTS = {"mysql": 3306, "mariadb": 3306, "postgresql": 5432}


def told(error: DBAPIError | PoolTimeout, url: URL | None = None) -> Unavailable | None:
    """Return the error of ours for a driver's; None where our own statement is at fault.

    A DatabaseRefused keeps the server's words in `said`, for the operator alone: the sentence itself
    may reach any client. So does a DatabaseAway with the address.

    Args:
        error: the driver's.
        url: of the database; without it no address is named.
    """
    found = _told(error)
    if url is None or found is None or found.detail != AWAY:
        return found
    said = str(getattr(error, "orig", error)).lower()
    why = next((words for pattern, words in CAUSES if re.search(pattern, said)), BROKEN_OFF)
    return DatabaseAway(AWAY, where=_where(url), why=why)


def _where(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("unix_socket") or url.query.get("host") or "this machine"
    return f"{host}:{url.port or PORTS[url.get_backend_name()]}"


def _told(error: DBAPIError | PoolTimeout) -> Unavailable | None:
    if isinstance(error, PoolTimeout):
        return Unavailable("All database connections are busy; try again shortly.")
    original = error.orig
    if _is_table_missing(original):
        # A database that starts after the server is migrated within a few seconds.
        return Unavailable(
            "The database has no tables yet: start the server, which makes them, or run: "
            + command_line("db upgrade")
        )
    found = _of_driver(original)
    if found is not None:
        return found
    if error.connection_invalidated:
        return Unavailable(LOST)
    if isinstance(error, (OperationalError, InterfaceError)):
        code = _code(original)
        named = f" (error {code})" if code else ""
        return DatabaseRefused(
            f"The database refused a statement{named}; the log has its reason.", said=str(original)
        )
    return None


def _of_driver(original: BaseException | None) -> Unavailable | None:
    name = getattr(original, "sqlite_errorname", None)
    if name is not None:
        return _of_sqlite(str(name), str(original))
    code = _code(original)
    if code is not None:
        return _of_mysql(code, str(original))
    # PyMySQL's errors have a state as well, and a number, which says more.
    if not hasattr(original, "sqlstate"):
        return None
    return _of_postgresql(getattr(original, "sqlstate", None), str(original))


def _of_sqlite(name: str, said: str) -> Unavailable | None:
    if name == "SQLITE_FULL":
        return StorageFull(FULL)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return DatabaseRefused(FILE, said=said)
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return DatabaseRefused(NO_DATABASE_FILE, said=said)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return DatabaseBusy(BUSY)
    if name.startswith("SQLITE_IOERR"):
        return Unavailable(AWAY)
    return None


def _of_postgresql(state: str | None, said: str) -> Unavailable | None:
    if state is None:
        for words, kind, sentence in _POSTGRESQL_FATAL:
            if "FATAL" in said and re.search(words, said):
                return _made(kind, sentence, said)
        # psycopg without a state: the connection did not come about, or broke.
        return Unavailable(AWAY)
    for pattern, kind, sentence in _POSTGRESQL:
        if re.fullmatch(pattern, state):
            return _made(kind, sentence, said)
    return None


def _of_mysql(code: int, said: str) -> Unavailable | None:
    if code in DEADLOCKS:
        return Deadlock(BUSY)
    if code in LOCK_WAITS:
        return DatabaseBusy(BUSY)
    if code in REFUSALS:
        return DatabaseRefused(REFUSALS[code], said=said)
    if code == 1054:
        return DatabaseRefused(f"{OTHER_TABLES}; run: {command_line('db upgrade')}", said=said)
    if code in DISK:
        return StorageFull(FULL)
    for codes, sentence in (
        (CONNECTIONS, NO_CONNECTION_LEFT),
        (READ_ONLY_CODES, READ_ONLY),
        (SLOW, TOO_SLOW),
        (OUTAGES, AWAY),
    ):
        if code in codes:
            return Unavailable(sentence)
    return None


def _made(kind: type[Unavailable], sentence: str, said: str) -> Unavailable:
    if issubclass(kind, DatabaseRefused):
        return kind(sentence, said=said)
    return kind(sentence)


def _code(original: BaseException | None) -> int | None:
    """Return MySQL's number of an error; None for other drivers."""
    code = original.args[0] if original is not None and original.args else None
    return code if isinstance(code, int) else None


def _is_table_missing(original: BaseException | None) -> bool:
    """Return whether a table is missing: MySQL's 1146, PostgreSQL's 42P01, SQLite's message."""
    return (
        _code(original) == 1146
        or getattr(original, "sqlstate", None) == "42P01"
        or str(original).startswith("no such table")
    )
