"""Every page, as everybody: nothing that is somebody's alone is in what another one is shown."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from tests.browser.test_every_page import PATHS
from tests.leaks.exchange import Reply, Request
from tests.leaks.people import CALLERS
from tests.leaks.prowl import Prowl
from tests.leaks.world import World

ALONE = ("/ui/memory/style?name={word}", "/ui/packs?title={word}")
"""Pages that show only what is asked for by name."""


def asked(prowl: Prowl, who: str, address: str) -> Reply:
    path, _, query = address.partition("?")
    headers = {"Accept": "text/html"}
    return prowl.ask(
        who, Request(f"page {path}", "GET", path, tuple(parse_qsl(query)), headers=headers)
    )


def names(world: World) -> dict[str, object]:
    """What is somebody's alone, for addresses."""
    one, two = (world.pictures[what].image_id for what in ("private", "hidden"))
    gone = world.pictures["trashed"].image_id
    pack, by_search = world.ids["packs"]
    packs = {"pack": pack, "one_alone": pack, "empty": pack, "by_search": by_search}
    return packs | {
        "one": one,
        "two": two,
        "gone": gone,
        "word": "a",
        "key": world.ids["keys"][0],
        "hook": world.ids["webhooks"][0],
    }


@pytest.mark.parametrize("path", [*PATHS, *ALONE])
def test_no_page_tells_what_is_not_the_callers(world: World, path: str) -> None:
    prowl = Prowl(world)
    replies = [asked(prowl, who, path.format(**names(world))) for who in CALLERS]
    assert not prowl.leaks, prowl.leaks
    assert all(reply.status < 500 for reply in replies)


def test_the_owner_is_shown_what_others_are_not(world: World) -> None:
    """What the walk looks for is there to be found."""
    reply = asked(Prowl(world), "owner", "/ui")
    assert set(reply.tells(world.vault)) & world.hidden_from("stranger")
