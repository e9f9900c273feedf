"""What the database's driver complains about reaches people as a true sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from mirada.config import Settings
from mirada.db.models import User
from mirada.kernel.errors import StorageFull, Unavailable
from mirada.runtime import Runtime


def add_user(runtime: Runtime, name: str) -> None:
    with runtime.transaction() as session:
        session.execute(insert(User).values(username=name))


def test_a_database_without_tables_says_what_makes_them(tmp_path: Path) -> None:
    runtime = Runtime(Settings.from_env(data_dir=tmp_path))
    with (
        pytest.raises(Unavailable, match=r"no tables yet.*db upgrade"),
        runtime.reading() as session,
    ):
        session.execute(select(User))
    runtime.close()


def test_a_full_disk_is_told_as_one(runtime: Runtime) -> None:
    with runtime.reading() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar_one()

    def fill_up() -> None:
        with runtime.transaction() as session:
            # SQLite's own stand-in for a disk without room.
            session.execute(text(f"PRAGMA max_page_count = {pages}"))
            for number in range(2_000):
                session.execute(insert(User).values(username=f"{number}".rjust(150, "x")))

    with pytest.raises(StorageFull, match="disk of the database is full"):
        fill_up()
    add_user(runtime, "bea")


def test_a_file_that_may_not_be_written_is_told_as_one(
    make_runtime: Callable[..., Runtime],
) -> None:
    runtime = make_runtime()

    def write() -> None:
        with runtime.transaction() as session:
            session.execute(text("PRAGMA query_only = ON"))
            session.execute(insert(User).values(username="ana"))

    with pytest.raises(Unavailable, match="cannot be opened for writing"):
        write()


def test_a_database_that_is_a_folder_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "mirada.db").mkdir()
    runtime = Runtime(Settings.from_env(data_dir=tmp_path))
    with pytest.raises(Unavailable, match="cannot be opened"), runtime.reading() as session:
        session.execute(select(User))
    runtime.close()


def test_what_our_statement_is_to_blame_for_is_not_called_an_outage(runtime: Runtime) -> None:
    add_user(runtime, "ana")
    with pytest.raises(IntegrityError):
        add_user(runtime, "ana")
