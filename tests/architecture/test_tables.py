"""The migrations build exactly the tables of the models, on every engine, however many start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from mirada.db.migrate import differences, upgrade_to_head
from mirada.db.models import Base, ChangeCounter, Installation
from mirada.db.names import PREFIX
from mirada.db.session import Database, make_engine
from mirada.kernel.errors import Unavailable


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ],
)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'mirada.db'}"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def _upgrade(url: str) -> None:
    database = Database(make_engine(make_url(url), 2))
    try:
        upgrade_to_head(database.engine)
    finally:
        database.close()


def test_migrations_and_models_agree(empty_url: str) -> None:
    _upgrade(empty_url)
    database = Database(make_engine(make_url(empty_url), 2))
    try:
        assert differences(database.engine) == []
    finally:
        database.close()


def test_three_processes_may_migrate_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(_upgrade, [empty_url] * 3))

    database = Database(make_engine(make_url(empty_url), 2))
    try:
        with database.reading() as session:
            assert session.scalar(select(func.count()).select_from(Installation)) == 1
            assert session.scalar(select(func.count()).select_from(ChangeCounter)) == 1
    finally:
        database.close()


def test_a_database_without_tables_is_unavailable_and_no_surprise(empty_url: str) -> None:
    database = Database(make_engine(make_url(empty_url), 2))
    try:
        with pytest.raises(Unavailable), database.reading() as session:
            session.execute(select(Installation.id))
    finally:
        database.close()


RESERVED_LATELY = {
    "vector",  # MariaDB 11.7
    "manual",  # MySQL 8.4
    "parallel",
    "qualify",
    "tablesample",
    "library",  # MySQL 9
    "external",
}
"""Words that newer servers reserve and SQLAlchemy does not quote by itself."""


def test_words_that_newer_servers_reserve_are_quoted() -> None:
    found = {
        (table.name, column.name): bool(getattr(column.name, "quote", None))
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.name.lower() in RESERVED_LATELY
    }

    assert len(found) == 4
    assert all(found.values()), found


def test_every_name_begins_with_the_prefix() -> None:
    for table in Base.metadata.tables.values():
        assert table.name.startswith(PREFIX)
        for named in (*table.indexes, *table.constraints):
            assert PREFIX in str(named.name), f"{named.name} of {table.name}"
            assert len(str(named.name)) <= 63, "PostgreSQL cuts names there"
