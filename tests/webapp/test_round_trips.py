"""A search by a stored image makes few round trips to the database, and each asks for something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirada.people import users
from mirada.runtime import Runtime
from testing.application import create_app
from testing.round_trips import counted
from testing.vector_library import Library, random_vectors

pytestmark = pytest.mark.mariadb
MOST = 4
"""The key, the image's vector, which images may be seen, and the images themselves."""
Ask = Callable[[str], tuple[Any, list[str]]]


@pytest.fixture
def ask(make_runtime: Callable[..., Runtime], migrated_mariadb_url: str) -> Ask:
    """Return a function that asks as somebody with a key, and gives the reply and what was sent."""
    runtime = make_runtime(database_url=migrated_mariadb_url, auth_mode="keys")
    space_id, space = runtime.space()
    with runtime.transaction() as session:
        ana = users.create_with_key(session, "ana")
    library = Library(runtime.database, space_id, space.dimension, [ana.user.id])
    library.add(random_vectors(40, space.dimension))
    client = create_app(runtime).test_client()

    def ask(path: str) -> tuple[Any, list[str]]:
        with counted() as sent:
            reply = client.get(path, headers={"X-API-Key": ana.first_key.key or ""})
        assert reply.status_code == 200, reply.text
        return reply.json, sent

    # The first request of a process connects, and asks once for what never changes.
    ask("/api/v1/images/1/similar")
    return ask


def test_a_search_by_a_stored_image_makes_four_round_trips(ask: Ask) -> None:
    found, sent = ask("/api/v1/images/2/similar?limit=10")
    assert len(found["results"]) == 10
    assert len(sent) <= MOST, sent
    assert all(each.startswith("SELECT") for each in sent), sent
