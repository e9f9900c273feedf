"""The world that leaks are looked for in, on SQLite and on MariaDB."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirada.config import Settings
from mirada.runtime import Runtime
from testing.captioned_site import in_form
from testing.openai_server import CHAT, Answer, Call, completion, openai_serving, picture_in
from testing.servers.mariadb import MariaDbServer
from testing.servers.postgresql import PostgreSqlServer
from tests.leaks.exchange import SENT
from tests.leaks.operations import Operation, operations
from tests.leaks.planting import plant
from tests.leaks.secrets import MARK
from tests.leaks.world import SETTINGS, World


def describing(call: Call) -> Answer:
    """Answer with words of the picture's own, which are told to whoever may see one of its images."""
    digest = hashlib.sha256(picture_in(call)).hexdigest()[:12]
    # Without digits: numbers are taken out before replies are compared.
    word = f"{MARK}said{digest.translate(str.maketrans('0123456789', 'ghijklmnop'))}x"
    return completion(in_form(f"A {word} on the roof of a house."))


def planted(folder: Path, **settings: Any) -> Iterator[World]:
    with openai_serving() as server:
        server.usual[CHAT] = describing
        chosen = {
            "data_dir": folder / "data",
            "faiss_index_dir": folder / "faiss_indexes",
            "clip_model": "bundled",
            "embeddings_device": "cpu",
            **server.settings,
            **SETTINGS,
            **settings,
        }
        runtime = Runtime(Settings.from_env(**chosen))
        runtime.migrate()
        world = World(runtime)
        plant(world)
        yield world
        runtime.close()


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world of this folder on SQLite: planting it takes longer than many tests."""
    yield from planted(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="package")
def mariadb_world(
    tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDbServer
) -> Iterator[World]:
    """The world of this folder on MariaDB."""
    with mariadb.new_database() as name:
        yield from planted(tmp_path_factory.mktemp("world"), database_url=mariadb.url(name))


@pytest.fixture(scope="package")
def pgvector_world(
    tmp_path_factory: pytest.TempPathFactory, pgvector: PostgreSqlServer
) -> Iterator[World]:
    """The world of this folder on PostgreSQL, where pgvector searches."""
    with pgvector.new_database() as name:
        yield from planted(
            tmp_path_factory.mktemp("world"),
            database_url=pgvector.url(name),
            vector_backend="pgvector",
        )


@pytest.fixture(scope="package", autouse=True)
def told_in_the_end() -> Iterator[None]:
    """Say how much was asked, for people."""
    began = time.monotonic()
    yield
    print(f"\nLeaks: {SENT.total()} requests in all, {time.monotonic() - began:.0f} s")


def documented(world: World) -> list[Operation]:
    """Return the operations of the app's own document."""
    document = json.loads(world.ask("anonymous", "GET", "/openapi.json").body)
    return list(operations(document))
