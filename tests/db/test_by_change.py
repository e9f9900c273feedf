"""What is remembered by a change number: never older than the newest number, nor than its time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from mirada.db import changes
from mirada.db.by_change import KnownByChange
from mirada.db.models import ChangeCounter
from mirada.db.session import Database


class Reader:
    """Values that are read, counted; each takes ten bytes, and there is room for two."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.read = 0
        self.now = 0.0
        self.known: KnownByChange[str, int] = KnownByChange(
            lambda _: 10, 20, max_age_s=5, clock=lambda: self.now
        )

    def value(self, key: str) -> int:
        def read() -> int:
            self.read += 1
            return self.read

        with self.database.reading() as session:
            return self.known.value(session, key, read)


@pytest.fixture
def reader(database: Database) -> Iterator[Reader]:
    return Reader(database)


def test_a_value_is_read_once_until_a_number_is_taken(reader: Reader) -> None:
    assert [reader.value("a"), reader.value("a"), reader.value("b"), reader.value("a")] == [
        1,
        1,
        2,
        1,
    ]
    with reader.database.transaction() as session:
        changes.note(session)
    assert [reader.value("a"), reader.value("a"), reader.value("b")] == [3, 3, 4]


def test_a_lower_number_is_of_another_database(reader: Reader) -> None:
    with reader.database.transaction() as session:
        changes.note(session)
    assert reader.value("a") == 1
    with reader.database.transaction() as session:
        session.execute(update(ChangeCounter).values(v=0))
    assert reader.value("a") == 2


def test_a_value_is_read_again_after_its_time(reader: Reader) -> None:
    assert reader.value("a") == 1
    reader.now = 4.9
    assert reader.value("a") == 1
    reader.now = 5.0
    assert reader.value("a") == 2


def test_memory_lets_go_of_what_was_used_least_lately(reader: Reader) -> None:
    assert [reader.value(key) for key in ("a", "b", "a", "c")] == [1, 2, 1, 3]
    assert reader.value("a") == 1
    assert reader.value("b") == 4
