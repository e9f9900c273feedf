"""Who uploads what somebody else has in private learns it from nothing, before its job has run or after."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from mirada.classify import expansions
from tests.leaks.exchange import Reply, Request, Upload, send
from tests.leaks.people import newcomers
from tests.leaks.world import World, drawn

AN_HOUR_S = 3600
CHANGING = re.compile(
    r'"(created_at|updated_at|started_at|finished_at|request_id|byte_size|rate_per_s|resets_in_s)": ?'
    r'("[^"]*"|[\d.]+|null)'
)
"""What differs between two uploads that have nothing to do with each other."""
LAST_MODIFIED = re.compile(r'"Last-Modified", "([^"]*)"')
TOKEN = re.compile(r"(?<=/i/)[0-9a-f]{32}")
"""128 random bits in the addresses of pictures."""
NUMBERS = re.compile(r"(?<![.\d])\d{7,}")


@dataclass
class Uploader:
    """Somebody new with one picture, and what they were answered, step by step.

    Attributes:
        image: the path of their image.
        base_seq: the change number before they did anything.
        names: what stands for ids and hashes that are theirs, in the order in which they came up.
    """

    world: World
    who: str
    content: bytes
    image: str = ""
    base_seq: int = 0

    def ask(self, method: str, path: str, **parts: Any) -> Reply:
        key = self.world.keys[self.who]
        return send(self.world.client, Request(self.who, method, path, headers=key, **parts))

    def upload(self) -> Iterator[tuple[str, Reply]]:
        """Send the picture, with a prompt and without a caption."""
        form = (("file", Upload(self.content, "mine.png", "image/png")), ("prompt", "a lighthouse"))
        reply = self.ask("POST", "/api/v1/images", form=form)
        body = json.loads(reply.body)
        self.image = body["url"]
        yield "upload", reply

    def questions(self) -> Iterator[tuple[str, Reply]]:
        """Ask everything whose answer might depend on a vector or a caption that is there."""
        image_id = int(self.image.rpartition("/")[2])
        world, sha256 = self.world, sha256_of(self.content)
        near = ("file", Upload(drawn(601)))
        wide = (near, ("similar_threshold", "-1"), ("theme", "probe"))
        verdict = {"image_hash": sha256, "theme": "probe", "accepted": True}
        vector = [1.0] + [0.0] * 31
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", self.image, {}),
            ("GET", f"{self.image}/file", {}),
            ("GET", f"{self.image}/similar", {"query": (("limit", "100"),)}),
            ("POST", f"{self.image}/similar", {}),
            ("GET", f"{self.image}/related", {"query": (("limit", "20"),)}),
            ("GET", f"/api/images/{image_id}/related", {"query": (("limit", "20"),)}),
            ("GET", "/api/v1/images", {"query": (("mine", "true"),)}),
            *(
                ("GET", "/api/v1/images", {"query": (("facets", FACETS), (name, value))})
                for name, value in filters(world)
            ),
            *(
                (
                    "POST",
                    "/api/v1/search",
                    {"json": {"vector": vector, "k": 100, "filter": {name: as_json(name, value)}}},
                )
                for name, value in filters(world)
            ),
            ("GET", "/api/v1/users/me/memory", {}),
            ("POST", "/api/v1/search", {"json": {"vector": vector, "k": 100}}),
            ("POST", "/api/v1/search", {"json": {"vector": vector, "mine": True}}),
            ("POST", "/api/v1/search", {"json": {"text": "a lighthouse", "in": "prompts"}}),
            ("POST", "/api/v1/search", {"json": {"text": "a lighthouse", "in": "all"}}),
            (
                "POST",
                "/api/v1/search",
                {"json": {"text": "lighthouse", "weights": {"keywords": 1}}},
            ),
            ("POST", "/api/v1/search", {"json": {"image_id": image_id}}),
            ("POST", "/api/v1/search", {"json": {"image_id": image_id, "in": "prompts"}}),
            ("POST", "/api/v1/images/search", {"json": {"query": "a lighthouse"}}),
            ("POST", "/search-similar-images", {"form": (near,)}),
            ("POST", "/api/v1/feedback", {"json": verdict}),
            ("GET", "/api/v1/feedback/themes/probe", {}),
            ("POST", "/classify", {"form": wide}),
            ("POST", "/api/v1/classifications", {"json": {"image_id": image_id}}),
            ("POST", "/api/v1/classifications/batches", {"json": {"image_ids": [image_id]}}),
            ("GET", "/api/v1/classifications", {}),
            ("GET", f"/api/v1/classifications/{sha256}", {}),
            ("GET", "/api/v1/jobs", {}),
            ("GET", "/api/v1/usage", {}),
            ("GET", "/api/v1/clusters", {"query": (("limit", "100"),)}),
            ("GET", "/api/v1/clusters", {"query": (("kind", "near_duplicates"),)}),
            *(("GET", f"/api/v1/clusters/{n}/images", {}) for n in world.ids["groups"]),
            *(("GET", f"/api/v1/clusters/{n}/images", {}) for n in world.ids["owner's groups"]),
            ("GET", "/api/v1/indexes/image", {}),
            ("PATCH", self.image, {"json": {"caption": "mine"}}),
        ]
        for method, path, parts in asked:
            # When an index follows by itself is a matter of time, and another one in each life.
            world.refresh()
            yield f"{method} {path} {parts}", self.ask(method, path, **parts)

    def leave(self) -> Iterator[tuple[str, Reply]]:
        """Take everything away again."""
        yield "delete", self.ask("DELETE", self.image)
        yield "list", self.ask("GET", "/api/v1/images", query=(("mine", "true"),))


FACETS = "visibility,status,kind,shape,has_prompt,liked,theme,label,owner,month"


def filters(world: World) -> list[tuple[str, str]]:
    """Return conditions that a copy of somebody else's picture might meet before its own job has run."""
    themes = [word for word in world.words if "theme" in word]
    labels = [word for word in world.words if "label" in word]
    groups = [*world.ids["groups"], *world.ids["owner's groups"]]
    return [
        ("visibility", "private"),
        ("nsfw", "true"),
        ("nsfw", "false"),
        ("liked", "false"),
        *(("theme", theme) for theme in themes),
        *(("label", label) for label in labels),
        *(("group", str(number)) for number in groups),
    ]


