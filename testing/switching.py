"""A change of the image model under load, on two web processes and a killed worker; long, as one drill."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from mirada.config import BUNDLED_MODEL_DIR
from mirada.db.models import Embedding, Image, Installation, Space
from mirada.db.session import Database, make_engine
from testing.deployment import Deployment, Web, deployed
from testing.filled import fill
from testing.marked_models import CHECKED_TO, OTHER, mark_of, marked, other_model, seen_in
from testing.patience import wait_until
from testing.pictures import picture
from testing.processes import Lines
from testing.servers.process import free_port

SWITCH = "/api/v1/models/switch"
WORDS = ("cat", "dog", "rosto feliz", "heart", "comida", "coche", "sun", "a red thing")
UPLOAD_EVERY_S = 0.2
LEAST_PER_S = 4.0
"""So many pictures a second are embedded at least, on a busy machine too."""
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


@dataclass(frozen=True)
class Turn:
    """How soon a flip, or the way back, was everywhere.

    Attributes:
        answered_s: from the request to its answer.
        everywhere_s: from the request until each process answered with the other model.
        was_everywhere: whether each did so when asked after the answer, at the first question.
    """

    answered_s: float
    everywhere_s: float
    was_everywhere: bool


@dataclass
class Outcome:
    """What a drill measured.

    Attributes:
        pictures: in the library when the change began.
        build_s: from the beginning until the second space was ready, with a worker killed.
        embedded_at_kill: pictures that had second vectors when the worker was killed.
        prepared_s: from then until every process had the new model loaded.
        flip: how soon the flip was everywhere.
        back: the same for going back.
        load: what clients saw.
        checked: vectors that were compared with an index, by model, and wrong ones.
        missing: READY images without a vector in one of the spaces at the end.
        misplaced: stored vectors whose mark is of the other model.
    """

    pictures: int
    build_s: float = 0.0
    embedded_at_kill: int = 0
    prepared_s: float = 0.0
    flip: Turn | None = None
    back: Turn | None = None
    load: Load = field(default_factory=Load)
    checked: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    misplaced: int = 0


class Scene:
    """The processes of one drill, and what they are asked."""

    def __init__(self, deployment: Deployment, folder: Path, database_url: str) -> None:
        self.deployment = deployment
        self.folder = folder
        self.other = other_model(BUNDLED_MODEL_DIR, folder / "other")
        self.seen = folder / "seen"
        self.seen.mkdir()
        deployment.settings[CHECKED_TO] = str(self.seen)
        self.database = Database(make_engine(make_url(database_url), 4))

    def start_worker(self) -> None:
        self.worker = self.deployment.start("worker", "testing.marked_worker")

    def start_web(self) -> None:
        port = free_port()
        arguments = ("gunicorn", "-c", "gunicorn.conf.py", "testing.marked_wsgi:app")
        process = self.deployment.start("web", *arguments, PORT=str(port), WEB_PROCESSES="2")
        self.web = Web(f"http://127.0.0.1:{port}", process)
        self.deployment.clients.append(self.web.http)
        self.web.wait_until_healthy()

    def fill(self, count: int) -> None:
        """Have so many pictures in the space of the worker's model, whose mark their vectors bear."""
        wait_until(self.pinned_id, what="the worker has pinned its space")
        with self.database.reading() as session:
            space = session.get_one(Space, self.pinned_id())
        random = np.random.default_rng(1).standard_normal((count, space.dimension))
        vectors = marked(random.astype(np.float32), mark_of(space.encoder))
        fill(self.database, self.folder / "data" / "images", space.id, vectors)

    def pinned_id(self) -> int | None:
        with self.database.reading() as session:
            return session.execute(select(Installation.image_space_id)).scalar_one_or_none()

    def wait_until_ready(self, count: int) -> None:
        """Wait until there are so many images and all are READY."""
        query = select(Image.status, func.count()).group_by(Image.status)

        def statuses() -> dict[str, int]:
            with self.database.reading() as session:
                return {status: int(number) for status, number in session.execute(query)}

        wait_until(
            lambda: statuses() == {"READY": count},
            timeout_s=120 + count / LEAST_PER_S,
            what=f"{count} images READY",
            every_s=0.5,
        )

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

    def count_vectors(self, encoder: str) -> int:
        with self.database.reading() as session:
            of_model = select(Space.id).where(Space.encoder == encoder, Space.kind == "image")
            query = select(func.count()).where(Embedding.space_id.in_(of_model))
            return int(session.execute(query).scalar_one())

    def encoder_in_use(self) -> str:
        with self.database.reading() as session:
            query = select(Space.encoder).join(
                Installation, Installation.image_space_id == Space.id
            )
            return str(session.execute(query).scalar_one())

    def turn(self, step: str, encoder: str) -> Turn:
        """Ask for a flip; return how soon all processes followed."""
        lines = Lines(self.web)
        for pid in lines.pids:
            # The connections are there before the clock runs.
            self._encoder_of(lines, pid)
        began = time.monotonic()
        self.step(step)
        answered = time.monotonic()
        waiting = set(lines.pids)
        rounds = 0
        while waiting:
            assert time.monotonic() - answered < 60, f"{waiting} do not follow"
            waiting -= {pid for pid in waiting if self._encoder_of(lines, pid) == encoder}
            rounds += 1
        ended = time.monotonic()
        lines.close()
        return Turn(answered - began, ended - began, rounds == 1)

    def _encoder_of(self, lines: Lines, pid: int) -> str:
        body = {"text": "cat", "in": "pictures"}
        reply, _ = lines.ask(pid, "POST", "/api/v1/search", {}, json=body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["space"].split(":")[1])


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


