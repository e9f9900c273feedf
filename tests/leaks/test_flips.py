"""While pictures flip between private and public and indexes are rebuilt: who asks later sees nothing."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from testing.patience import wait_until
from tests.leaks.conftest import documented
from tests.leaks.exchange import Request, Upload, send
from tests.leaks.pools import Pools
from tests.leaks.prowl import requests
from tests.leaks.secrets import Vault
from tests.leaks.world import World, drawn
from workers.runner import run_job

FLIPPED = 4
LEAST_FLIPS, LEAST_REBUILDS, LEAST_SENT = 40, 4, 800
"""What has to happen before a test ends, however long that takes on a busy machine."""
ASKERS = ("stranger", "anonymous", "newcomer")


@dataclass
class Flipping:
    """A picture that its owner makes public and private in turn.

    Attributes:
        periods: begin and end of each time it was private for certain: from the reply to the PATCH
            that made it so until the next PATCH was sent. The last one is open.
    """

    name: str
    request: Request
    periods: list[tuple[float, float]] = field(default_factory=list)

    def was_private(self, since: float, until: float) -> bool:
        """Return whether it was private all the time of a request."""
        return any(begin <= since and until <= end for begin, end in self.periods)


class Seesaw:
    """Pictures of which everything is a secret while they are private, and who looks for them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.vault = Vault()
        self.stop = threading.Event()
        self.leaks: list[str] = []
        self.faults: list[str] = []
        self.seen: Counter[str] = Counter()
        self.sent = 0
        self.flips = 0
        self.rebuilds = 0
        self._lock = threading.Lock()
        self.pictures = [self._kept(number) for number in range(FLIPPED)]

    def _kept(self, number: int) -> Flipping:
        what = f"flip {number}"
        content = drawn(500 + number)
        word = self.vault.text("prompt", what, [])
        planted = self.world.upload("owner", what, content, prompt=f"{word} lighthouse")
        self.world.settle()
        self.vault.number(planted.image_id, "image id", what, [])
        self.vault.content(content, what, [])
        request = Request(what, "PATCH", planted.url, headers=self.world.keys["owner"])
        return Flipping(what, request, [(time.monotonic(), float("inf"))])

    @property
    def is_enough(self) -> bool:
        """Whether as much as a test needs was tried, and each picture was seen while it was public."""
        return (
            self.flips >= LEAST_FLIPS
            and self.rebuilds >= LEAST_REBUILDS
            and self.sent >= LEAST_SENT
            and set(self.seen) == {each.name for each in self.pictures}
        )

    def flip(self) -> None:
        """Turn one picture after the other public and private again until it is enough."""
        client = self.world.app.test_client(use_cookies=False)
        for flipping in itertools.cycle(self.pictures):
            if self.stop.is_set():
                return
            body = dict(flipping.request.__dict__)
            begin, _ = flipping.periods[-1]
            flipping.periods[-1] = (begin, time.monotonic())
            assert send(client, Request(**body | {"json": {"is_public": True}})).status == 200
            time.sleep(random.uniform(0, 0.05))
            assert send(client, Request(**body | {"json": {"is_public": False}})).status == 200
            flipping.periods.append((time.monotonic(), float("inf")))
            self.flips += 1

    def rebuild(self) -> None:
        """Build the index anew, over and over."""
        while not self.stop.is_set():
            job = self.world.told("admin", "POST", "/api/v1/indexes/image/rebuild")
            run_job(self.world.runtime, job["id"])
            self.rebuilds += 1

    def prowl(self, who: str) -> None:
        """Ask for the flipping pictures, directly and among everything else."""
        client = self.world.app.test_client(use_cookies=False)
        for request in self.questions(who):
            if self.stop.is_set():
                return
            began = time.monotonic()
            reply = send(client, request)
            told = set(reply.tells(self.vault)) - set(request.brings(self.vault))
            ended = time.monotonic()
            with self._lock:
                self.sent += 1
                if reply.status >= 500:
                    self.faults.append(f"{who}: {request}: {reply}")
                for name in told:
                    what = self.vault.secrets[name].about
                    self.seen[what] += 1
                    (flipping,) = (each for each in self.pictures if each.name == what)
                    if flipping.was_private(began, ended):
                        self.leaks.append(f"{who} was told {name} by {request}: {reply.status}")

    def questions(self, who: str) -> Iterator[Request]:
        random_ = random.Random(who)
        rest = requests(7, documented(self.world), Pools(self.world))
        key = self.world.keys[who]
        while True:
            name = random_.choice(self.pictures).name
            planted = self.world.pictures[name]
            vector = self.world.vector_of(planted.image_id).tolist()
            yield Request("getImage", "GET", planted.url, headers=key)
            yield Request("getImageFile", "GET", f"{planted.url}/file", headers=key)
            yield Request("getImageThumbnail", "GET", f"{planted.url}/thumbnail", headers=key)
            yield Request("getImageAnimation", "GET", f"{planted.url}/animation", headers=key)
            yield Request("getStoredImage", "GET", f"/static/{planted.image_id}.png", headers=key)
            yield Request("listImages", "GET", "/api/v1/images", headers=key)
            body = {"vector": vector, "k": 5}
            yield Request("searchImages", "POST", "/api/v1/search", headers=key, json=body)
            part = ("file", Upload(drawn(500)))
            path = "/search-similar-images"
            yield Request("searchSimilarImages", "POST", path, headers=key, form=(part,))
            yield next(r for caller, r in rest if caller == who and r.method in ("GET", "HEAD"))


def seesawed(world: World) -> Seesaw:
    seesaw = Seesaw(world)
    with ThreadPoolExecutor(max_workers=len(ASKERS) + 2) as threads:
        work = [threads.submit(seesaw.prowl, who) for who in ASKERS]
        work += [threads.submit(seesaw.flip), threads.submit(seesaw.rebuild)]
        try:
            wait_until(
                # Whoever ends before has failed, and says how below.
                lambda: seesaw.is_enough or any(each.done() for each in work),
                what="flips, rebuilds and questions",
            )
        finally:
            seesaw.stop.set()
        for each in work:
            each.result()
    return seesaw


def assert_nothing_told(seesaw: Seesaw) -> None:
    told = f"{seesaw.sent} requests, {seesaw.flips} flips, {seesaw.rebuilds} rebuilds"
    print(f"\n{told}, {len(seesaw.leaks)} leaks")
    assert not seesaw.leaks, "\n".join([told, *seesaw.leaks[:10]])
    assert not seesaw.faults, "\n".join([told, *seesaw.faults[:10]])
    # They were there to be seen in between, or nothing was tried.
    assert seesaw.is_enough, told


def test_a_picture_made_private_is_in_no_reply_to_a_later_request(world: World) -> None:
    assert_nothing_told(seesawed(world))


@pytest.mark.mariadb
def test_nor_is_it_on_mariadb(mariadb_world: World) -> None:
    assert_nothing_told(seesawed(mariadb_world))
