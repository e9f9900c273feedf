"""The demo's scenes: who owns them, what is said of them, and that a second run adds nothing."""

from __future__ import annotations

import runpy
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mirada.jobs.kinds import RetryPolicy
from mirada.kernel.labels import DEFAULT_LABELS
from mirada.runtime import Runtime
from testing.app_server import served
from testing.application import create_app
from testing.deployment import ROOT
from testing.encoders import CountingEncoder, with_encoder
from workers.in_process import InProcessWorker
from workers.kinds import KINDS

DEMO = runpy.run_path(str(ROOT / "dev" / "demo.py"))
scenes = sys.modules["demo_scenes"]
packs = sys.modules["demo_packs"]
BOOK = scenes.written()
GALLERIES = {each["owner"] for each in BOOK["scenes"] if each["owner"]}
FILES = {each["file"] for each in BOOK["scenes"]}
EMBED = "create_embeddings_task"
DRAWN = FILES | {BOOK["damaged"]["file"]}


@pytest.fixture
def runtime(make_runtime: Callable[..., Runtime]) -> Runtime:
    """With an encoder that costs nothing."""
    return with_encoder(make_runtime(), CountingEncoder())


@pytest.fixture
def address(runtime: Runtime) -> Iterator[str]:
    """Where a server with a worker is."""
    with served(create_app(runtime)) as address:
        yield address


@pytest.fixture
def worker(runtime: Runtime) -> Iterator[InProcessWorker]:
    """A worker that has not begun."""
    working = InProcessWorker(runtime, threads=2)
    yield working
    working.stop()


def run(server: Any, url: str, worker: InProcessWorker | None = None) -> int:
    """Do what the demo does beside its stickers; return how many scenes were uploaded."""
    scenes.hold_up(server)
    if worker is not None:
        worker.start()
    walls = scenes.open_walls(server, lambda key: DEMO["Server"](url, key))
    try:
        added: int = scenes.hang(walls)
        scenes.talk(walls)
    finally:
        scenes.close_walls(walls)
    return added


def everything(server: Any) -> dict[str, Any]:
    """Return what there is, without what changes by itself."""
    images = sorted(server.every("/api/v1/images?limit=100"), key=lambda each: each["id"])
    return {
        "images": [(each["id"], each["like_count"], each["comment_count"]) for each in images],
        "owners": {each["caption"]: each["owner"]["username"] for each in images},
        "users": sorted(each["username"] for each in server.every("/api/v1/users?limit=100")),
        "themes": sorted(
            (each["theme"], each["accepted"], each["rejected"])
            for each in server.every("/api/v1/feedback/themes?limit=100")
        ),
        "cancelled": len(server.every("/api/v1/jobs?state=cancelled&limit=100")),
        "grouped": len(server.every("/api/v1/jobs?kind=cluster_library_task&limit=100")),
        "keys": len(server.every("/api/v1/users/2/keys?limit=100")),
    }


def test_three_galleries_hang_their_scenes_and_a_second_run_adds_nothing(
    address: str, worker: InProcessWorker
) -> None:
    server = DEMO["Server"](address, None)

    assert run(server, address, worker) == len(FILES) - 1
    first = everything(server)

    owners = {each["caption"]: each["owner"] or "local" for each in BOOK["scenes"]}
    assert first["owners"] == owners
    assert first["users"] == sorted({*GALLERIES, "local"})
    assert len(GALLERIES) == 3
    assert sum(likes for _, likes, _ in first["images"]) == sum(map(len, BOOK["likes"].values()))
    assert sum(said for _, _, said in first["images"]) == len(BOOK["comments"])
    assert sum(good + bad for _, good, bad in first["themes"]) == len(BOOK["verdicts"])
    assert first["grouped"] == 2
    (left,) = server.every("/api/v1/jobs?kind=classify_images_task&limit=100")
    assert left["state"] == "cancelled"
    assert run(server, address) == 0
    assert everything(server) == first


def test_a_picture_is_held_up_in_sight_of_its_owner_who_can_try_again(
    address: str, worker: InProcessWorker
) -> None:
    server = DEMO["Server"](address, None)
    assert scenes.hold_up(server)
    assert scenes.is_held_up(server)

    jobs = server.every("/api/v1/jobs?state=cancelled&limit=100")
    assert "Make a picture searchable" in {each["title"] for each in jobs}
    assert all("Try it again" in each["error"]["hint"] for each in jobs)
    assert not scenes.hold_up(server)

    worker.start()
    for job in jobs:
        server.send(f"/api/v1/jobs/{job['id']}/retry", {})
    scenes._until_embedded(server)
    assert not scenes.is_held_up(server)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_picture_that_is_damaged_fails_in_sight_of_its_owner_and_a_retry_ends_it(
    address: str,
    runtime: Runtime,
    worker: InProcessWorker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_there: bool,
) -> None:
    quick = replace(KINDS[EMBED], retry_policy=RetryPolicy(max_attempts=3, first_delay_s=0))
    monkeypatch.setitem(KINDS, EMBED, quick)
    server = DEMO["Server"](address, None)
    folder = runtime.settings.image_dir if is_there else tmp_path / "elsewhere"
    damage = scenes.Damage(server, folder)
    again = scenes.Damage(server, folder)
    worker.start()
    for each in (damage, again):
        each.begin()
    assert damage.has_failed() is is_there
    assert not again.has_failed()
    for each in (damage, again):
        each.mend()
    (image,) = server.own_images()
    (job,) = server.every(f"/api/v1/jobs?kind={EMBED}&limit=100")
    if is_there:
        assert (job["state"], job["error"]["code"]) == ("failed", "corrupt_image")
        assert "damaged" in job["error"]["hint"]
        assert image["status"] == "FAILED"
        with urllib.request.urlopen(f"{address}/ui/activity") as page:
            shown = page.read().decode()
        assert "A paper boat" in shown
        assert "The picture is damaged" in shown
        assert f"/jobs/{job['id']}/retry" in shown
        server.send(f"/api/v1/jobs/{job['id']}/retry", {})
    assert scenes._ended(server, job["id"]) == "done"
    (image,) = server.own_images()
    assert image["status"] == "READY"
    assert not scenes.Damage(server, folder).has_failed()
    assert len(server.own_images()) == 1


