"""Measures how fast pictures come in, until they are READY, against a bare loop over the same encoder.

`python -m benchmarks.intake --pictures 200 --kind photos --database mariadb --way http` runs the server
as it is deployed: Gunicorn alone on SQLite, or with a worker on MariaDB and Redis. The bare loop decodes
and encodes in one process and keeps nothing. Both are of one run, so compare the ratio. `--folder` takes
the JPEGs of a folder in place of drawn pictures, and `--thumbnails` then asks for so many thumbnails.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image as Picture
from sqlalchemy import Engine, create_engine, text

from benchmarks import intake_pictures
from benchmarks.intake_processes import Processes
from mirada.config import Settings
from mirada.runtime import Runtime
from testing.deployment import Deployment, Web, deployed
from testing.servers.mariadb import mariadb_server
from testing.servers.redis import redis_server

CLIENTS = 4
BATCH = 16
WARM_UP = 23
LOOK_EVERY_S = 0.05
GIVE_UP_S = 150
COUNTERS = ("Questions", "Com_commit", "Innodb_os_log_fsyncs")


@dataclass(frozen=True)
class Bare:
    """The cost of the bare loop: pictures a second, and milliseconds of CPU for a picture."""

    rate: float
    cpu_ms: float


def bare_pixels(path: Path, side_px: int) -> np.ndarray:
    """Decode as a script would: no limits, no checks."""
    with Picture.open(io.BytesIO(path.read_bytes())) as image:
        image.draft("RGB", (side_px, side_px))
        return np.asarray(image.convert("RGB"))


def bare_loop(folder: Path, paths: list[Path]) -> Bare:
    """Decode and encode everything in batches, and keep nothing."""
    runtime = Runtime(
        Settings.from_env(
            data_dir=folder / "data", faiss_index_dir=folder / "indexes", clip_model="bundled"
        )
    )
    runtime.migrate()
    encoder = runtime.encoder
    side_px = 2 * encoder.input_side_px
    encoder.encode_images([bare_pixels(paths[0], side_px)] * BATCH)
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(paths), BATCH):
        encoder.encode_images([bare_pixels(path, side_px) for path in paths[start : start + BATCH]])
    took, used = time.perf_counter() - began, time.process_time() - cpu
    runtime.close()
    return Bare(len(paths) / took, 1_000 * used / len(paths))


@contextmanager
def site(database: str, folder: Path) -> Iterator[tuple[Deployment, Web, Engine]]:
    """Run the server, and a worker where there is a queue."""
    with ExitStack() as stack:
        settings = {"OMP_NUM_THREADS": ""}
        if database == "mariadb":
            server = stack.enter_context(mariadb_server())
            settings["DATABASE_URL"] = server.url(stack.enter_context(server.new_database()))
            settings["REDIS_URL"] = stack.enter_context(redis_server())
        deployment = stack.enter_context(deployed(folder, **settings))
        web = deployment.web()
        if database == "mariadb":
            deployment.worker()
        url = settings.get("DATABASE_URL", f"sqlite:///{folder}/data/mirada.db")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        stack.callback(engine.dispose)
        yield deployment, web, engine


def count(engine: Engine, condition: str = "1 = 1") -> int:
    """Return how many images there are."""
    with engine.connect() as connection:
        query = text(f"SELECT COUNT(*) FROM mirada_images WHERE {condition}")
        return int(connection.execute(query).scalar_one())


def wait_until_ready(engine: Engine, wanted: int) -> None:
    """Return when so many images are READY."""
    deadline = time.monotonic() + GIVE_UP_S
    while count(engine, "status = 'READY'") < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"After {GIVE_UP_S} s not every picture is READY.")
        time.sleep(LOOK_EVERY_S)


def by_http(web: Web, paths: list[Path]) -> None:
    """Upload by several clients at once."""
    clients = [
        httpx2.Client(base_url=web.url, timeout=120, trust_env=False) for _ in range(CLIENTS)
    ]

    def upload(client: httpx2.Client, some: list[Path]) -> None:
        for path in some:
            reply = client.post("/api/v1/images", files={"file": (path.name, path.read_bytes())})
            assert reply.status_code == 201, reply.text
        client.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        shares = [paths[number::CLIENTS] for number in range(CLIENTS)]
        list(pool.map(upload, clients, shares))


@contextmanager
def importing(deployment: Deployment, folder: Path) -> Iterator[Callable[[], None]]:
    """Yield what imports a folder in a process of its own, which has started already."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.intake_import", str(folder)],
        env=deployment.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    requests, replies = process.stdin, process.stdout

    def run() -> None:
        requests.write("go\n")
        requests.flush()
        print(replies.readline(), end="")

    assert replies.readline(), "the import did not start"
    yield run
    # It ends only now, so that its CPU time can be read.
    requests.close()
    process.wait()


