"""What somebody does with private pictures changes no reply to anybody else: no count, order or score."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.leaks.conftest import documented
from tests.leaks.exchange import Reply, Request, Upload
from tests.leaks.generator import generated
from tests.leaks.pools import Pools
from tests.leaks.prowl import Prowl
from tests.leaks.recipes import RECIPES
from tests.leaks.world import World, drawn

VIEWERS = ("stranger", "newcomer", "twin", "anonymous")
VIEWERS_ON_MARIADB = ("stranger", "anonymous")
"""The drill asks for all of them there: on SQLite `make test` does, and takes the time once."""
CALLS = 1
"""Requests to one operation by one viewer."""
COUNTED_FROM_ALL = re.compile(
    r'("change_seq": ?|its latest is |"affinity": ?|"score_after": ?|"contribution": ?'
    r'|"resets_in_s": ?|"oldest_queued_s": ?|"since": ?|(?<![\w"])id: )-?[\d.e-]+'
)
"""What follows from everybody's doings on purpose and is told to callers with a key only: numbers of
changes, and scores that verdicts have moved (decision 0018). Clocks go on as well."""

USED_AT = re.compile(r'"last_used_at": ?"[^"]*"')
"""When the viewer's own key was last used: once a minute their own question moves it."""

LINK_ENDS = re.compile(
    r'(?<="count":)(\d+,"expires_at":)"[^"]*"|(?<=[?&])(until|signature)=[\w.-]+'
)
"""When addresses of pictures end, which are made for so many seconds from now."""


@pytest.fixture(autouse=True)
def _no_work_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs here, so on a slow machine jobs become late in between, and health says so."""
    monkeypatch.setattr("mirada.health.probes.stalled_s", lambda _: None)


def panel(world: World, viewers: tuple[str, ...]) -> list[tuple[str, Request]]:
    """Return questions that change nothing: the same ones are asked before and after."""
    pools, asked = Pools(world), []
    for operation in documented(world):
        recipe = RECIPES[operation.id]
        if operation.method == "GET" or recipe.asks:
            for who in viewers:
                for turn in range(CALLS):
                    random_ = random.Random(f"{operation.id} {who} {turn}")
                    asked.append((who, generated(random_, operation, recipe, pools)))
    return asked


def comparable(who: str, reply: Reply) -> tuple[Any, ...]:
    status, headers, body = reply.same_as()
    if who == "anonymous":
        return status, headers, body
    kept = tuple((name, value) for name, value in headers if name != "X-Change-Seq")
    kept = tuple((name, value) for name, value in kept if name != "Content-Length")
    body = USED_AT.sub('"last_used_at": …', body) if isinstance(body, str) else body
    body = LINK_ENDS.sub(r"\1\2…", body) if isinstance(body, str) else body
    return status, kept, COUNTED_FROM_ALL.sub(r"\1…", body) if isinstance(body, str) else body


def deeds(world: World) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what the owner does, one after the other, with its name."""

    def images(method: str, what: str, **parts: Any) -> Callable[[], Any]:
        return lambda: world.told(
            "owner", method, f"/api/v1/images/{world.pictures[what].image_id}", **parts
        )

    def classify(what: str) -> Callable[[], Any]:
        body = {"theme": "pets", "asset_id": "of nobody else", "labels": ["cat", "odd one"]}
        return lambda: world.told(
            "owner",
            "POST",
            "/api/v1/classifications",
            json=body | {"image_id": world.pictures[what].image_id},
        )

    def upload(what: str, content: bytes) -> Callable[[], Any]:
        return lambda: world.upload("owner", what, content, prompt="a public lighthouse 200")

    public, lent = world.pictures["public 200"].content, world.pictures["lent"].content
    yield "uploads a private picture", upload("new", drawn(41))
    yield "uploads privately what somebody else shows", upload("same as public", public)
    yield "uploads what somebody else has privately", upload("same as lent", lent)
    yield "writes a caption", images("PATCH", "new", json={"caption": "lighthouse"})
    yield "writes a prompt", images("PATCH", "new", json={"prompt": "film still"})
    yield "classifies it", classify("new")
    yield "judges it", lambda: world.judge("owner", "new", "pets", accepted=False)
    yield "judges what somebody else has too", lambda: world.judge("owner", "lent", "pets")
    yield (
        "has bytes classified",
        lambda: world.told("owner", "POST", "/classify", form=(("file", Upload(drawn(42))),)),
    )
    yield "deletes it", images("DELETE", "new")
    yield "deletes the copy of a public one", images("DELETE", "same as public")
    yield "deletes a copy of the lent one", images("DELETE", "same as lent")


def compared(world: World, viewers: tuple[str, ...] = VIEWERS) -> int:
    prowl = Prowl(world)
    questions = panel(world, viewers)

    def answers() -> list[Reply]:
        world.settle()
        return [prowl.ask(who, request) for who, request in questions]

    before, differences = answers(), []
    for deed, do in deeds(world):
        do()
        after = answers()
        for (who, request), old, new in zip(questions, before, after, strict=True):
            if comparable(who, old) != comparable(who, new):
                differences.append(f"The owner {deed}; {who} sees it: {request}\n {old}\n {new}")
        before = after
    print(f"\n{prowl.told_in_short()}")
    assert not differences, f"{len(differences)} differ:\n" + "\n".join(differences[:8])
    assert not prowl.leaks, "\n".join(prowl.leaks[:10])
    assert not prowl.faults, "\n".join(prowl.faults[:10])
    return prowl.sent


def test_what_one_does_in_private_changes_no_reply_to_others(world: World) -> None:
    assert compared(world) > 2_500


@pytest.mark.mariadb
def test_nor_does_it_on_mariadb(mariadb_world: World) -> None:
    assert compared(mariadb_world, VIEWERS_ON_MARIADB) > 1_250


@pytest.mark.drill
@pytest.mark.mariadb
def test_nor_to_any_of_them_on_mariadb(mariadb_world: World) -> None:
    assert compared(mariadb_world) > 2_500
