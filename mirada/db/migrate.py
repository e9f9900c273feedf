"""Migrates a database to the current tables, one process at a time on every engine."""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mirada import private_files
from mirada.db import (  # noqa: F401 - declare tables on Base
    audit_models,
    batch_models,
    classifier_models,
    duplicate_models,
    errors,
    evaluation_models,
    files_to_remove,
    memory_models,
    model_switch_models,
    pack_models,
    paging_models,
    pgvector_models,
    query_models,
    recent_models,
    sign_in_models,
    spending_models,
    tag_models,
    transfer_models,
    webhook_models,
    word_models,
)
from mirada.db.carry_over import carry_over
from mirada.db.first_look import (
    current_revision,
    refuse_missing_rights,
    refuse_tables_of_others,
)
from mirada.db.models import Base, ChangeCounter, Installation
from mirada.db.names import PREFIX, VERSION_TABLE
from mirada.db.older_rows import complete
from mirada.db.pgvector.tables import is_table_of_copies
from mirada.db.session import Database, driver_errors_told
from mirada.kernel.errors import DatabaseRefused, StorageFull, Unavailable

MIGRATIONS_DIR = Path(__file__).resolve().parents[2] / "migrations"
LOCK_NAME = "CONCAT('mirada_migrate_', MD5(DATABASE()))"
"""Locks of MySQL are the server's, whose other databases may hold installations as well."""
LOCK_WAIT_S = 25
"""Less than the driver's read time-out, which would end the wait with another message."""
ADVISORY_LOCK_NUMBER = 7_304_183
"""The number of PostgreSQL's advisory lock: an arbitrary number, the same in every process."""


def upgrade_to_head(engine: Engine) -> None:
    """Apply every missing migration, and insert the single rows if they are absent.

    A look at the database comes first: where a migration cannot be applied, nothing is changed.

    Raises:
        DatabaseRefused: the database, or what is in it, permits no migration; its operator has to change
            that, and waiting does not help.
        Unavailable: the database cannot be reached, or another process takes too long to migrate.
    """
    try:
        with (
            _sqlite_file_lock(engine),
            engine.connect() as connection,
            _one_at_a_time(engine, connection),
        ):
            _upgrade(connection)
            _ensure_single_rows(connection)
            connection.commit()
    except (DBAPIError, PoolTimeout, OSError) as error:
        raise _told(error, engine) from error
    # After the lock: it takes minutes where there are a million images, and may be interrupted.
    complete(Database(engine))


def _upgrade(connection: Connection) -> None:
    if current_revision(connection) == last_revision():
        return
    # Alembic takes 11 MB for as long as the process lives, and a start on an up to date database none.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    refuse_missing_rights(connection)
    carry_over(connection)
    connection.commit()
    refuse_tables_of_others(connection, (script.revision for script in scripts.walk_revisions()))
    connection.commit()
    command.upgrade(config, "head")
    connection.commit()


def last_revision() -> str:
    """Return this version's last migration: the files' names begin with their numbers."""
    return max(path.name for path in (MIGRATIONS_DIR / "versions").glob("[0-9]*.py"))[:4]


def _told(error: DBAPIError | PoolTimeout | OSError, engine: Engine) -> Unavailable:
    if isinstance(error, OSError):
        ours: Unavailable | None = (
            StorageFull(errors.FULL)
            if error.errno == errno.ENOSPC
            else DatabaseRefused(errors.FILE, said=str(error))
        )
    else:
        ours = errors.told(error, engine.url)
    if ours is None:
        ours = DatabaseRefused(
            "The database refused a change of its tables, so it is not migrated; no row is lost.",
            said=str(getattr(error, "orig", error)),
        )
    if isinstance(ours, DatabaseRefused) and engine.dialect.name == "sqlite":
        ours.said += _whose(Path(engine.url.database or ""))
    return ours


def _whose(path: Path) -> str:
    """Return a sentence on the owner of a file, or of the folder that should hold it."""
    there = next((found for found in (path, *path.parents) if found.exists()), Path("/"))
    try:
        return (
            f" ({there} belongs to user {there.stat().st_uid}, and this process runs as user "
            f"{os.geteuid()}.)"
        )
    except OSError:
        return f" ({path})"


def revisions(engine: Engine) -> tuple[str | None, str | None]:
    """Return the migration the database is at, None before the first, and this version's last one.

    Raises Unavailable.
    """
    from alembic.migration import MigrationContext

    with driver_errors_told(engine), engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision(), last_revision()


def differences(engine: Engine) -> list[object]:
    """Return the differences between the tables and the models, as Alembic finds them; [] for none.

    Tables of others are not compared. Raises Unavailable.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with driver_errors_told(engine), engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "version_table": VERSION_TABLE,
                # By its name, before it is read: what a type of an extension means is not known here.
                "include_name": lambda name, kind, _: _is_compared(name, kind),
            },
        )
        return list(compare_metadata(context, Base.metadata))


def _is_compared(name: str | None, kind: str) -> bool:
    ours = (name or "").startswith(PREFIX) and not is_table_of_copies(name or "")
    return kind != "table" or ours


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
            text(f"SELECT GET_LOCK({LOCK_NAME}, :wait)"), {"wait": LOCK_WAIT_S}
        ).scalar()
        if got != 1:
            raise Unavailable("Another process is migrating the database; try again shortly.")
        try:
            yield
        finally:
            # The lock belongs to the connection and would survive its return to the pool.
            connection.execute(text(f"SELECT RELEASE_LOCK({LOCK_NAME})"))
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
