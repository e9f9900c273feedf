"""A transaction that a deadlock undid is run again; one that may have happened is not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import changes, deadlocks
from mirada.db.deadlocks import in_transaction
from mirada.db.models import User
from mirada.db.session import Database
from mirada.kernel.errors import DatabaseBusy, Deadlock, NotFound, Unavailable
from mirada.runtime import Runtime
from testing.patience import PATIENCE_S


def usernames(database: Any) -> list[str]:
    with database.reading() as session:
        return sorted(session.execute(select(User.username)).scalars())


@pytest.mark.mariadb
def test_two_that_wait_for_each_other_both_get_done(mariadb_database: Database) -> None:
    with mariadb_database.transaction() as session:
        session.add_all([User(id=1, username="a"), User(id=2, username="b")])
    both_hold_one = threading.Barrier(2)
    calls: list[int] = []

    def lock(session: Session, first: int, second: int) -> None:
        held = session.execute(select(User).where(User.id == first).with_for_update()).scalar_one()
        calls.append(first)
        if calls.count(first) == 1:
            both_hold_one.wait(timeout=PATIENCE_S)
        session.execute(select(User).where(User.id == second).with_for_update())
        held.username += "!"

    def run(order: tuple[int, int]) -> None:
        in_transaction(mariadb_database, lambda session: lock(session, *order))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, [(1, 2), (2, 1)]))

    assert usernames(mariadb_database) == ["a!", "b!"]
    assert len(calls) == 3


def test_it_is_tried_three_times(runtime: Runtime) -> None:
    calls: list[int] = []

    def unlucky(session: Session) -> str:
        calls.append(1)
        session.add(User(username=f"u{len(calls)}"))
        session.flush()
        if len(calls) < lucky_at:
            raise DatabaseBusy("The database asked us to try again.")
        return "done"

    lucky_at = 3
    assert in_transaction(runtime.database, unlucky) == "done"
    assert usernames(runtime) == ["u3"]
    lucky_at = 9
    with pytest.raises(Unavailable):
        in_transaction(runtime.database, unlucky)
    assert len(calls) == 6
    assert usernames(runtime) == ["u3"]


def test_what_took_long_or_was_refused_is_not_tried_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def refuse(error: Exception) -> Any:
        def work(_: Session) -> None:
            calls.append(1)
            raise error

        return work

    with pytest.raises(NotFound):
        in_transaction(runtime.database, refuse(NotFound("There is none.")))
    with pytest.raises(Unavailable):
        in_transaction(runtime.database, refuse(Unavailable("The database is away.")))
    monkeypatch.setattr(deadlocks, "BUSY_WITHIN_S", 0.0)
    with pytest.raises(DatabaseBusy):
        in_transaction(runtime.database, refuse(DatabaseBusy("The database is busy.")))
    assert len(calls) == 3
    # Whoever was undone by a deadlock has not had its turn, however long it waited for it.
    with pytest.raises(Deadlock):
        in_transaction(runtime.database, refuse(Deadlock("The database is busy.")))
    assert len(calls) == 6


def test_a_deadlock_in_the_last_statements_is_tried_again_too(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [Deadlock("The database is busy.")]
    stamp = changes.stamp

    def unlucky(session: Session) -> None:
        if left:
            raise left.pop()
        stamp(session)

    monkeypatch.setattr(changes, "stamp", unlucky)

    def work(session: Session) -> None:
        session.add(User(username="ana"))
        changes.touch(session, [1])

    in_transaction(runtime.database, work)
    assert usernames(runtime) == ["ana"]


def test_a_commit_that_may_have_happened_is_not_repeated(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = runtime.database.transaction

    @contextmanager
    def losing_the_answer() -> Any:
        with real() as session:
            yield session
        raise Unavailable("The database connection was lost; try again shortly.")

    monkeypatch.setattr(runtime.database, "transaction", losing_the_answer)
    calls: list[int] = []

    def work(session: Session) -> None:
        calls.append(1)
        session.add(User(username=f"u{len(calls)}"))

    with pytest.raises(Unavailable):
        in_transaction(runtime.database, work)
    assert usernames(runtime) == ["u1"]
