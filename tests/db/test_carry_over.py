"""An installation from before the prefix becomes exactly what a new one is, and keeps every row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.engine import make_url

from mirada.db import carry_over as module
from mirada.db import names
from mirada.db.migrate import MIGRATIONS_DIR, differences, upgrade_to_head
from mirada.db.names import PREFIX, VERSION_TABLE
from mirada.db.session import make_engine

OLD = "alembic_version"
ROWS = (
    "INSERT INTO installation (id, db_epoch, tombstone_floor, secret_key) VALUES (1, 'e', 0, 's')",
    "INSERT INTO change_counter (id, v) VALUES (1, 7)",
    "INSERT INTO users (id, username, role, created_at) VALUES (5, 'bea', 'user', '2026-01-01')",
    "INSERT INTO contents (id, sha256, storage_key, byte_size, format, width, height, is_animated, "
    "created_at) VALUES (9, 'x', 'k', 1, 'PNG', 1, 1, {false}, '2026-01-01')",
    "INSERT INTO images (id, owner_id, content_id, prompt, is_public, status, version, created_at, "
    "updated_at) VALUES (3, 5, 9, 'a Zürich tram', {false}, 'READY', 1, '2026-01-01', '2026-01-01')",
)
OLD_FULL_TEXT = {
    "sqlite": (
        "CREATE VIRTUAL TABLE image_words USING fts5(prompt, caption, content='images', "
        "content_rowid='id', tokenize='unicode61 remove_diacritics 2')",
        "CREATE TRIGGER image_words_after_insert AFTER INSERT ON images BEGIN "
        "INSERT INTO image_words (rowid, prompt, caption) "
        "VALUES (new.id, new.prompt, new.caption); END",
    ),
    "mysql": ("CREATE FULLTEXT INDEX ix_images_words ON images (prompt, caption)",),
    "postgresql": (
        "CREATE INDEX ix_images_words ON images USING gin "
        "(to_tsvector('simple', coalesce(images.prompt, '')))",
    ),
}
"""What 0005 made in older releases; the one of today makes nothing."""


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ],
)
def make_empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Return a function that makes an engine on an empty database."""
    engines: list[Engine] = []
    scopes: list[Any] = []

    def make() -> Engine:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path / f'{len(engines)}.db'}"
        else:
            server = request.getfixturevalue(request.param)
            scope = server.new_database()
            scopes.append(scope)
            url = server.url(scope.__enter__())
        engines.append(make_engine(make_url(url), 2))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()
    for scope in scopes:
        scope.__exit__(None, None, None)


def make_old(engine: Engine, revision: str) -> None:
    """Make what the migrations made before they had a prefix: the same with an empty one."""
    with pytest.MonkeyPatch.context() as patch, engine.connect() as connection:
        patch.setattr(names, "PREFIX", "")
        patch.setattr(names, "VERSION_TABLE", OLD)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS_DIR))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
        if revision >= "0005":
            for statement in OLD_FULL_TEXT[engine.dialect.name]:
                connection.exec_driver_sql(statement)
        false = "false" if engine.dialect.name == "postgresql" else "0"
        for row in ROWS:
            connection.execute(text(row.format(false=false)))
        connection.commit()


def schema(engine: Engine) -> dict[str, Any]:
    """Return tables, columns, indexes and constraints by name; SQLite's definitions beside them."""
    inspector = inspect(engine)
    found: dict[str, Any] = {}
    for table in sorted(inspector.get_table_names()):
        found[table] = {
            "columns": sorted(str(column) for column in inspector.get_columns(table)),
            "indexes": sorted(_told(index) for index in inspector.get_indexes(table)),
            "keys": sorted(str(key) for key in inspector.get_foreign_keys(table)),
            "unique": sorted(str(key) for key in inspector.get_unique_constraints(table)),
            "primary": str(inspector.get_pk_constraint(table)),
        }
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master")
            found["sqlite"] = {
                name: "".join((sql or "").split()).replace('"', "") for name, sql in rows
            }
        if engine.dialect.name == "postgresql":
            relations = connection.exec_driver_sql(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            ).scalars()
            found["postgresql"] = sorted(relations)
    return found


