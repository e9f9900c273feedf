"""Fixtures that every test may use: databases, servers, runtimes, the app, pictures."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import insert, text
from sqlalchemy.engine import make_url

from mirada.adapters.image_decoder.sandbox import SandboxedDecoder
from mirada.config import BUNDLED_MODEL_DIR, PROJECT_ROOT, Settings
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Base, ChangeCounter, Installation
from mirada.db.names import PREFIX
from mirada.db.session import Database, make_engine
from mirada.runtime import Runtime
from testing import scheduling, sharing
from testing.servers.mariadb import MariaDbServer, mariadb_server
from testing.servers.postgresql import PostgreSqlServer, postgresql_server
from testing.servers.process import memory_folder, missing
from testing.servers.redis import redis_server
from testing.sharing import SharingRuntime
from testing.worksite import MeanColours, Site
from workers import doorbell

POOL_SIZE = 16
# Read once, when torch or FAISS is imported: their threads sleep between two calls. Threads that
# spin take the cores from the rest of the suite, and one call beside two busy processes 80 times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile(
    "mirada", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mirada")


SERVERS = {
    "mariadb": "mariadb",
    "postgresql": "postgresql",
    "pgvector": "postgresql",
    "_redis_server": "redis",
}
"""Fixtures that start a server, and the mark of the tests that ask for it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run say on which MariaDB server its tests are."""
    parser.addoption(
        "--mariadb",
        choices=["own", "newer", "hostile"],
        default="own",
        help="the machine's own server, a newer one, or one with hostile settings",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let children of tests hear Ctrl-C; keep files in memory, unless --basetemp says where."""
    # Shells start what runs in the background with SIGINT ignored, and children of tests inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = memory_folder()
    if folder is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # `scheduling.in_order` has said it


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a server or is slow; give several processes the longest tests first."""
    for item in items:
        for fixture in SERVERS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(SERVERS[fixture])
        if scheduling.is_slow(item.nodeid):
            item.add_marker("slow")
    if hasattr(config, "workerinput"):
        items[:] = scheduling.in_order(items)


def pytest_collection_finish() -> None:
    """Look for unused objects among those that tests make, not among those of the run itself.

    Thousands of tests and what they import are a million objects. Python goes through all of them
    again and again, which was more than half of the time that making an application takes.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Divide the tests among processes by `scheduling.scope_of`."""
    return scheduling.ByScope(config, log)


@pytest.fixture(scope="session", autouse=True)
def _environment_of_its_own() -> Iterator[None]:
    """Keep the machine's settings, proxies and model hubs away from the tests."""
    with pytest.MonkeyPatch.context() as patch:
        settings = {name.upper() for name in Settings.model_fields}
        for name in list(os.environ):
            if name.upper() in settings or name.upper().endswith("_PROXY"):
                patch.delenv(name)
        patch.setenv("MIRADA_ENV_FILE", os.devnull)
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


# Servers: one process per session, something empty per test.


