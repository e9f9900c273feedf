"""The same questions where PostgreSQL searches: who may see what is decided in the searching statement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.servers.postgresql import PostgreSqlServer
from tests.leaks import (
    test_copies_do_not_tell,
    test_counts_stand_still,
    test_flips,
    test_matrix,
    test_no_reply_tells,
    test_not_yours_is_absent,
)
from tests.leaks.conftest import planted
from tests.leaks.recipes import RECIPES
from tests.leaks.world import World

REQUESTS = 800
"""Of `make test`; the drill sends as many as on the embedded database."""
SHARE = 0.1


@pytest.fixture
def own_world(tmp_path: Path, pgvector: PostgreSqlServer) -> Iterator[World]:
    with pgvector.new_database() as name:
        yield from planted(tmp_path, database_url=pgvector.url(name), vector_backend="pgvector")


def test_the_world_is_searched_by_pgvector(pgvector_world: World) -> None:
    status = pgvector_world.runtime.index(pgvector_world.space_id).status()
    assert status.backend == "pgvector"
    assert status.live_count >= 5


def test_no_reply_tells_it_here(own_world: World) -> None:
    test_no_reply_tells.assert_nothing_told(test_no_reply_tells.prowled(own_world, REQUESTS))


def test_what_is_not_yours_is_absent(pgvector_world: World) -> None:
    assert test_not_yours_is_absent.compared(pgvector_world, SHARE) > 700


@pytest.mark.drill
def test_no_reply_tells_in_ten_thousand(own_world: World) -> None:
    asked = test_no_reply_tells.MANY
    test_no_reply_tells.assert_nothing_told(test_no_reply_tells.prowled(own_world, asked))


@pytest.mark.drill
@pytest.mark.parametrize("operation_id", sorted(RECIPES))
def test_operations_reach_whom_their_recipes_say(pgvector_world: World, operation_id: str) -> None:
    test_matrix.test_an_operation_reaches_whom_its_recipe_says(pgvector_world, operation_id)


@pytest.mark.drill
def test_a_flip_is_in_no_later_reply(pgvector_world: World) -> None:
    test_flips.assert_nothing_told(test_flips.seesawed(pgvector_world))


@pytest.mark.drill
def test_what_one_does_in_private_changes_no_reply(pgvector_world: World) -> None:
    assert test_counts_stand_still.compared(pgvector_world) > 2_500


@pytest.mark.drill
@test_copies_do_not_tell.AT_ONCE
def test_a_copy_is_answered_like_a_new_picture(pgvector_world: World, asks_at_once: bool) -> None:
    test_copies_do_not_tell.assert_alike(pgvector_world, asks_at_once=asks_at_once)
