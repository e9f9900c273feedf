"""Measures the install without PyTorch as a newcomer has it: disk, time until Ready, memory, first vector.

`python -m benchmarks.light` copies this tree, types `make run` and `make demo` there, and asks questions. It
starts again on the same data, as a web server and a worker on Redis. MB are 2^20 bytes. It prints
each figure beside its limit and ends with 1 where one is missed. `--cold` installs without the installer's
cache, so everything is downloaded.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from testing.deployment import wait_until
from testing.light_install import Taken, copy_of_the_tree, disk_mb, processes, typed
from testing.make_run import Terminal
from testing.pictures import picture
from testing.servers.redis import redis_server

INSTALL_S = 900
UPLOADS = 100
LIMITS = {
    "disk of .venv, MB": 500.0,
    "first vector, s": 1.2,
    "web process, MB": 260.0,
    "web process and worker in one, MB: Ready": 260.0,
    "with PyTorch mapped, processes": 0.0,
}
"""The most that a figure may be; others are only shown."""
FIRST_VECTOR = """
from mirada.adapters.encoders.engines import load_chosen
from mirada.config import BUNDLED_MODEL_DIR as here
chosen = {"bundled": here, "pinned": None, "engine": "auto", "device": "auto", "cache_dir": None}
load_chosen("bundled", None, **chosen).encode_texts(["a cat"])
"""
Show = Callable[..., None]


class Figures:
    """Figures that are printed as they come, each beside its limit."""

    def __init__(self) -> None:
        """Begin with none missed."""
        self.missed: list[str] = []

    def show(self, name: str, value: float, remark: str = "") -> None:
        """Print one; `name` begins with a key of LIMITS where it has a limit."""
        limit = next((most for key, most in LIMITS.items() if name.startswith(key)), None)
        is_missed = limit is not None and value > limit
        if is_missed:
            self.missed.append(name)
        beside = "" if limit is None else f" (at most {limit:g}{', MISSED' if is_missed else ''})"
        print(f"{name:<56} {value:8.2f}{beside} {remark}", flush=True)


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cold", action="store_true", help="download everything")
    parser.add_argument("--starts", type=int, default=5, help="encoder processes to start")
    arguments = parser.parse_args()
    figures = Figures()
    print(f"load average at the start: {os.getloadavg()[0]:.1f}")
    with copy_of_the_tree() as root, tempfile.TemporaryDirectory() as data:
        cache = {"UV_CACHE_DIR": str(root / "cache")} if arguments.cold else {}
        with make_run(Path(data), root, **cache) as run:
            first_look(figures, root, run)
        first_vector(figures, root, arguments.starts)
        with redis_server() as redis_url:
            apart(figures, Path(data), root, redis_url)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")
    return 1 if figures.missed else 0


@contextmanager
def make_run(data: Path, root: Path, **settings: str) -> Iterator[Terminal]:
    """Yield `make run` in a checkout, stopped afterwards."""
    data.mkdir(exist_ok=True)
    run = Terminal(data, root, CLIP_MODEL="", **settings)
    try:
        yield run
    finally:
        run.kill()


def first_look(figures: Figures, root: Path, run: Terminal) -> None:
    """Measure what a newcomer sees: one process that serves and works, over SQLite."""
    figures.show("make run on a fresh copy until Ready, s", run.wait_until_ready(INSTALL_S))
    figures.show("disk of .venv, MB", disk_mb(root / ".venv"))
    show_memory(figures, "Ready", run.process.pid, "web process and worker in one")
    began = time.monotonic()
    demo = typed(root, run.environment, "make demo")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    figures.show("make demo, 300 stickers, s", time.monotonic() - began)
    ask(run.url)
    show_memory(figures, "demo and 40 questions", run.process.pid, "web process and worker in one")
    run.press_ctrl_c()


def first_vector(figures: Figures, root: Path, starts: int) -> None:
    """Measure processes that load the bundled encoder and embed one text."""
    walls, cpus = [], []
    for _ in range(starts):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(
            [root / ".venv/bin/python", "-c", FIRST_VECTOR],
            cwd=root,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root)},
            check=True,
        )
        walls.append(time.monotonic() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    remark = f"median of {starts}; least {min(walls):.2f}; CPU {statistics.median(cpus):.2f}"
    figures.show("first vector, s after the start of a process", statistics.median(walls), remark)


def apart(figures: Figures, data: Path, root: Path, redis_url: str) -> None:
    """Measure a web process and a worker beside it, on the data that are there."""
    settings = {"REDIS_URL": redis_url, "WEB_PROCESSES": "1"}
    with make_run(data, root, **settings) as web, worker_beside(root, web) as worker:
        figures.show("make run again until Ready, s", web.wait_until_ready())
        upload(web.url)
        ask(web.url)
        show_memory(
            figures, f"beside a worker, {UPLOADS} uploads and 40 questions", web.process.pid
        )
        show_memory(figures, f"after {UPLOADS} pictures", worker.pid)


@contextmanager
def worker_beside(root: Path, web: Terminal) -> Iterator[subprocess.Popen[bytes]]:
    """Yield `bin/mirada worker` on the settings of a web server, stopped afterwards."""
    worker = subprocess.Popen(
        ["bin/mirada", "worker"],
        cwd=root,
        env=web.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield worker
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait(60)


def upload(url: str) -> None:
    """Upload new pictures, and wait until every one can be found."""
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as http:
        for number in range(UPLOADS):
            file = {"file": (f"{number}.png", picture(1000 + number))}
            assert http.post("/api/v1/images", files=file).status_code == 201
        wait_until(
            lambda: (
                not any(
                    http.get(f"/api/v1/images?status={status}&limit=1").json()["results"]
                    for status in ("PENDING", "PROCESSING")
                )
            ),
            what="the uploads are READY",
        )


def ask(url: str) -> None:
    """Ask 40 questions by text and picture; every one has to be answered."""
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as http:
        for number in range(10):
            file = {"file": (f"{number}.png", picture(number))}
            replies = [
                http.post("/api/v1/search", json={"text": f"a smiling face {number}", "k": 10}),
                http.post("/api/v1/search", files=file),
                http.post("/classify", files=file, data={"labels": "cat, dog, pizza"}),
                http.get("/api/v1/images/1/similar"),
            ]
            assert [reply.status_code for reply in replies] == [200] * 4, replies


def show_memory(figures: Figures, when: str, group: int, web: str = "web process") -> None:
    """Print the memory of the processes of a group, once it has come to rest; `web` is a name."""
    seen: list[float] = []

    def is_at_rest() -> bool:
        seen.append(sum(each.resident_mb for each in processes(group)))
        return len(seen) > 3 and max(seen[-3:]) - min(seen[-3:]) < 1

    wait_until(is_at_rest, what="memory at rest", every_s=1)
    running = processes(group)
    for each in running:
        name = _name_of(each, running, web)
        if name:
            remark = f"{each.own_mb:.0f} its own share"
            figures.show(f"{name}, MB: {when}", each.resident_mb, remark)
    figures.show(f"all processes together, MB: {when}", sum(each.own_mb for each in running))
    figures.show(f"with PyTorch mapped, processes: {when}", sum(each.has_torch for each in running))


def _name_of(process: Taken, running: list[Taken], web: str) -> str | None:
    if "image_decoder" in process.command:
        return "decoder process"
    if "gunicorn" in process.command:
        parent = next((each for each in running if each.pid == process.parent), None)
        is_child = parent is not None and "gunicorn" in parent.command
        return web if is_child else "gunicorn's first process"
    return "worker process" if "workers" in process.command else None


if __name__ == "__main__":
    sys.exit(main())