def counters(engine: Engine) -> dict[str, int]:
    """Return MariaDB's own counts; {} for SQLite."""
    if engine.dialect.name == "sqlite":
        return {}
    with engine.connect() as connection:
        rows = connection.execute(text("SHOW GLOBAL STATUS")).all()
    return {name: int(value) for name, value in rows if name in COUNTERS}


def thumbnails(deployment: Deployment, web: Web, engine: Engine, wanted: int) -> dict[str, Any]:
    """Ask for thumbnails twice, once workers have made them, and count those that were lacking."""
    kept = deployment.folder / "data" / "derivatives"

    def files() -> set[Path]:
        return {path for path in kept.rglob("*.320.*") if path.is_file()}

    deadline, processes = time.monotonic() + GIVE_UP_S, Processes()
    cpu_s = sum(processes.seconds().values())
    while len(files()) < count(engine) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    cpu_s = sum(processes.seconds().values()) - cpu_s
    ids = [image["id"] for image in web.images()][:wanted]
    before, tags, statuses = files(), {}, set()
    began = time.perf_counter()
    for number in ids:
        reply = web.http.get(f"/api/v1/images/{number}/thumbnail")
        statuses.add(reply.status_code)
        tags[number] = reply.headers.get("ETag", "")
    first = time.perf_counter() - began
    began = time.perf_counter()
    for number in ids:
        reply = web.http.get(
            f"/api/v1/images/{number}/thumbnail", headers={"If-None-Match": tags[number]}
        )
        statuses.add(reply.status_code)
    return {
        "CPU ms a picture until they are made": round(1_000 * cpu_s / count(engine), 1),
        "asked for": len(ids),
        "statuses": sorted(statuses),
        "made by a request": len(files() - before),
        "ms for each, first": round(1_000 * first / max(1, len(ids)), 2),
        "ms for each, 304": round(1_000 * (time.perf_counter() - began) / max(1, len(ids)), 2),
    }


def take_in(
    arguments: argparse.Namespace, folder: Path, draw: Callable[[Path, int], list[Path]]
) -> dict[str, Any]:
    """Bring the pictures in and return what that took; a few others come first, to warm up."""
    paths = draw(folder / "pictures", arguments.pictures)
    bare = bare_loop(folder / "bare", paths)
    warm = intake_pictures.drawn("stickers", folder / "warm", WARM_UP)
    processes = Processes()
    with (
        site(arguments.database, folder / "site") as (deployment, web, engine),
        importing(deployment, folder / "pictures") as import_folder,
    ):
        by_http(web, warm)
        wait_until_ready(engine, WARM_UP)
        before, counted = processes.seconds(), counters(engine)
        client_s, began = time.process_time(), time.perf_counter()
        if arguments.way == "http":
            by_http(web, paths)
        else:
            import_folder()
        answered_s = time.perf_counter() - began
        wait_until_ready(engine, WARM_UP + len(paths))
        ready_s, client_s = time.perf_counter() - began, time.process_time() - client_s
        after, count_now = processes.seconds(), counters(engine)
        number = len(paths)
        cpu = {name: 1_000 * (after[name] - before.get(name, 0)) / number for name in after}
        report: dict[str, Any] = {
            "bare loop, pictures/s": round(bare.rate, 1),
            "taken in, pictures/s": round(number / answered_s, 1),
            "READY, pictures/s": round(number / ready_s, 1),
            "READY against bare": round(number / ready_s / bare.rate, 3),
            "CPU ms a picture, bare": round(bare.cpu_ms, 1),
            "CPU ms a picture": round(sum(cpu.values()), 1),
            "by process": {name: round(ms, 1) for name, ms in sorted(cpu.items()) if ms >= 0.05},
            "client, not counted": round(1_000 * client_s / number, 1),
            "a picture, by MariaDB": {
                name: round((count_now[name] - counted[name]) / number, 2) for name in counted
            },
        }
        if arguments.thumbnails:
            report["thumbnails"] = thumbnails(deployment, web, engine, arguments.thumbnails)
    return report


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--kind", choices=[*intake_pictures.KINDS], default="photos")
    parser.add_argument("--folder", type=Path, help="JPEGs to take in place of drawn ones")
    parser.add_argument("--database", choices=["sqlite", "mariadb"], default="sqlite")
    parser.add_argument("--way", choices=["folder", "http"], default="folder")
    parser.add_argument("--thumbnails", type=int, default=0, help="ask for so many at the end")
    arguments = parser.parse_args()

    def draw(folder: Path, number: int) -> list[Path]:
        if arguments.folder is not None:
            return intake_pictures.copied(arguments.folder, folder, number)
        return intake_pictures.drawn(arguments.kind, folder, number)

    with tempfile.TemporaryDirectory() as folder:
        report = take_in(arguments, Path(folder), draw)
    chosen = {name: str(value) for name, value in vars(arguments).items() if value}
    print(json.dumps({**chosen, "load average": os.getloadavg()[0], **report}, indent=2))


if __name__ == "__main__":
    main()
