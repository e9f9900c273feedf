"""The tests' own servers give each test something empty and migrated."""

from __future__ import annotations

import ast
from typing import Any

from flask import Flask
from sqlalchemy import select

import webapp
from mirada.config import PROJECT_ROOT
from mirada.db.models import Installation, User
from mirada.db.session import Database
from mirada.runtime import Runtime
from testing import application
from tests.conftest import MakeRuntime

FRESH = {"tests/e2e/test_pictures_in_and_found_again.py"}
"""Files where the limit of a wait is itself promised to users, in seconds."""


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


def test_the_second_application_of_a_process_is_as_the_product_builds_it(runtime: Runtime) -> None:
    built = webapp.create_app(runtime)
    application.create_app(runtime)
    second = application.create_app(runtime)

    def routes(app: Flask) -> list[tuple[Any, ...]]:
        return [
            (
                rule.endpoint,
                sorted(rule.methods or ()),
                rule.build(dict.fromkeys(rule.arguments, 7)),
            )
            for rule in app.url_map.iter_rules()
        ]

    assert routes(second) == routes(built)
    for path in ("/openapi.json", "/livez", "/api/v1/images"):
        assert second.test_client().get(path).data == built.test_client().get(path).data
    assert second.view_functions.keys() == built.view_functions.keys()


def test_waiting_for_what_comes_ends_early_or_takes_long() -> None:
    """A limit of a few seconds passes here and fails on a busy machine."""
    short = []
    for path in [
        *(PROJECT_ROOT / "tests").rglob("*.py"),
        *(PROJECT_ROOT / "testing").rglob("*.py"),
    ]:
        source = path.read_text(encoding="utf-8")
        for call in ast.walk(ast.parse(source)) if "wait_until(" in source else ():
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "wait_until":
                limits = [one.value for one in call.keywords if one.arg == "timeout_s"]
                if any(isinstance(one, ast.Constant) and one.value < 30 for one in limits):
                    short.append(path.relative_to(PROJECT_ROOT).as_posix())
    assert set(short) <= FRESH, (
        "wait with the patience of testing.patience, or say why not in FRESH"
    )
