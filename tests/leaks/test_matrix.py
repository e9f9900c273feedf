"""Every operation of the document is in the matrix, with values for all its fields, and is as said."""

from __future__ import annotations

import random

import pytest

from tests.leaks.conftest import documented
from tests.leaks.generator import generated
from tests.leaks.pools import Pools
from tests.leaks.prowl import Prowl
from tests.leaks.recipes import RECIPES, Reach, Recipe
from tests.leaks.world import World

CALLS = 20
"""Requests to one operation by one caller: enough to meet one that makes sense."""
MORE_SEEDS = range(CALLS, 15 * CALLS)
NONSENSE = (400, 404, 412, 415, 422)
"""What makes no sense may be refused before anybody asks who sent it."""


def test_every_operation_is_in_the_matrix(world: World) -> None:
    missing = [str(each) for each in documented(world) if each.id not in RECIPES]
    assert not missing, (
        f"Nobody has said what {', '.join(missing)} may tell to whom. Add a Recipe of that name to "
        "RECIPES in tests/leaks/recipes.py: its reach, and which of its fields name something that "
        "may be somebody's. If it shows a new kind of thing, plant a private one in "
        "tests/leaks/planting.py."
    )


def test_the_matrix_has_no_operation_that_is_no_more(world: World) -> None:
    assert not RECIPES.keys() - {each.id for each in documented(world)}


def test_every_field_of_every_operation_has_values(world: World) -> None:
    pools = Pools(world)
    unknown = [
        f"'{field.name}' ({field.place}) of {operation}"
        for operation in documented(world)
        for field in operation.fields
        if not pools.of(operation, field, RECIPES.get(operation.id, Recipe(Reach.VIEWER)))
    ]
    assert not unknown, (
        f"The suite does not know what to send as {', '.join(unknown)}. Add values for that name to "
        "Pools in tests/leaks/pools.py, those that somebody else would like to keep among them."
    )


def test_what_a_recipe_names_is_a_field_of_its_operation(world: World) -> None:
    fields = {each.id: {field.name for field in each.fields} for each in documented(world)}
    wrong = {
        name: sorted(recipe.names.keys() - fields[name])
        for name, recipe in RECIPES.items()
        if recipe.names.keys() - fields[name]
    }
    assert not wrong


@pytest.mark.parametrize("operation_id", sorted(RECIPES))
def test_an_operation_reaches_whom_its_recipe_says(world: World, operation_id: str) -> None:
    (operation,) = (each for each in documented(world) if each.id == operation_id)
    recipe, pools, prowl = RECIPES[operation_id], Pools(world), Prowl(world)
    # The world is other tests' as well, in which a copy for everybody would be one too many.
    pools.never_keep(world.pictures["lent"].content)
    refused = 0
    for seed in range(CALLS):
        request = generated(random.Random(seed), operation, recipe, pools)
        anonymous = prowl.ask("anonymous", request)
        newcomer = prowl.ask("newcomer", request)
        refused += (
            newcomer.status == 403
            if recipe.reach in (Reach.ADMINISTRATOR, Reach.OPERATOR)
            else (anonymous.status == 401)
        )
        match recipe.reach:
            case Reach.ALIKE:
                assert anonymous.same_as() == newcomer.same_as(), str(request)
            case Reach.VIEWER:
                is_told_when = "X-Min-Change-Seq" in request.headers
                assert (anonymous.status == 401) <= is_told_when, str(request)
                assert anonymous.status != 403, str(request)
            case Reach.KEY:
                assert anonymous.status in (401, *NONSENSE), str(request)
                assert newcomer.status not in (401, 403), str(request)
            case Reach.SIGNER:
                # Only void keys are among the values.
                assert anonymous.status in (401, 403, *NONSENSE), str(request)
            case Reach.ADMINISTRATOR | Reach.OPERATOR:
                assert anonymous.status in (401, *NONSENSE), str(request)
                assert newcomer.status in (403, *NONSENSE), str(request)
    if recipe.reach not in (Reach.VIEWER, Reach.ALIKE) and not refused:
        # Of many parameters one is nonsense in most requests, and that is told before a key is asked for.
        plain = [generated(random.Random(seed), operation, recipe, pools) for seed in MORE_SEEDS]
        refused = any(prowl.ask("anonymous", request).status == 401 for request in plain)
    if recipe.reach is not Reach.VIEWER:
        assert bool(refused) is (recipe.reach is not Reach.ALIKE)
