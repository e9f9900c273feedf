"""A look at the database before its first change: what cannot go well is said, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, String, column, inspect, select, table, text
from sqlalchemy.exc import DBAPIError

from mirada.db.models import Base
from mirada.db.names import PREFIX, VERSION_TABLE
from mirada.kernel.errors import DatabaseRefused

NOWHERE = f"{PREFIX}no_such_table"
MYSQL_RIGHTS = {
    "SELECT": f"SELECT 1 FROM {NOWHERE}",  # noqa: S608 - a constant
    "INSERT": f"INSERT INTO {NOWHERE} VALUES (1)",  # noqa: S608 - likewise
    "UPDATE": f"UPDATE {NOWHERE} SET id = 1",  # noqa: S608 - likewise
    "DELETE": f"DELETE FROM {NOWHERE}",  # noqa: S608 - likewise
    "CREATE": f"CREATE TABLE {NOWHERE} LIKE {NOWHERE}_either",
    "ALTER": f"ALTER TABLE {NOWHERE} ADD COLUMN a INTEGER",
    "INDEX": f"CREATE INDEX {NOWHERE} ON {NOWHERE} (a)",
    "DROP": f"DROP TABLE {NOWHERE}",
    "REFERENCES": (
        f"CREATE TABLE {NOWHERE} (id INTEGER PRIMARY KEY, "
        f"FOREIGN KEY (id) REFERENCES {NOWHERE}_either (id)) ENGINE=InnoDB"
    ),
}
"""A statement for each right that is needed. None can do anything, because there is no such table; the server
looks at the rights first, and so its answer tells whether they are there."""
FORMER_COLUMNS = {f"{PREFIX}installation": {"secret_key"}}
"""Columns that a migration made and a later one dropped: by them, too, a table is known as ours."""
MYSQL_DENIED = frozenset({1044, 1142, 1143, 1227, 1370})


def current_revision(connection: Connection) -> str | None:
    """Return the migration that this database is at; None where there is none, or more than one."""
    if not inspect(connection).has_table(VERSION_TABLE) or not _is_version_table(connection):
        return None
    versions = table(VERSION_TABLE, column("version_num", String))
    found = connection.execute(select(versions.c.version_num)).scalars().all()
    return found[0] if len(found) == 1 else None


def refuse_tables_of_others(connection: Connection, known_revisions: Iterable[str]) -> None:
    """Refuse to go on where names of ours are taken; changes nothing.

    Where a first migration was cut short its tables look like ours and are empty: it goes on from there.

    Args:
        connection: to the database, under the migrations' lock.
        known_revisions: of the migrations that this version has.

    Raises:
        DatabaseRefused: the sentence says what is in the way and what to do.
    """
    present = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in present or _known_revision(connection, set(known_revisions)) is None:
        _refuse_other_tables(connection, present)


def _known_revision(connection: Connection, known: set[str]) -> str | None:
    if not _is_version_table(connection):
        raise DatabaseRefused(
            f"The database has a table {VERSION_TABLE} that is not Mirada's; nothing was changed. Rename "
            "it, or give Mirada a database of its own."
        )
    revision = current_revision(connection)
    if revision is not None and revision not in known:
        raise DatabaseRefused(
            f"The tables were made by another version of Mirada (migration {revision}, which this one "
            "does not know); nothing was changed. Start that version, or a newer one."
        )
    return revision


def _is_version_table(connection: Connection) -> bool:
    columns = inspect(connection).get_columns(VERSION_TABLE)
    return [found["name"] for found in columns] == ["version_num"]


def _refuse_other_tables(connection: Connection, present: set[str]) -> None:
    inspector = inspect(connection)
    taken = sorted(present & set(Base.metadata.tables))
    foreign = [
        name
        for name in taken
        if not {found["name"] for found in inspector.get_columns(name)}
        <= {*Base.metadata.tables[name].columns.keys(), *FORMER_COLUMNS.get(name, ())}
    ]
    if foreign:
        raise DatabaseRefused(
            f"The database has tables with names of Mirada's that are not its own: {_listed(foreign)}; "
            "nothing was changed. Rename them, or give Mirada a database of its own."
        )
    filled = [
        name
        for name in taken
        if connection.execute(select(text("1")).select_from(table(name)).limit(1)).first()
    ]
    if filled:
        raise DatabaseRefused(
            f"The database has tables of Mirada's with rows ({_listed(filled)}) and no word in "
            f"{VERSION_TABLE} of which version made them; nothing was changed. Restore that table from "
            "the backup as well."
        )


def refuse_missing_rights(connection: Connection) -> None:
    """Raise DatabaseRefused where the database's user lacks a right that migrations or the service need."""
    if connection.dialect.name in ("mysql", "mariadb"):
        denied = _denied_by_mysql(connection)
    elif connection.dialect.name == "postgresql":
        denied = _denied_by_postgresql(connection)
    else:
        return
    if denied:
        rights = ", ".join(denied)
        raise DatabaseRefused(
            f"The database's user may not {rights} in this database; nothing was changed. An "
            f"administrator has to GRANT {rights}, as docs/mysql.md says."
        )


def _denied_by_mysql(connection: Connection) -> list[str]:
    connection.execute(text("SET SESSION foreign_key_checks = 1"))
    denied = []
    for right, statement in MYSQL_RIGHTS.items():
        try:
            connection.execute(text(statement))
        except DBAPIError as error:
            code = error.orig.args[0] if error.orig is not None and error.orig.args else None
            if code in MYSQL_DENIED:
                denied.append(right)
            if error.connection_invalidated:
                raise
    return denied


def _denied_by_postgresql(connection: Connection) -> list[str]:
    may_create = connection.execute(
        text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
    ).scalar()
    return [] if may_create else ["CREATE"]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