def drill(
    folder: Path,
    size: int,
    database_url: str,
    redis_url: str,
    tell: Callable[[str], object] = lambda _step: None,
) -> Outcome:
    """Change the model of a library of so many pictures under load, go back, and return what was seen.

    Args:
        folder: of the drill, which makes it.
        size: pictures.
        database_url: an empty database.
        redis_url: an empty queue.
        tell: called with the name of each step that begins.
    """
    found = Outcome(size)
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "WORKER_THREADS": "2"}
    with deployed(folder, **settings) as deployment:
        scene = Scene(deployment, folder, database_url)
        try:
            _drill(scene, found, tell)
        except BaseException:
            for process in deployment.processes:
                tell(f"{process.log.name}\n{process.tail(30)}")
            raise
        finally:
            scene.database.close()
    # Processes write what they saw at their end.
    found.checked = seen_in(scene.seen)
    return found


def _drill(scene: Scene, found: Outcome, tell: Callable[[str], object]) -> None:
    size = found.pictures
    tell("starting")
    scene.start_worker()
    scene.start_web()
    tell("filling")
    scene.fill(size)
    bundled = scene.encoder_in_use()
    with loaded(scene.web, found.load):
        tell("building")
        began = time.monotonic()
        scene.step(model=str(scene.other))
        _kill_in_the_middle(scene, found, tell)
        scene.wait_for("ready", timeout_s=120 + size / LEAST_PER_S)
        found.build_s = time.monotonic() - began
        tell("preparing")
        wait_until(lambda: scene.switch()["is_prepared"], what="all are prepared")
        found.prepared_s = time.monotonic() - began - found.build_s
        tell("flipping")
        found.flip = scene.turn("/flip", OTHER)
        scene.wait_for("flipped")
        time.sleep(SERVED_S)
        tell("going back")
        wait_until(lambda: scene.switch()["is_prepared"], what="all are prepared")
        found.back = scene.turn("/rollback", bundled)
        time.sleep(SERVED_S)
    tell("looking at every vector")
    scene.wait_until_ready(size + len(found.load.uploaded))
    _look_at_vectors(scene, found, bundled)


def _kill_in_the_middle(scene: Scene, found: Outcome, tell: Callable[[str], object]) -> None:
    size = found.pictures

    def is_halfway() -> bool:
        found.embedded_at_kill = scene.count_vectors(OTHER)
        return found.embedded_at_kill >= size // 3

    limit_s = 120 + size / LEAST_PER_S
    wait_until(is_halfway, timeout_s=limit_s, what="a third of the vectors", every_s=0.05)
    tell("killing the worker")
    scene.worker.kill()
    scene.start_worker()


def _look_at_vectors(scene: Scene, found: Outcome, bundled: str) -> None:
    expected = found.pictures + len(found.load.uploaded)
    for encoder in (bundled, OTHER):
        vectors = scene.vectors_of(encoder)
        found.missing += abs(expected - len(vectors))
        firsts = np.array([np.frombuffer(vector, "<f4")[0] for vector in vectors])
        found.misplaced += int((np.sign(firsts) != mark_of(encoder)).sum())
