"""What is somebody else's is answered exactly like what does not exist, whatever is asked of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.leaks.conftest import documented
from tests.leaks.generator import about_something_else, generated
from tests.leaks.operations import Operation
from tests.leaks.people import CALLERS
from tests.leaks.pools import Pools
from tests.leaks.prowl import Prowl
from tests.leaks.recipes import RECIPES, Names
from tests.leaks.world import World

SHARE, SHARE_ON_MARIADB = 0.3, 0.1
"""How many of the pairs of a caller and a private thing are tried, by operation and field."""
MUCH, MUCH_ON_MARIADB = 0.6, 0.2
"""The same in the drills, which try twice as many and take twice the time."""
OF_RANK = (Names.JOB, Names.USER, Names.KEY, Names.TRANSFER)
"""What administrators see of everybody."""


def pairs(
    world: World, operation: Operation, pools: Pools, share: float
) -> Iterator[tuple[str, Any, Any, random.Random, str]]:
    """Yield callers with a private thing, one that nobody has, and the field that names it."""
    recipe = RECIPES[operation.id]
    for field, what in recipe.names.items():
        for private in pools.private[what]:
            for who in CALLERS:
                is_own = private in pools.own(who, what)
                if is_own or who in recipe.not_by or (who == "admin" and what in OF_RANK):
                    continue
                random_ = random.Random(f"{operation.id} {field} {private} {who}")
                if random_.random() < share:
                    yield who, private, pools.absent(what, private), random_, field


def compared(world: World, share: float) -> int:
    pools, prowl, differences = Pools(world), Prowl(world), []
    for operation in documented(world):
        for who, private, absent, random_, field in pairs(world, operation, pools, share):
            recipe = RECIPES[operation.id]
            request = generated(random_, operation, recipe, pools, pinned={field: private})
            # A stored picture is named by its number and an ending.
            old, new = (str(each).partition(".")[0] for each in (private, absent))
            other = about_something_else(request, old, new)
            theirs = prowl.ask(who, request)
            nothing = prowl.ask(who, other)
            if theirs.same_as() != nothing.same_as(without={new: old}):
                differences.append(f"{who}: {request}\n  {theirs}\n  {nothing}")
    print(f"\n{prowl.told_in_short()}")
    assert not differences, f"{len(differences)} differ:\n" + "\n".join(differences[:10])
    assert not prowl.leaks, "\n".join(prowl.leaks[:10])
    assert not prowl.faults, "\n".join(prowl.faults[:10])
    return prowl.sent


def test_what_is_not_yours_is_answered_like_what_does_not_exist(world: World) -> None:
    assert compared(world, SHARE) > 2_500


@pytest.mark.mariadb
def test_it_is_so_on_mariadb_too(mariadb_world: World) -> None:
    assert compared(mariadb_world, SHARE_ON_MARIADB) > 700


@pytest.mark.drill
def test_twice_as_many_are_answered_so(world: World) -> None:
    assert compared(world, MUCH) > 5_000


@pytest.mark.drill
@pytest.mark.mariadb
def test_twice_as_many_on_mariadb(mariadb_world: World) -> None:
    assert compared(mariadb_world, MUCH_ON_MARIADB) > 1_500
