"""Gives the tables of an installation from before the prefix their names of today, once and without loss.

MySQL commits every statement that changes a table. So each step leaves alone what is done already, and
the version table, by which such an installation is known, is renamed last: a move that was cut short is
finished by the next start. The other engines move in one transaction.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Inspector, String, column, inspect, select, table, text

from mirada.db.names import PREFIX, VERSION_TABLE

logger = logging.getLogger(__name__)
OLD_VERSION_TABLE = "alembic_version"
OLD_TABLES = {
    "0001": "api_keys change_counter contents embedding_spaces embeddings idempotency_keys images "
    "index_snapshots installation jobs leases users",
    "0002": "classified_pictures cluster_members cluster_runs clusters feedback label_expansions "
    "label_vectors labels",
    "0003": "comments likes styles text_contents text_embeddings",
    "0004": "language_model_calls spending_days",
    "0005": "",
    "0006": "captions",
    "0007": "",
}
"""The migrations that were released with names without a prefix, and the tables that each made."""
TELLING_COLUMNS = {
    "installation": {"id", "db_epoch", "tombstone_floor", "secret_key"},
    "change_counter": {"id", "v"},
    "embeddings": {"space_id", "content_id", "vector", "crc32", "change_seq"},
}
"""Columns by which the tables are known as ours: another application may number its migrations alike."""
OLD_SQLITE_WORDS = "image_words"


def carry_over(connection: Connection) -> bool:
    """Rename the tables of an older installation; return whether there was one.

    The caller holds the migration's lock, and commits.
    """
    inspector = inspect(connection)
    ours = tables_without_prefix(connection, inspector)
    if not ours:
        return False
    present = set(inspector.get_table_names())
    logger.info("The tables of this database get names that begin with %s.", PREFIX)
    match connection.dialect.name:
        case "sqlite":
            _on_sqlite(connection, [name for name in ours if name in present], ours)
        case "postgresql":
            _on_postgresql(connection, [name for name in ours if name in present], ours)
        case _:
            _on_mysql(connection, [name for name in ours if name in present], ours)
    return True


def tables_without_prefix(connection: Connection, inspector: Inspector) -> list[str]:
    """Return the tables that an installation from before the prefix made; [] where there is none.

    Where a move was cut short some of them bear their new names already.
    """
    present = set(inspector.get_table_names())
    if OLD_VERSION_TABLE not in present or VERSION_TABLE in present:
        return []
    if [found["name"] for found in inspector.get_columns(OLD_VERSION_TABLE)] != ["version_num"]:
        return []
    versions = table(OLD_VERSION_TABLE, column("version_num", String))
    revisions = connection.execute(select(versions.c.version_num)).scalars().all()
    if len(revisions) != 1 or revisions[0] not in OLD_TABLES:
        return []
    made = [made for revision, made in OLD_TABLES.items() if revision <= revisions[0]]
    ours = sorted(" ".join(made).split())
    names = {name: name if name in present else PREFIX + name for name in ours}
    if not present.issuperset(names.values()):
        return []
    for name, telling in TELLING_COLUMNS.items():
        if not telling <= {found["name"] for found in inspector.get_columns(names[name])}:
            return []
    return ours


def _new_name(table: str, name: str | None) -> str | None:
    """Return the name of today of an index or constraint of a table; None if it is to stay."""
    found = re.fullmatch(rf"(pk|uq|ix|fk|ck)_({table}(?:_.*)?)", name or "")
    return f"{found[1]}_{PREFIX}{found[2]}" if found else None


def _renamed(table: str, names: Iterator[str | None]) -> list[tuple[str, str]]:
    return [(name, new) for name in names if name and (new := _new_name(table, name))]


def _on_mysql(connection: Connection, unnamed: list[str], ours: list[str]) -> None:
    def run(statement: str) -> None:
        connection.execute(text(statement))

    if unnamed:
        # One statement, which the server does whole or not at all.
        run("RENAME TABLE " + ", ".join(f"`{name}` TO `{PREFIX}{name}`" for name in unnamed))
    inspector = inspect(connection)
    for name in ours:
        table = PREFIX + name
        indexes = _renamed(name, (index["name"] for index in inspector.get_indexes(table)))
        if indexes:
            changes = ", ".join(f"RENAME INDEX `{old}` TO `{new}`" for old, new in indexes)
            run(f"ALTER TABLE `{table}` {changes}")
        changes = ", ".join(_mysql_foreign_keys(name, inspector.get_foreign_keys(table)))
        if changes:
            # Unchecked, a foreign key is made at once and not by copying the table. No row is written
            # meanwhile that the old one would have refused: the table is locked.
            run("SET SESSION foreign_key_checks = 0")
            run(f"ALTER TABLE `{table}` {changes}")
            run("SET SESSION foreign_key_checks = 1")
    run(f"RENAME TABLE `{OLD_VERSION_TABLE}` TO `{VERSION_TABLE}`")


def _mysql_foreign_keys(table: str, keys: list[Any]) -> Iterator[str]:
    for key in keys:
        new = _new_name(table, key["name"])
        if new is None:
            continue
        yield f"DROP FOREIGN KEY `{key['name']}`"
        columns = ", ".join(f"`{column}`" for column in key["constrained_columns"])
        targets = ", ".join(f"`{column}`" for column in key["referred_columns"])
        on_delete = key["options"].get("ondelete")
        yield (
            f"ADD CONSTRAINT `{new}` FOREIGN KEY ({columns}) "
            f"REFERENCES `{key['referred_table']}` ({targets})"
            + (f" ON DELETE {on_delete}" if on_delete else "")
        )


def _on_postgresql(connection: Connection, unnamed: list[str], ours: list[str]) -> None:
    def run(statement: str, **values: str) -> Any:
        return connection.execute(text(statement), values)

    for name in unnamed:
        run(f'ALTER TABLE "{name}" RENAME TO "{PREFIX}{name}"')
    for name in ours:
        table = PREFIX + name
        constraints = run(
            "SELECT conname FROM pg_constraint WHERE conrelid = CAST(:name AS regclass)", name=table
        ).scalars()
        for old, new in _renamed(name, constraints):
            run(f'ALTER TABLE "{table}" RENAME CONSTRAINT "{old}" TO "{new}"')
        indexes = run(
            "SELECT indexname FROM pg_indexes "
            "WHERE schemaname = current_schema() AND tablename = :name",
            name=table,
        ).scalars()
        for old, new in _renamed(name, indexes):
            run(f'ALTER INDEX "{old}" RENAME TO "{new}"')
        sequences = run(
            "SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid "
            "WHERE c.relkind = 'S' AND d.refobjid = CAST(:name AS regclass)",
            name=table,
        ).scalars()
        for sequence in [found for found in sequences if found.startswith(f"{name}_")]:
            run(f'ALTER SEQUENCE "{sequence}" RENAME TO "{PREFIX}{sequence}"')
    run(f'ALTER TABLE "{OLD_VERSION_TABLE}" RENAME TO "{VERSION_TABLE}"')
    run(
        f'ALTER TABLE "{VERSION_TABLE}" RENAME CONSTRAINT "{OLD_VERSION_TABLE}_pkc" '
        f'TO "{VERSION_TABLE}_pkc"'
    )


def _on_sqlite(connection: Connection, unnamed: list[str], ours: list[str]) -> None:
    run = connection.exec_driver_sql
    # The full text of before is not used any more. Its triggers would stop the renaming.
    which = "name LIKE 'image\\_words%' ESCAPE '\\'"
    for name, _ in _sqlite_definitions(connection, which, "trigger"):
        run(f"DROP TRIGGER {name}")
    run(f"DROP TABLE IF EXISTS {OLD_SQLITE_WORDS}")
    for name in [*unnamed, OLD_VERSION_TABLE]:
        run(f'ALTER TABLE "{name}" RENAME TO "{PREFIX}{name}"')
    for name in ours:
        for index, sql in _sqlite_definitions(connection, f"tbl_name = '{PREFIX}{name}'", "index"):
            new = _new_name(name, index)
            if new:
                run(f'DROP INDEX "{index}"')
                run(sql.replace(index, new, 1))
    _rename_sqlite_constraints(connection, ours)


def _sqlite_definitions(connection: Connection, which: str, kind: str) -> list[tuple[str, str]]:
    rows = connection.exec_driver_sql(
        f"SELECT name, sql FROM sqlite_master WHERE {which} AND type = '{kind}' "  # noqa: S608
        "AND sql IS NOT NULL ORDER BY rowid"
    )
    return [(row[0], row[1]) for row in rows]


def _rename_sqlite_constraints(connection: Connection, ours: list[str]) -> None:
    """Rename constraints where they are defined; SQLite has no statement for it, and its manual this way.

    Later migrations drop constraints by their names, so these must not depend on an installation's age.
    """
    run = connection.exec_driver_sql
    version = run("PRAGMA schema_version").scalar_one()
    run("PRAGMA writable_schema = ON")
    for name in [*ours, OLD_VERSION_TABLE]:
        # Alembic names the key of its table without a kind in front.
        old = rf"\bCONSTRAINT ((?:pk|uq|fk|ck)_|)({name}\b|{name}_)"
        for found, sql in _sqlite_definitions(connection, f"name = '{PREFIX}{name}'", "table"):
            new = re.sub(old, rf"CONSTRAINT \1{PREFIX}\2", sql)
            run("UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", (new, found))
    run(f"PRAGMA schema_version = {version + 1}")
    run("PRAGMA writable_schema = RESET")