@pytest.fixture(scope="session")
def mariadb(request: pytest.FixtureRequest) -> Iterator[MariaDbServer]:
    """The session's MariaDB server, of the kind that --mariadb names."""
    with mariadb_server(request.config.getoption("--mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSqlServer]:
    """The session's PostgreSQL server."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def pgvector() -> Iterator[PostgreSqlServer]:
    """The session's PostgreSQL server that is sure to have pgvector."""
    with postgresql_server(with_pgvector=True) as server:
        yield server


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb: MariaDbServer) -> Iterator[str]:
    """SQLAlchemy URL of an empty MariaDB database: no tables yet."""
    with mariadb.new_database() as name:
        yield mariadb.url(name)


@pytest.fixture
def postgresql_url(postgresql: PostgreSqlServer) -> Iterator[str]:
    """SQLAlchemy URL of an empty PostgreSQL database: no tables yet."""
    with postgresql.new_database() as name:
        yield postgresql.url(name)


@pytest.fixture
def pgvector_url(pgvector: PostgreSqlServer) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of that server: neither tables nor the extension yet."""
    with pgvector.new_database() as name:
        yield pgvector.url(name)


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """URL of a Redis that holds nothing."""
    import redis

    with redis.Redis.from_url(_redis_server) as client:
        client.flushall()
    return _redis_server


# Databases: migrated once, then emptied or copied, because migrating takes longer than most tests.


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "mirada.db"
    database = Database(make_engine(make_url(f"sqlite:///{path}"), 1))
    upgrade_to_head(database.engine)
    sharing.keep_statements(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def _mariadb_tables(mariadb: MariaDbServer) -> Iterator[str]:
    with mariadb.new_database() as name:
        database = Database(make_engine(make_url(mariadb.url(name)), 1))
        upgrade_to_head(database.engine)
        sharing.keep_statements(database)
        database.close()
        yield mariadb.url(name)


@pytest.fixture(scope="session")
def _pgvector_template(pgvector: PostgreSqlServer) -> Iterator[str]:
    with pgvector.new_database() as name:
        database = Database(make_engine(make_url(pgvector.url(name)), 1))
        upgrade_to_head(database.engine)
        database.close()
        yield name


def _copy_sqlite(template: Path, path: Path) -> None:
    """Make a migrated database at `path`, with an identity of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {PREFIX}installation SET db_epoch = ?", (str(uuid.uuid4()),))


def _empty(database: Database) -> None:
    """Bring a used MariaDB database back to what a migration leaves, numbering included."""
    with database.engine.begin() as connection:
        # What an earlier test left open must not stop this one for long.
        connection.execute(text("SET SESSION lock_wait_timeout = 10, foreign_key_checks = 0"))
        used = connection.execute(
            text(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() "
                "AND (auto_increment > 1 OR table_rows > 0)"
            )
        ).scalars()
        keep = {f"{PREFIX}installation", f"{PREFIX}change_counter"}
        for table in set(used) & set(Base.metadata.tables) - keep | {
            f"{PREFIX}leases",
            f"{PREFIX}spending_days",
            f"{PREFIX}word_weights",
        }:
            connection.execute(text(f"TRUNCATE TABLE `{table}`"))
        connection.execute(Installation.__table__.delete())  # type: ignore[attr-defined]
        connection.execute(ChangeCounter.__table__.delete())  # type: ignore[attr-defined]
        connection.execute(insert(ChangeCounter).values(id=1, v=0))
        connection.execute(
            insert(Installation).values(id=1, db_epoch=str(uuid.uuid4()), tombstone_floor=0)
        )
        connection.execute(text("SET SESSION foreign_key_checks = 1"))


@pytest.fixture
def sqlite_database(_sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty SQLite database."""
    path = tmp_path / "sqlite" / "mirada.db"
    _copy_sqlite(_sqlite_template, path)
    database = Database(make_engine(make_url(f"sqlite:///{path}"), POOL_SIZE))
    sharing.share_statements(database)
    yield database
    database.close()


@pytest.fixture
def mariadb_database(_mariadb_tables: str) -> Iterator[Database]:
    """A migrated, empty MariaDB database."""
    database = Database(make_engine(make_url(_mariadb_tables), POOL_SIZE))
    sharing.share_statements(database)
    _empty(database)
    yield database
    database.close()


@pytest.fixture
def pgvector_database(pgvector: PostgreSqlServer, _pgvector_template: str) -> Iterator[Database]:
    """A migrated, empty PostgreSQL database on a server with pgvector."""
    with pgvector.new_database(template=_pgvector_template) as name:
        database = Database(make_engine(make_url(pgvector.url(name)), POOL_SIZE))
        yield database
        database.close()


@pytest.fixture
def migrated_mariadb_url(mariadb_database: Database) -> str:
    """SQLAlchemy URL of a migrated, empty MariaDB database."""
    return mariadb_database.engine.url.render_as_string(hide_password=False)


@pytest.fixture(
    params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)],
)
def database(request: pytest.FixtureRequest) -> Database:
    """A migrated, empty database: every test that asks for it runs on SQLite and on MariaDB."""
    database: Database = request.getfixturevalue(f"{request.param}_database")
    return database


# Runtimes and the app.

MakeRuntime = Callable[..., Runtime]


@pytest.fixture(scope="session")
def _shared_decoder() -> Iterator[SandboxedDecoder]:
    shared = SandboxedDecoder()
    yield shared
    shared.close()


@pytest.fixture
def decoder(_shared_decoder: SandboxedDecoder) -> SandboxedDecoder:
    """The decoder of every runtime: its child processes take a second to start."""
    return _shared_decoder


@pytest.fixture
def make_runtime(
    _sqlite_template: Path, tmp_path: Path, _shared_decoder: SandboxedDecoder
) -> Iterator[MakeRuntime]:
    """Return a function that builds a migrated Runtime over folders of this test.

    Settings are given as keywords (`redis_url=...`, `web_threads=2`). Without `database_url` every
    call gets a SQLite database of its own; with the `data_dir` of another runtime it shares that
    one's. All are closed when the test ends.
    """
    made: list[Runtime] = []

    def make(**settings: Any) -> Runtime:
        root = tmp_path / f"runtime{len(made)}"
        chosen = {
            "data_dir": root / "data",
            "faiss_index_dir": root / "faiss_indexes",
            "clip_model": "bundled",
            "embeddings_device": "cpu",
            **settings,
        }
        chosen_settings = Settings.from_env(**chosen)
        if chosen.get("database_url") is None:
            path = Path(chosen_settings.data_dir) / "mirada.db"
            if not path.exists():
                _copy_sqlite(_sqlite_template, path)
        runtime = SharingRuntime(chosen_settings, _shared_decoder)
        doorbell.attach(runtime)
        made.append(runtime)
        if chosen.get("database_url") is not None:
            runtime.migrate()
        return runtime

    yield make
    for runtime in reversed(made):
        runtime.close()


@pytest.fixture
def runtime(make_runtime: MakeRuntime) -> Runtime:
    """A migrated Runtime on SQLite, without Redis."""
    return make_runtime()


@pytest.fixture(autouse=True)
def _every_reply_is_described() -> Iterator[None]:
    """Fail a test in which an operation answers with a status that its document does not name."""
    yield
    application = sys.modules.get("testing.application")
    if application is not None:
        seen = sorted(application.undescribed)
        application.undescribed.clear()
        assert not seen, f"not in the OpenAPI document: {seen}"


@pytest.fixture
def app(runtime: Runtime) -> Any:
    """The Flask app over `runtime`."""
    from testing.application import create_app

    return create_app(runtime)


@pytest.fixture
def client(app: Any) -> Any:
    """Flask's test client."""
    return app.test_client()


# Sites to work on: the product's runtime with a quick encoder, on each database.


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def site_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings that put a runtime on each database."""
    if request.param == "sqlite":
        return {}
    return {"database_url": request.getfixturevalue("migrated_mariadb_url")}


@pytest.fixture
def make_site(make_runtime: Callable[..., Runtime]) -> Callable[..., Site]:
    """Return a function that makes a Site from settings."""

    def make(**settings: Any) -> Site:
        runtime = make_runtime(worker_threads=4, **settings)
        encoder = MeanColours()
        # The one port that is not the product's own: loading a network is another test's subject.
        runtime.remember("encoder", encoder)
        return Site(runtime, encoder)

    return make


@pytest.fixture
def site(make_site: Callable[..., Site], site_settings: dict[str, Any]) -> Site:
    """A site without Redis, on SQLite and on MariaDB."""
    return make_site(**site_settings)


# Models and pictures.


@pytest.fixture(scope="session")
def bundled_encoder() -> Any:
    """The bundled encoder of a new database, for stickers and photographs, loaded once."""
    if not (BUNDLED_MODEL_DIR / "open_clip_config.json").exists():
        missing("The bundled encoder", f"{BUNDLED_MODEL_DIR.relative_to(PROJECT_ROOT)} is empty")
    return sharing.bundled_encoder()


@pytest.fixture(scope="session")
def sticker_encoder(bundled_encoder: Any) -> Any:
    """The sticker model alone, which is a part of the bundled encoder, loaded once."""
    return bundled_encoder.stickers


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    """The labelled photographs that lie beside the project on some machines, by name."""
    folder = PROJECT_ROOT.parent / "shared" / "photos"
    found = sorted(folder.glob("*.JPEG"))
    if not found:
        pytest.skip("there are no photographs beside the project")
    return found
