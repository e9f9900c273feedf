"""The judge is no blind one: the owner, who may see all of it, is told every secret by these requests."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from tests.leaks.conftest import documented
from tests.leaks.exchange import Request, Upload
from tests.leaks.generator import generated
from tests.leaks.operations import Operation
from tests.leaks.pools import Pools
from tests.leaks.prowl import Prowl
from tests.leaks.recipes import RECIPES, Recipe
from tests.leaks.world import World

TOLD_TO_NOBODY = (
    "idempotency",
    "bytes of remembered",
    "bytes of query picture",
    "bytes of trashed",
    "pixels of remembered",
    "vector of prompt of",
    "prompt of drawing",
    "caption of drawing",
    "address of fetching",
    "caption of fetching",
)
"""What no reply has for anybody: nothing keeps the bytes of a picture that was only classified, a picture
to ask with is shown as a thumbnail alone, and one in the trash as copies; no prompt's vector leaves the
index, and a job does not say with which words it was asked for."""
GONE = ("deleted", "deleted public")
"""Pictures that are gone for their owner as well."""
CALLS = 6
"""Requests for each pin at most, since each is made by chance; one is enough where it tells everything."""


def one_of_many(name: str) -> str:
    """Return what is said of all numbers of a kind: that one of them is told is enough."""
    return re.sub(r" \d+$", "", name)


def pins_of(operation: Operation, recipe: Recipe, pools: Pools) -> list[dict[str, Any]]:
    """Return the fields to pin in requests to an operation: each private thing that it may be asked for."""
    pins: list[dict[str, Any]] = [
        {name: value} for name, what in recipe.names.items() for value in pools.private[what]
    ]
    if any(field.is_file for field in operation.fields):
        pins += [{"file": Upload(content)} for content in pools.files(recipe)]
    if operation.method == "GET" and any(field.name == "limit" for field in operation.fields):
        pins += [{"limit": limit} for limit in (1, 2, 3, 100)]
    return [*pins, *({} for _ in range(10))]


def asked_everywhere(world: World, turn: int) -> set[str]:
    """Return what the owner is told by one request for each pin of each operation that changes nothing."""
    pools, prowl = Pools(world), Prowl(world)
    told: set[str] = set()
    for operation in documented(world):
        recipe = RECIPES[operation.id]
        if recipe.changes:
            continue
        for pinned in pins_of(operation, recipe, pools):
            random_ = random.Random(f"{operation.id} {pinned} {turn}")
            request = generated(random_, operation, recipe, pools, pinned=pinned)
            # The links to other pages repeat what was asked: that alone tells nobody anything.
            said = world.vault.in_text(request.text)
            repeated = {name for name in said if name.startswith(TOLD_TO_NOBODY)}
            told |= set(prowl.ask("owner", request).tells(world.vault)) - repeated
    return told


def asked_by_hand(world: World) -> set[str]:
    """Return what the owner is told by requests that chance seldom makes."""
    prowl, told = Prowl(world), set()
    # Most filters leave nothing of the few groups that nobody else sees.
    alone = Request("listClusters", "GET", "/api/v1/clusters", (("kind", "near_duplicates"),))
    told |= set(prowl.ask("owner", alone).tells(world.vault))
    # Cursors alone tell their ids, and what other tests had classified later stands before them.
    for limit in range(1, 12):
        query = (("limit", str(limit)),)
        page = Request("listClassifications", "GET", "/api/v1/classifications", query)
        told |= set(prowl.ask("owner", page).tells(world.vault))
    # Most filters leave nothing of the few pictures in the trash.
    trash = Request("listImages", "GET", "/api/v1/images", (("trash", "true"),))
    listed = prowl.ask("owner", trash)
    told |= set(listed.tells(world.vault))
    for image in json.loads(listed.body)["results"]:
        for path in image["picture"]["src"].values():
            told |= set(prowl.ask("owner", Request("getPicture", "GET", path)).tells(world.vault))
    return told


def untold(world: World, told: set[str]) -> set[str]:
    """Return the secrets of the owner that are told nowhere; what is told to nobody must not be told."""
    own = {
        one_of_many(name)
        for name, secret in world.vault.secrets.items()
        if "owner" in secret.holders and secret.about not in GONE
    }
    never = {name for name in own if name.startswith(TOLD_TO_NOBODY)}
    assert not told & never
    return own - {one_of_many(name) for name in told} - never


def test_every_secret_is_within_reach_of_the_requests(world: World) -> None:
    told = asked_by_hand(world)
    for turn in range(CALLS):
        told |= asked_everywhere(world, turn)
        if not (left := untold(world, told)):
            break
    assert not left, "\n".join(sorted(left))


@pytest.mark.drill
def test_what_is_told_to_nobody_is_not_told_in_more_requests(world: World) -> None:
    for turn in range(CALLS, 3 * CALLS):
        untold(world, asked_everywhere(world, turn))
