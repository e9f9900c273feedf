"""A change of the image model under load, on two web processes and a worker that is killed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from sqlalchemy import select
from sqlalchemy.engine import make_url

from mirada.config import BUNDLED_MODEL_DIR
from mirada.db.models import Embedding, Installation, Space
from mirada.db.session import Database, make_engine
from testing.deployment import Deployment, Process, Web, deployed
from testing.marked_models import CHECKED_TO, OTHER, mark_of, other_model, seen_in
from testing.patience import wait_until
from testing.pictures import picture
from testing.processes import Lines
from testing.servers.process import free_port

SWITCH = "/api/v1/models/switch"
WORDS = ("cat", "dog", "rosto feliz", "heart", "comida", "coche", "sun", "a red thing")
UPLOAD_EVERY_S = 0.2
SERVED_S = 3.0
"""How long each model serves before the next step."""
ENDS_WITH_THE_MODEL = "search_expired"


@dataclass
class Load:
    """What clients saw while the model was changed.

    Attributes:
        asked: requests by what they asked.
        failed: answers that were no success, except cursors of the old model.
        expired: cursors that ended with the old model.
        slowest_s: the longest that one was waited for.
        uploaded: images that were sent meanwhile.
    """

    asked: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    expired: int = 0
    slowest_s: float = 0.0
    uploaded: list[int] = field(default_factory=list)


@dataclass
class Outcome:
    """What a drill measured.

    Attributes:
        pictures: in the library when the change began.
        build_s: from the beginning until the second space was ready, with a worker killed.
        embedded_at_kill: pictures that had second vectors when the worker was killed.
        flip_s: from the request until every process answered with the new model.
        follow_s: from the flip itself, the row in the database, until every process did.
        back_s, back_follow_s: the same for going back.
        load: what clients saw.
        checked: vectors that were compared with an index, by model, and wrong ones.
        missing: READY images without a vector in one of the spaces at the end.
        misplaced: stored vectors whose mark is of the other model.
    """

    pictures: int
    build_s: float = 0.0
    embedded_at_kill: int = 0
    flip_s: float = 0.0
    follow_s: float = 0.0
    back_s: float = 0.0
    back_follow_s: float = 0.0
    load: Load = field(default_factory=Load)
    checked: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    misplaced: int = 0


class Scene:
    """The processes of one drill, and what they are asked."""

    def __init__(self, deployment: Deployment, folder: Path, database_url: str) -> None:
        self.deployment = deployment
        self.other = other_model(BUNDLED_MODEL_DIR, folder / "other")
        self.seen = folder / "seen"
        self.seen.mkdir()
        deployment.settings[CHECKED_TO] = str(self.seen)
        self.worker = self.start_worker()
        self.web = self._start_web()
        self.database = Database(make_engine(make_url(database_url), 4))

    def start_worker(self) -> Process:
        self.worker = self.deployment.start("worker", "testing.marked_worker")
        return self.worker

    def _start_web(self) -> Web:
        port = free_port()
        arguments = ("gunicorn", "-c", "gunicorn.conf.py", "testing.marked_wsgi:app")
        process = self.deployment.start("web", *arguments, PORT=str(port), WEB_PROCESSES="2")
        web = Web(f"http://127.0.0.1:{port}", process)
        self.deployment.clients.append(web.http)
        web.wait_until_healthy()
        return web

    def upload_all(self, count: int) -> None:
        def one(seed: int) -> None:
            with httpx2.Client(base_url=self.web.url, timeout=60, trust_env=False) as http:
                reply = http.post("/api/v1/images", files={"file": ("p.png", picture(seed))})
                assert reply.status_code == 201, reply.text

        with ThreadPoolExecutor(4) as senders:
            list(senders.map(one, range(count)))
        self.web.wait_until_ready(count, timeout_s=60 + count)

    def switch(self) -> dict[str, Any]:
        reply = self.web.http.get(SWITCH)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def step(self, step: str = "", **body: Any) -> None:
        reply = self.web.http.post(f"{SWITCH}{step}", **({"json": body} if body else {}))
        assert reply.status_code == 202, reply.text

    def wait_for(self, state: str, timeout_s: float) -> dict[str, Any]:
        def is_there() -> bool:
            found = self.switch()
            assert found["state"] != "ended", found
            return bool(found["state"] == state)

        wait_until(is_there, timeout_s=timeout_s, what=f"state {state}", every_s=0.05)
        return self.switch()

    def vectors_of(self, encoder: str) -> list[bytes]:
        with self.database.reading() as session:
            of_model = select(Space.id).where(Space.encoder == encoder, Space.kind == "image")
            query = select(Embedding.vector).where(
                Embedding.space_id.in_(of_model), Embedding.is_deleted.is_(False)
            )
            return list(session.execute(query).scalars())

    def encoder_in_use(self) -> str:
        with self.database.reading() as session:
            query = select(Space.encoder).join(
                Installation, Installation.image_space_id == Space.id
            )
            return str(session.execute(query).scalar_one())

    def followed(self, step: str, encoder: str) -> tuple[float, float]:
        """Ask for a flip; return seconds until all processes follow, from the request and from the row."""
        lines = Lines(self.web)
        began = time.monotonic()
        self.step(step)
        while self.encoder_in_use() != encoder:
            time.sleep(0.01)
        flipped = time.monotonic()
        waiting = set(lines.pids)
        while waiting:
            assert time.monotonic() - flipped < 30, f"{waiting} do not follow"
            for pid in list(waiting):
                body = {"text": "cat", "in": "pictures"}
                reply, _ = lines.ask(pid, "POST", "/api/v1/search", {}, json=body)
                if reply.json()["space"].split(":")[1] == encoder:
                    waiting.discard(pid)
        ended = time.monotonic()
        lines.close()
        return ended - began, ended - flipped


@contextmanager
def loaded(web: Web, load: Load) -> Iterator[None]:
    """Search, page, look for similar ones and upload, until the block ends."""
    ended = threading.Event()

    def ask(http: httpx2.Client, what: str, method: str, path: str, **parts: Any) -> Any:
        began = time.monotonic()
        try:
            reply = http.request(method, path, **parts)
        except httpx2.TransportError as error:
            load.failed.append(f"{what}: {error!r}")
            return None
        load.asked[what] += 1
        load.slowest_s = max(load.slowest_s, time.monotonic() - began)
        if reply.status_code == 410 and reply.json()["code"] == ENDS_WITH_THE_MODEL:
            load.expired += 1
            return None
        if reply.status_code >= 400:
            load.failed.append(f"{what}: {reply.status_code} {reply.text[:300]}")
            return None
        return reply.json()

    def search(http: httpx2.Client, turn: int) -> None:
        text = WORDS[turn % len(WORDS)]
        body = ask(http, "text", "POST", "/api/v1/search", json={"text": text, "limit": 5})
        if body and body["next"]:
            ask(http, "next page", "GET", body["next"])
        if body and body["results"]:
            image_id = body["results"][0]["image"]["id"]
            ask(http, "similar", "GET", f"/api/v1/images/{image_id}/similar")

    def by_picture(http: httpx2.Client, turn: int) -> None:
        ask(http, "picture", "POST", "/api/v1/search", files={"file": ("q.png", picture(turn))})

    def upload(http: httpx2.Client, turn: int) -> None:
        files = {"file": ("new.png", picture(1_000_000 + turn))}
        body = ask(http, "upload", "POST", "/api/v1/images", files=files)
        if body:
            load.uploaded.append(body["id"])
        ended.wait(UPLOAD_EVERY_S)

    def run(work: Callable[[httpx2.Client, int], None]) -> None:
        turn = 0
        while not ended.is_set():
            # A new connection each time: the kernel chooses the process.
            with httpx2.Client(base_url=web.url, timeout=60, trust_env=False) as http:
                work(http, turn)
            turn += 1

    threads = [threading.Thread(target=run, args=(work,)) for work in (search, by_picture, upload)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def drill(folder: Path, size: int, database_url: str, redis_url: str) -> Outcome:
    """Change the model of a library of so many pictures under load, go back, and return what was seen."""
    found = Outcome(size)
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "WORKER_THREADS": "2"}
    with deployed(folder, **settings) as deployment:
        scene = Scene(deployment, folder, database_url)
        scene.upload_all(size)
        bundled = scene.encoder_in_use()
        with loaded(scene.web, found.load):
            began = time.monotonic()
            scene.step(model=str(scene.other))
            _kill_in_the_middle(scene, found, size)
            scene.wait_for("ready", timeout_s=120 + size)
            found.build_s = time.monotonic() - began
            found.flip_s, found.follow_s = scene.followed("/flip", OTHER)
            scene.wait_for("flipped", timeout_s=10)
            time.sleep(SERVED_S)
            found.back_s, found.back_follow_s = scene.followed("/rollback", bundled)
            time.sleep(SERVED_S)
        scene.web.wait_until_ready(size + len(found.load.uploaded), timeout_s=120)
        _look_at_vectors(scene, found, bundled)
        scene.database.close()
    # Processes write what they saw at their end.
    found.checked = seen_in(scene.seen)
    return found


def _kill_in_the_middle(scene: Scene, found: Outcome, size: int) -> None:
    def is_halfway() -> bool:
        found.embedded_at_kill = len(scene.vectors_of(OTHER))
        return found.embedded_at_kill >= size // 3

    wait_until(is_halfway, timeout_s=120 + size, what="a third of the vectors", every_s=0.05)
    scene.worker.kill()
    scene.start_worker()


def _look_at_vectors(scene: Scene, found: Outcome, bundled: str) -> None:
    expected = found.pictures + len(found.load.uploaded)
    for encoder in (bundled, OTHER):
        vectors = scene.vectors_of(encoder)
        found.missing += abs(expected - len(vectors))
        firsts = np.array([np.frombuffer(vector, "<f4")[0] for vector in vectors])
        found.misplaced += int((np.sign(firsts) != mark_of(encoder)).sum())
