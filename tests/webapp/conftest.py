"""Fixtures of the HTTP tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask.testing import FlaskClient

from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.asking import Words
from testing.gallery import Gallery


@pytest.fixture
def gallery(runtime: Runtime, client: FlaskClient) -> Iterator[Gallery]:
    """Pictures of the local user."""
    return Gallery(runtime, client)


@pytest.fixture
def guarded(make_runtime: Callable[..., Runtime]) -> Gallery:
    """Pictures behind AUTH_MODE=keys."""
    from testing.application import create_app

    runtime = make_runtime(auth_mode="keys")
    return Gallery(runtime, create_app(runtime).test_client())


@pytest.fixture
def key_of(guarded: Gallery) -> Callable[..., dict[str, str]]:
    """Return a function that makes a user and returns the headers of its key."""

    def make(username: str, *, is_administrator: bool = False) -> dict[str, str]:
        with guarded.runtime.transaction() as session:
            user = users.create_user(session, username, is_administrator=is_administrator)
            return {"Authorization": f"Bearer {issue_key(session, user).key}"}

    return make


@pytest.fixture
def words(make_runtime: Callable[..., Runtime]) -> Words:
    """Pictures that show texts, none of which is like another."""
    wall = Words(make_runtime())
    for text in ("moon", "sea", "tree", "house", "road", "bird", "ship", "hill"):
        wall.hang(text)
    return wall
