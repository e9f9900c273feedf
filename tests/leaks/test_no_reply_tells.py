"""Thousands of generated requests by people who may not see: nothing private is in any reply."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.servers.mariadb import MariaDbServer
from tests.leaks.conftest import documented, planted
from tests.leaks.pools import Pools
from tests.leaks.prowl import Prowl, requests
from tests.leaks.world import World

SEED = 18
REQUESTS, REQUESTS_ON_MARIADB = 4_000, 800
"""Of `make test`; the drills send more of the same row, for twice the time."""
MANY, MANY_ON_MARIADB = 10_000, 1_500


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world of its own: whoever prowls sends bytes that others keep, and knows them afterwards."""
    yield from planted(tmp_path)


@pytest.fixture
def mariadb_world(tmp_path: Path, mariadb: MariaDbServer) -> Iterator[World]:
    with mariadb.new_database() as name:
        yield from planted(tmp_path, database_url=mariadb.url(name))


def prowled(world: World, count: int) -> Prowl:
    """Send so many requests; the private pictures and what is said of them are there all the time."""
    prowl = Prowl(world)
    began = time.monotonic()
    for who, request in itertools.islice(requests(SEED, documented(world), Pools(world)), count):
        prowl.ask(who, request)
    print(f"\n{prowl.told_in_short()}; {time.monotonic() - began:.0f} s")
    return prowl


def assert_nothing_told(prowl: Prowl) -> None:
    assert not prowl.leaks, "\n".join([prowl.told_in_short(), *prowl.leaks[:20]])
    assert not prowl.faults, "\n".join([prowl.told_in_short(), *prowl.faults[:20]])


def test_no_reply_tells_what_its_caller_may_not_see(world: World) -> None:
    prowl = prowled(world, REQUESTS)
    assert_nothing_told(prowl)
    assert prowl.sent >= REQUESTS


@pytest.mark.drill
def test_no_reply_tells_it_in_ten_thousand(world: World) -> None:
    prowl = prowled(world, MANY)
    assert_nothing_told(prowl)
    assert prowl.sent >= MANY


@pytest.mark.mariadb
def test_no_reply_tells_it_on_mariadb_either(mariadb_world: World) -> None:
    assert_nothing_told(prowled(mariadb_world, REQUESTS_ON_MARIADB))


@pytest.mark.drill
@pytest.mark.mariadb
def test_no_reply_tells_it_in_more_on_mariadb(mariadb_world: World) -> None:
    assert_nothing_told(prowled(mariadb_world, MANY_ON_MARIADB))
