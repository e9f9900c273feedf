"""Migrates a database to the current tables, one process at a time on every engine."""

from __future__ import annotations

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.exc import InterfaceError, OperationalError

from mirada import private_files
from mirada.db import (  # noqa: F401 - declare tables on Base
    classifier_models,
    memory_models,
    spending_models,
    word_models,
)
from mirada.db.carry_over import carry_over
from mirada.db.models import Base, ChangeCounter, Installation
from mirada.db.names import PREFIX, VERSION_TABLE
from mirada.db.session import Database
from mirada.db.word_index import write_missing
from mirada.kernel.errors import Unavailable

MIGRATIONS_DIR = Path(__file__).resolve().parents[2] / "migrations"
LOCK_NAME = "mirada_migrate"
LOCK_WAIT_S = 25
"""Less than the driver's read time-out, which would end the wait with another message."""
ADVISORY_LOCK_NUMBER = 7_304_183
"""The number of PostgreSQL's advisory lock: an arbitrary number, the same in every process."""


def upgrade_to_head(engine: Engine) -> None:
    """Apply every missing migration, and insert the single rows if they are absent.

    Raises:
        Unavailable: the database cannot be reached, or another process takes too long to migrate.
    """
    try:
        with (
            _sqlite_file_lock(engine),
            engine.connect() as connection,
            _one_at_a_time(engine, connection),
        ):
            carry_over(connection)
            connection.commit()
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS_DIR))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            _ensure_single_rows(connection)
            connection.commit()
    except (OperationalError, InterfaceError, OSError) as error:
        raise Unavailable("The database cannot be reached, so it was not migrated.") from error
    # After the lock: it takes minutes where there are a million images, and may be interrupted.
    write_missing(Database(engine))


def revisions(engine: Engine) -> tuple[str | None, str | None]:
    """Return the migration the database is at, None before the first, and this version's last one."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision(), ScriptDirectory.from_config(
            config
        ).get_current_head()


def differences(engine: Engine) -> list[object]:
    """Return the differences between the tables and the models, as Alembic finds them; [] for none.

    Tables of others are not compared.
    """
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "version_table": VERSION_TABLE,
                "include_object": lambda _, name, kind, *__: _is_compared(name, kind),
            },
        )
        return list(compare_metadata(context, Base.metadata))


def _is_compared(name: str | None, kind: str) -> bool:
    return kind != "table" or (name or "").startswith(PREFIX)


@contextmanager
def _sqlite_file_lock(engine: Engine) -> Iterator[None]:
    # Taken before the connection, whose first statement switches a new file to WAL: SQLite waits for
    # nobody there, and the second process to come would be told that the database is locked.
    if engine.dialect.name != "sqlite" or not engine.url.database:
        yield
        return
    with private_files.open_file(Path(engine.url.database + ".migrate.lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _one_at_a_time(engine: Engine, connection: Connection) -> Iterator[None]:
    # Three concurrent upgrades crash two of them on every engine, so each takes a lock first.
    backend = engine.dialect.name
    if backend in ("mysql", "mariadb"):
        got = connection.execute(
            text("SELECT GET_LOCK(:name, :wait)"), {"name": LOCK_NAME, "wait": LOCK_WAIT_S}
        ).scalar()
        if got != 1:
            raise Unavailable("Another process is migrating the database; try again shortly.")
        try:
            yield
        finally:
            # The lock belongs to the connection and would survive its return to the pool.
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": LOCK_NAME})
    elif backend == "postgresql":
        connection.execute(text("SELECT pg_advisory_lock(:n)"), {"n": ADVISORY_LOCK_NUMBER})
        try:
            yield
        finally:
            # A failed transaction accepts no statement, and the pool would keep the lock for ever.
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": ADVISORY_LOCK_NUMBER})
    else:
        yield


def _ensure_single_rows(connection: Connection) -> None:
    if connection.execute(select(ChangeCounter.id)).first() is None:
        connection.execute(insert(ChangeCounter).values(id=1, v=0))
    if connection.execute(select(Installation.id)).first() is None:
        connection.execute(
            insert(Installation).values(
                id=1,
                db_epoch=str(uuid.uuid4()),
                tombstone_floor=0,
            )
        )
