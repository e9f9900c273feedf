"""Before the first change of a database a look at it: what cannot go well is said, and nothing is changed."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, text
from sqlalchemy.engine import make_url

from mirada.config import PROJECT_ROOT, SETTINGS_EXIT_CODE, Settings
from mirada.db.first_look import refuse_tables_of_others
from mirada.db.migrate import MIGRATIONS_DIR, _one_at_a_time, differences, upgrade_to_head
from mirada.db.names import PREFIX, VERSION_TABLE
from mirada.db.session import make_engine
from mirada.kernel.errors import DatabaseRefused, StorageFull
from mirada.runtime import Runtime
from testing.console import run_command
from testing.servers.mariadb import MariaDbServer
from testing.servers.process import free_port

DATA_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"
ALL_RIGHTS = f"{DATA_RIGHTS}, CREATE, ALTER, INDEX, DROP, REFERENCES"
_numbers = itertools.count(1)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ],
)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on an empty database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'mirada.db'}"
    else:
        url = request.getfixturevalue(f"{request.param}_url")
    engine = make_engine(make_url(url), 2)
    yield engine
    engine.dispose()


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def refusal_of(engine: Engine, said: str) -> DatabaseRefused:
    """Migrate in vain, see that no table was added, and return the refusal."""
    before = set(inspect(engine).get_table_names())
    with pytest.raises(DatabaseRefused, match=said) as refused:
        upgrade_to_head(engine)
    assert set(inspect(engine).get_table_names()) == before
    return refused.value


def test_tables_of_others_with_our_names_are_named(empty: Engine) -> None:
    run(empty, f"CREATE TABLE {PREFIX}users (id INTEGER PRIMARY KEY, their_own INTEGER)")

    refused = refusal_of(empty, "not its own.*nothing was changed")

    assert f"{PREFIX}users" in refused.detail


def test_our_own_tables_are_known_as_ours_at_every_migration(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    known = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
    engine = make_engine(make_url(f"sqlite:///{tmp_path / 'mirada.db'}"), 1)
    for revision in reversed(known):
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.execute(text(f"DELETE FROM {VERSION_TABLE}"))
            refuse_tables_of_others(connection, known)
            connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES ('{revision}')"))
            connection.commit()
    engine.dispose()


def test_another_version_table_is_named(empty: Engine) -> None:
    run(empty, f"CREATE TABLE {VERSION_TABLE} (id INTEGER PRIMARY KEY, at INTEGER)")
    refusal_of(empty, f"{VERSION_TABLE} that is not Mirada's")


def test_a_database_of_a_newer_version_is_left_alone(empty: Engine) -> None:
    upgrade_to_head(empty)
    run(empty, f"UPDATE {VERSION_TABLE} SET version_num = 'f00d'")
    refusal_of(empty, "migration f00d")


def test_rows_without_a_version_are_not_migrated_over(empty: Engine) -> None:
    upgrade_to_head(empty)
    run(empty, f"DELETE FROM {VERSION_TABLE}")
    refusal_of(empty, "Restore that table")


@pytest.fixture
def make_user(mariadb: MariaDbServer, mariadb_url: str) -> Iterator[Any]:
    """Return a function that makes an engine of a user with these rights on an empty database alone."""
    engines: list[Engine] = []
    url = make_url(mariadb_url)

    def make(rights: str) -> Engine:
        name = f"clerk{next(_numbers)}"
        mariadb.execute(
            f"CREATE USER '{name}'@'127.0.0.1' IDENTIFIED BY 'p'",
            f"GRANT {rights} ON `{url.database}`.* TO '{name}'@'127.0.0.1'",
        )
        engines.append(make_engine(url.set(username=name, password="p"), 1))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@pytest.mark.mariadb
@pytest.mark.parametrize(
    "missing", ["CREATE", "ALTER", "INDEX", "DROP", "INSERT", "UPDATE", "DELETE"]
)
def test_a_right_that_is_missing_is_named_and_nothing_is_changed(
    make_user: Any, missing: str
) -> None:
    rights = [right for right in ALL_RIGHTS.split(", ") if right != missing]

    # Without CREATE the server does not look at REFERENCES.
    said = f"may not {missing}(, REFERENCES)? in this database"
    refused = refusal_of(make_user(", ".join(rights)), said)

    assert "docs/mysql.md" in refused.detail


@pytest.mark.mariadb
def test_several_that_are_missing_are_one_sentence(make_user: Any) -> None:
    refusal_of(make_user(DATA_RIGHTS), "may not CREATE, ALTER, INDEX, DROP")


@pytest.mark.mariadb
def test_the_rights_that_the_document_names_are_enough(make_user: Any) -> None:
    assert f"GRANT {ALL_RIGHTS} ON" in (PROJECT_ROOT / "docs" / "mysql.md").read_text()
    engine = make_user(ALL_RIGHTS)
    upgrade_to_head(engine)
    assert differences(engine) == []


@pytest.mark.postgresql
def test_postgresqls_missing_right_is_named(postgresql_url: str) -> None:
    owner = make_engine(make_url(postgresql_url), 1)
    run(
        owner,
        "DROP ROLE IF EXISTS clerk",
        "CREATE ROLE clerk LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )
    owner.dispose()
    engine = make_engine(make_url(postgresql_url).set(username="clerk"), 1)
    try:
        refusal_of(engine, "may not CREATE")
    finally:
        engine.dispose()


class Cut(Exception):
    """The process ended here."""


@pytest.mark.mariadb
def test_a_migration_that_is_cut_short_goes_on_at_the_next_start(mariadb_url: str) -> None:
    engine = make_engine(make_url(mariadb_url), 2)
    done: list[str] = []

    def cut(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(("CREATE TABLE", "CREATE INDEX", "ALTER", "CREATE FULL")):
            done.append(statement)
            if len(done) % 8 == 0:
                raise Cut

    event.listen(engine, "before_cursor_execute", cut)
    starts = 0
    while True:
        starts += 1
        try:
            upgrade_to_head(engine)
            break
        except Cut:
            assert starts < 150
    engine.dispose()
    event.remove(engine, "before_cursor_execute", cut)

    assert starts > 3
    assert differences(engine) == []
    assert list(inspect(engine).get_indexes(f"{PREFIX}users"))
    upgrade_to_head(engine)
    engine.dispose()


def test_a_lock_that_cannot_be_made_is_told_with_whose_the_folder_is(tmp_path: Path) -> None:
    (tmp_path / "mirada.db.migrate.lock").mkdir()
    engine = make_engine(make_url(f"sqlite:///{tmp_path / 'mirada.db'}"), 1)
    with pytest.raises(DatabaseRefused, match="belong to the user") as refused:
        upgrade_to_head(engine)
    assert str(tmp_path) in refused.value.for_operator
    assert "runs as user" in refused.value.for_operator
    assert str(tmp_path) not in refused.value.detail
    engine.dispose()


def test_a_full_disk_is_no_matter_of_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    engine = make_engine(make_url(f"sqlite:///{tmp_path / 'mirada.db'}"), 1)
    monkeypatch.setattr("mirada.db.migrate.fcntl.flock", full)
    with pytest.raises(StorageFull):
        upgrade_to_head(engine)
    engine.dispose()


STARTS = {
    "server": ("-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"),
    "worker": ("-m", "workers"),
}


@pytest.mark.mariadb
@pytest.mark.parametrize("what", STARTS)
def test_what_waiting_cannot_mend_ends_the_start_with_one_sentence(
    what: str, mariadb: MariaDbServer, tmp_path: Path
) -> None:
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, *STARTS[what]],
        cwd=PROJECT_ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "MIRADA_ENV_FILE": "/dev/null",
            "DATA_DIR": str(tmp_path),
            "PORT": str(free_port()),
            "DATABASE_URL": mariadb.url("nowhere").replace("for-tests-only", "sesame"),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = ended.stdout + ended.stderr

    assert ended.returncode == SETTINGS_EXIT_CODE, said
    assert said.count("check DB_USER and DB_PASSWORD") == 1
    assert "Traceback" not in said
    assert "/health" not in said
    assert "sesame" not in said
    assert time.monotonic() - began < 60


@pytest.mark.mariadb
def test_two_databases_of_a_server_do_not_wait_for_each_other(
    mariadb: MariaDbServer, mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirada.db.migrate.LOCK_WAIT_S", 0)
    with mariadb.new_database() as other:
        holder = make_engine(make_url(mariadb.url(other)), 1)
        engine = make_engine(make_url(mariadb_url), 1)
        with holder.connect() as connection, _one_at_a_time(holder, connection):
            upgrade_to_head(engine)
        engine.dispose()
        holder.dispose()


@pytest.mark.mariadb
def test_a_command_tells_the_operator_the_servers_own_words(
    make_user: Any,
) -> None:
    url = make_user(ALL_RIGHTS).url.set(password="sesame")
    settings = Settings.from_env(database_url=url.render_as_string(hide_password=False))
    runtime = Runtime(settings)
    try:
        done = run_command(runtime, "db", "upgrade")
    finally:
        runtime.close()
    assert done.exit_code == 1
    assert "check DB_USER and DB_PASSWORD" in done.output
    assert f"'{url.username}'" in done.output
    assert "sesame" not in done.output