def as_json(name: str, value: str) -> Any:
    """Return a condition's value as JSON has it."""
    match name:
        case "label":
            return [value]
        case "group":
            return int(value)
        case _:
            return {"true": True, "false": False}.get(value, value)


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_of_now(http_date: str) -> bool:
    """Return whether a time is of this test, not of what was there before."""
    return parsedate_to_datetime(http_date).timestamp() > time.time() - AN_HOUR_S


def age(world: World) -> None:
    """Let every stored file be a day old."""
    for path in world.runtime.settings.image_dir.rglob("*.png"):
        os.utime(path, (time.time() - 24 * AN_HOUR_S,) * 2)


def comparable(world: World, uploader: Uploader, reply: Reply, base_seq: int) -> Any:
    """Return a reply without what is the uploader's own; change numbers as a difference."""
    status, headers, body = reply.same_as()
    text = json.dumps(headers) + "\n" + (body if isinstance(body, str) else "bytes")
    text = text.replace(sha256_of(uploader.content), "own hash")
    text = text.replace(sha256_of(uploader.content)[:32], "own hash")
    # As a word: two letters stand in placeholders as well.
    text = re.sub(rf"\b{uploader.who}\b", "uploader", text)
    text = CHANGING.sub(r'"\1": …', TOKEN.sub("token", text))
    text = LAST_MODIFIED.sub(lambda found: "now" if is_of_now(found[1]) else found[1], text)
    text = re.sub(
        r'("change_seq": ?|"X-Change-Seq", ")(\d+)',
        lambda found: f"{found[1]}+{int(found[2]) - base_seq}",
        text,
    )
    own: dict[str, str] = {}
    others = {str(planted.image_id) for planted in world.pictures.values()}
    others |= {str(number) for number in (*world.ids["groups"], *world.ids["owner's groups"])}
    others |= {str(number) for number in world.user_ids.values()}
    text = NUMBERS.sub(
        lambda found: found[0] if found[0] in others else own.setdefault(found[0], f"n{len(own)}"),
        text,
    )
    return status, re.sub(r'"Content-Length", "\d+"', "", text)


