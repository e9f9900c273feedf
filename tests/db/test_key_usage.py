"""When keys were last used is written in the background, seldom, and at nobody's expense."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from mirada.db import key_usage
from mirada.db.key_usage import KeyUsage
from mirada.db.models import ApiKey
from mirada.db.session import Database
from mirada.people import keys, users
from mirada.runtime import Runtime
from testing.servers.process import free_port


@pytest.fixture
def usage(database: Database) -> Iterator[KeyUsage]:
    """A recorder of its own."""
    recorder = KeyUsage(database)
    yield recorder
    recorder.close()


@pytest.fixture
def key_id(database: Database) -> int:
    """The id of somebody's key."""
    with database.transaction() as session:
        return keys.issue(session, users.create_user(session, "ana")).row.id


def last_used(database: Database, key_id: int) -> datetime | None:
    with database.reading() as session:
        return session.get_one(ApiKey, key_id).last_used_at


def count_updates(database: Database) -> list[str]:
    updates: list[str] = []

    def remember(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("UPDATE mirada_api_keys"):
            updates.append(statement)

    event.listen(database.engine, "before_cursor_execute", remember)
    return updates


def test_a_use_is_written(database: Database, usage: KeyUsage, key_id: int) -> None:
    before = datetime.now(UTC)
    usage.note(key_id, None)
    assert usage.settle()
    used = last_used(database, key_id)
    assert used is not None
    assert before <= used <= datetime.now(UTC)


def test_many_uses_are_one_write(database: Database, usage: KeyUsage, key_id: int) -> None:
    updates = count_updates(database)
    for _ in range(50):
        usage.note(key_id, None)
        usage.settle()
    assert len(updates) == 1


def test_a_use_within_a_minute_of_the_last_is_not_news(
    database: Database, usage: KeyUsage, key_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = count_updates(database)
    now = datetime.now(UTC)
    usage.note(key_id, now - timedelta(seconds=30))
    usage.settle()
    assert updates == []
    usage.note(key_id, now - timedelta(seconds=90))
    usage.settle()
    first = last_used(database, key_id)
    assert first is not None

    monkeypatch.setattr(key_usage, "utc_now", lambda: now + timedelta(seconds=61))
    usage.note(key_id, first)
    usage.settle()
    assert last_used(database, key_id) == now + timedelta(seconds=61)
    assert len(updates) == 2


def test_two_processes_do_not_write_the_same_minute_twice(
    database: Database, usage: KeyUsage, key_id: int
) -> None:
    usage.note(key_id, None)
    usage.settle()
    first = last_used(database, key_id)
    other = KeyUsage(database)
    other.note(key_id, None)
    other.close()
    assert last_used(database, key_id) == first


def test_a_database_that_is_away_is_nobody_s_trouble(
    make_runtime: Callable[..., Runtime], tmp_path: Any
) -> None:
    from mirada.config import Settings

    url = f"mysql+pymysql://u:p@127.0.0.1:{free_port()}/mirada"
    runtime = Runtime(Settings.from_env(database_url=url, data_dir=tmp_path))
    runtime.key_usage.note(1, None)
    assert runtime.key_usage.settle()
    runtime.close()
    runtime.key_usage.note(2, None)
    assert runtime.key_usage.settle()