@pytest.mark.parametrize("has_failed", [True, False])
def test_the_half_minute_that_a_failure_takes_is_told_before_it_is_waited_for(
    capsys: pytest.CaptureFixture[str], has_failed: bool
) -> None:
    class Slow:
        is_awaited = True
        is_whole = False

        def has_failed(self) -> bool:
            assert "half a minute. All else is ready" in capsys.readouterr().out
            return has_failed

        def mend(self) -> None:
            self.is_whole = True

    damage = Slow()
    DEMO["_wait_for_the_failure"](DEMO["Server"]("http://127.0.0.1:1", None), damage)
    assert damage.is_whole
    assert ("Retry there" in capsys.readouterr().out) is has_failed


def test_no_picture_is_damaged_on_a_server_whose_folder_is_not_known(address: str) -> None:
    server = DEMO["Server"](address, None)
    damage = scenes.Damage(server, None)
    damage.begin()
    assert not damage.has_failed()
    assert server.own_images() == []


def test_no_key_of_a_gallery_is_left_in_force(address: str, worker: InProcessWorker) -> None:
    server = DEMO["Server"](address, None)
    run(server, address, worker)
    for user in server.every("/api/v1/users?limit=100"):
        keys = server.every(f"/api/v1/users/{user['id']}/keys?limit=100")
        assert {key["state"] for key in keys} <= {"revoked"}, user


def test_who_may_not_make_users_owns_the_scenes(address: str, worker: InProcessWorker) -> None:
    local = DEMO["Server"](address, None)
    made = local.send("/api/v1/users", {"username": "ana", "key": {"name": "shop"}})
    ana = DEMO["Server"](address, made["key"]["key"])

    assert run(ana, address, worker) == len(FILES) - 1

    owners = {each["owner"]["username"] for each in ana.every("/api/v1/images?limit=100")}
    assert owners == {"ana"}
    assert {each["username"] for each in local.every("/api/v1/users?limit=100")} == {"ana", "local"}
    assert run(ana, address) == 0


def test_packs_are_made_once_and_by_their_titles(address: str) -> None:
    server = DEMO["Server"](address, None)
    stickers = DEMO["_stickers"]()
    names = {name for pack in packs.PACKS for name in pack.names}
    assert names <= {each["names"]["en"] for each in stickers}
    for each in stickers:
        if each["names"]["en"] in names:
            server.upload(DEMO["DEMO"] / each["file"], each["names"]["en"])
    assert packs.fill(server, stickers) == len(packs.PACKS)
    made = {each["title"]: each for each in server.every("/api/v1/packs?mine=true&limit=100")}
    assert {title: each["image_count"] or 0 for title, each in made.items()} == {
        pack.title: len(pack.names) for pack in packs.PACKS
    }
    shown = server.every(f"{made['Hearts']['url']}/images?limit=100")
    assert {"❤️"} in [set(each["emojis"]) for each in shown]
    assert packs.fill(server, stickers) == 0


def test_the_book_of_scenes_is_whole() -> None:
    drawn = runpy.run_path(str(ROOT / "dev" / "draw_scenes.py"))["PICTURES"]
    assert {f"{name}.webp" for name in drawn} == DRAWN
    assert {each.name for each in scenes.SCENES.glob("*.webp")} == DRAWN
    assert BOOK["held_up"] in FILES
    # The last comment of a gallery tells that it is finished.
    assert {each["by"] for each in BOOK["comments"]} == GALLERIES
    labels = {label.name for label in DEFAULT_LABELS}
    assert {each["label"] for each in BOOK["verdicts"]} <= labels
    for said in [*BOOK["comments"], *BOOK["verdicts"]]:
        assert said["on"] in FILES - {BOOK["held_up"]}
        assert said["by"] in {*GALLERIES, ""}


def test_scenes_are_drawn_as_they_are_kept() -> None:
    draw = runpy.run_path(str(ROOT / "dev" / "draw_scenes.py"))["PICTURES"]["dusk-over-hills"]
    with Image.open(scenes.SCENES / "dusk-over-hills.webp") as kept:
        small = [np.asarray(each.resize((24, 16)), int) for each in (draw().image, kept)]
    assert np.abs(small[0] - small[1]).max() <= 12
