"""The tests' own servers give each test something empty and migrated."""

from __future__ import annotations

from sqlalchemy import select

from mirada.db.models import Installation, User
from mirada.db.session import Database
from mirada.runtime import Runtime
from tests.conftest import MakeRuntime


def _add_a_user(database: Database) -> int:
    with database.transaction() as session:
        user = User(username="ada", role="user")
        session.add(user)
        session.flush()
        return user.id


def test_a_database_starts_empty(database: Database) -> None:
    assert _add_a_user(database) == 1


def test_a_database_starts_empty_again(database: Database) -> None:
    with database.reading() as session:
        assert session.execute(select(User)).first() is None
    assert _add_a_user(database) == 1


def test_a_redis_starts_empty(redis_url: str) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_two_runtimes_share_nothing_unless_told(make_runtime: MakeRuntime) -> None:
    first, second = make_runtime(), make_runtime()
    shared = make_runtime(data_dir=first.settings.data_dir)

    def epoch(runtime: Runtime) -> str:
        with runtime.reading() as session:
            return session.execute(select(Installation.db_epoch)).scalar_one()

    assert epoch(first) == epoch(shared) != epoch(second)


def test_a_runtime_works_on_mariadb(make_runtime: MakeRuntime, mariadb_url: str) -> None:
    runtime = make_runtime(database_url=mariadb_url)
    assert _add_a_user(runtime.database) == 1