def life(world: World, who: str, content: bytes, *, asks_at_once: bool) -> list[tuple[str, Any]]:
    """Return what somebody is answered from their first upload to the last deletion.

    Who asks at once also types a caption before the model could write one.
    """
    uploader = Uploader(world, who, content)
    base_seq = world.change_seq()
    told: list[tuple[str, Any]] = []

    def note(steps: Iterator[tuple[str, Reply]]) -> None:
        for step, reply in steps:
            image = uploader.image.rpartition("/")[2]
            name = step.replace(image, "IMAGE") if image else step
            name = name.replace(sha256_of(content), "HASH")
            told.append((name, comparable(world, uploader, reply, base_seq)))

    note(uploader.upload())
    if asks_at_once:
        note(uploader.questions())
    world.settle()
    note(uploader.questions())
    note(uploader.leave())
    world.settle()
    return told


def parting(known: str, fresh: str) -> str:
    """Return where two replies begin to differ."""
    length = min(len(known), len(fresh))
    same = next((at for at in range(length) if known[at] != fresh[at]), length)
    start = max(0, same - 120)
    return f"  known: {known[start:][:400]}\n  fresh: {fresh[start:][:400]}"


def expand_labels(world: World) -> None:
    """Ask for every label's expansion: whoever is first to name a label pays for it (0018)."""
    for label in world.told("admin", "GET", "/api/v1/labels")["results"]:
        expansions.queue_expansion(world.runtime, label["name"])


ITSELF = "GET /api/v1/images/IMAGE {"


def assert_alike(world: World, *, asks_at_once: bool) -> None:
    age(world)
    expand_labels(world)
    known = world.pictures["private"].content
    note = world.pictures["private"].words["generator"]
    other = drawn(1, note, compress_level=3)
    # What a model says of those bytes is known by then, and paid for by their owner.
    described = world.upload("owner", f"described {asks_at_once}", known)
    world.settle()
    assert world.told("owner", "GET", described.url)["caption_source"] == "model"
    letter = "u" if asks_at_once else "w"
    names = [f"{letter}1", f"{letter}2"]
    world.keys |= dict(zip(names, newcomers(world.runtime, 2, letter), strict=True))
    # The very bytes that the owner keeps in private, and the same picture in bytes that nobody has.
    taken = life(world, names[0], known, asks_at_once=asks_at_once)
    fresh = life(world, names[1], other, asks_at_once=asks_at_once)
    assert len(taken) == len(fresh) > (50 if asks_at_once else 30)
    captioned = [reply for step, reply in (*taken, *fresh) if step.startswith("PATCH")]
    assert {status for status, _ in captioned} == {200}, captioned
    told = "".join(str(reply) for _, reply in taken)
    # Lists show what others made public as well, with captions by a model.
    own = "".join(str(reply) for step, reply in taken if step.startswith(ITSELF))
    assert bool(re.search(r"caption_source\W+model", own)) is not asks_at_once
    # Described is every picture, beside what a person typed.
    assert re.search(r"purpose\W+caption\W", told)
    assert re.search(r"description\W+A \w+ on the roof", told)
    differences = [
        f"{step}\n{parting(str(mine), str(theirs))}"
        for (step, mine), (_, theirs) in zip(taken, fresh, strict=True)
        if mine != theirs
    ]
    assert not differences, f"{len(differences)} differ:\n" + "\n".join(differences[:6])


AT_ONCE = pytest.mark.parametrize("asks_at_once", [True, False], ids=["at once", "described"])


@AT_ONCE
def test_a_copy_of_a_private_picture_is_answered_like_a_new_one(
    world: World, asks_at_once: bool
) -> None:
    assert_alike(world, asks_at_once=asks_at_once)


@pytest.mark.mariadb
def test_it_is_so_on_mariadb_too(mariadb_world: World) -> None:
    assert_alike(mariadb_world, asks_at_once=True)


@pytest.mark.drill
@pytest.mark.mariadb
def test_it_is_so_on_mariadb_once_described(mariadb_world: World) -> None:
    """A drill: who asks at once asks all of this too, and SQLite answers both in `make test`."""
    assert_alike(mariadb_world, asks_at_once=False)