def _told(index: Any) -> str:
    # A condition is an object, and one of its own each time.
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return str({**index, "dialect_options": options})


def kept(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return [
            connection.execute(text(query)).one()
            for query in (
                f"SELECT db_epoch FROM {PREFIX}installation",
                f"SELECT v FROM {PREFIX}change_counter",
                f"SELECT i.id, i.prompt, u.username, c.sha256 FROM {PREFIX}images i "
                f"JOIN {PREFIX}users u ON u.id = i.owner_id "
                f"JOIN {PREFIX}contents c ON c.id = i.content_id",
            )
        ]


KEPT = [("e",), (7,), (3, "a Zürich tram", "bea", "x")]


def head_of(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars())


@pytest.mark.parametrize("revision", ["0001", "0007"])
def test_an_older_installation_becomes_what_a_new_one_is(make_empty: Any, revision: str) -> None:
    older, new = make_empty(), make_empty()
    make_old(older, revision)
    upgrade_to_head(new)

    upgrade_to_head(older)

    assert schema(older) == schema(new)
    assert differences(older) == []
    assert kept(older) == KEPT
    assert head_of(older) == head_of(new)
    if older.dialect.name == "sqlite":
        with older.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    with older.begin() as connection:
        # Numbering goes on, and a foreign key holds.
        connection.execute(
            text(
                f"INSERT INTO {PREFIX}comments (image_id, user_id, body, created_at) "
                "VALUES (3, 5, 'b', '2026-01-01')"
            )
        )
        connection.execute(text(f"DELETE FROM {PREFIX}images WHERE id = 3"))
        assert connection.execute(text(f"SELECT COUNT(*) FROM {PREFIX}comments")).scalar() == 0


class Cut(Exception):
    """The process ended here."""


def test_a_move_that_is_cut_short_after_any_statement_goes_on(make_empty: Any) -> None:
    older, new = make_empty(), make_empty()
    make_old(older, "0007")
    upgrade_to_head(new)
    statements: list[str] = []

    def cut(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("ALTER", "RENAME", "DROP", "CREATE", "INSERT", "UPDATE")):
            statements.append(statement)
            if len(statements) > 1:
                raise Cut

    # Where statements commit themselves, each start does one of them; elsewhere every cut undoes all.
    event.listen(older, "before_cursor_execute", cut)
    for _ in range(100):
        statements.clear()
        try:
            with older.connect() as connection:
                module.carry_over(connection)
                connection.commit()
        except Cut:
            if older.dialect.name in ("sqlite", "postgresql"):
                break
        else:
            break
    event.remove(older, "before_cursor_execute", cut)
    is_transactional = older.dialect.name in ("sqlite", "postgresql")
    assert (OLD in inspect(older).get_table_names()) is is_transactional

    upgrade_to_head(older)

    assert schema(older) == schema(new)
    assert kept(older) == KEPT


@pytest.mark.parametrize("revision", ["0003", "f00d", None])
def test_tables_of_an_application_are_left_alone(make_empty: Any, revision: str | None) -> None:
    engine = make_empty()
    with engine.begin() as connection:
        for table in ("users", "images", "jobs", "installation"):
            connection.execute(
                text(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, theirs INTEGER)")
            )
            connection.execute(text(f"INSERT INTO {table} VALUES (1, 42)"))
        connection.execute(
            text(f"CREATE TABLE {OLD} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
        if revision:
            connection.execute(text(f"INSERT INTO {OLD} VALUES ('{revision}')"))
    theirs = {name: found for name, found in schema(engine).items() if not name.startswith(PREFIX)}

    upgrade_to_head(engine)

    assert differences(engine) == []
    after = schema(engine)
    assert {name: after[name] for name in theirs if name not in ("sqlite", "postgresql")} == {
        name: found for name, found in theirs.items() if name not in ("sqlite", "postgresql")
    }
    with engine.connect() as connection:
        assert connection.execute(text("SELECT theirs FROM users")).scalar() == 42
        versions = connection.execute(text(f"SELECT version_num FROM {OLD}")).scalars().all()
        assert versions == ([revision] if revision else [])
