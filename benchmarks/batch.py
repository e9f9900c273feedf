"""Measures one change of many images: how long its job takes, what searches wait meanwhile, and its undoing.

`python -m benchmarks.batch --rows 20000` fills a library of its own on SQLite, then on MariaDB (`--engine`
chooses one). Everything in it is made private by a filter, by a worker in a process of its own, while this
process asks for searches one after the other. Then all is tagged, and undone when half of it is there: what
is left is compared with what was there before, image by image. The vectors have no meaning, and queries are
images, so no encoder is asked.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from sqlalchemy import select

import webapp
from mirada.config import Settings
from mirada.db.models import Image
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder
from testing.filled import fill
from testing.servers.mariadb import mariadb_server
from workers.runner import run_job

QUIET_S = 8.0
"""Seconds of searches before anything is changed."""


def library(folder: str, database_url: str | None) -> Runtime:
    """Return the runtime of the library in a folder, with an encoder that is never asked."""
    more: dict[str, Any] = {} if database_url is None else {"database_url": database_url}
    settings = Settings.from_env(
        data_dir=folder,
        faiss_index_dir=f"{folder}/indexes",
        log_level="ERROR",
        auth_mode="open",
        **more,
    )
    return with_encoder(Runtime(settings), CountingEncoder())


class Bench:
    """A filled library, a client, and what a search took."""

    def __init__(self, folder: str, database_url: str | None, rows: int) -> None:
        """Fill the library."""
        self.folder, self.database_url = folder, database_url
        self.runtime = library(folder, database_url)
        self.runtime.migrate()
        space_id, space = self.runtime.space()
        drawn = np.random.default_rng(0).normal(size=(rows, space.dimension)).astype(np.float32)
        vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        fill(self.runtime.database, Path(self.runtime.settings.image_dir), space_id, vectors)
        self.runtime.complete_rows()
        self.runtime.index(space_id).refresh()
        self.client = webapp.create_app(self.runtime).test_client()
        self.rows = rows

    def searches(self, until: Callable[[], bool]) -> list[float]:
        """Return the milliseconds of searches, one after the other, until something is so."""
        taken, number = [], 0
        while not until():
            number = number % self.rows + 1
            begun = time.perf_counter()
            reply = self.client.post("/api/v1/search", json={"image_id": number, "k": 20})
            taken.append(1_000 * (time.perf_counter() - begun))
            assert reply.status_code == 200, reply.get_json()
        return taken

    def batch(self, action: str, value: Any) -> dict[str, Any]:
        """Ask for a change of everything."""
        body = {"filter": {}, "action": action, "value": value}
        return dict(self.client.post("/api/v1/images/batch", json=body).get_json())

    def worker(self, job_id: int) -> subprocess.Popen[bytes]:
        """Begin a job in a process of its own."""
        command = [sys.executable, "-m", "benchmarks.batch", "--folder", self.folder]
        command += ["--job", str(job_id), "--database", self.database_url or ""]
        return subprocess.Popen(command)

    def told(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what became of a change so far."""
        return dict(self.client.get(batch["undo_url"]).get_json())

    def state(self) -> dict[int, tuple[Any, ...]]:
        """Return what is changed of each image."""
        with self.runtime.reading() as session:
            query = select(Image.id, Image.is_public, Image.is_hidden, Image.tags)
            return {row.id: (row[1], row[2], row[3] or []) for row in session.execute(query)}


def main(engine: str, rows: int) -> None:
    """Measure on one engine."""
    with ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory())
        url = None
        if engine == "mariadb":
            server = held.enter_context(mariadb_server())
            url = server.url(held.enter_context(server.new_database()))
        bench = Bench(folder, url, rows)
        write(f"{engine}, {rows:,} images, load {os.getloadavg()[0]:.1f}")
        ends = time.monotonic() + QUIET_S
        report("searches before", bench.searches(lambda: time.monotonic() > ends))
        _measure(bench)
        _undo_half(bench)
        bench.runtime.close()


def _measure(bench: Bench) -> None:
    batch = bench.batch("set_visibility", "private")
    begun = time.monotonic()
    worker = bench.worker(batch["job_id"])
    taken = bench.searches(lambda: worker.poll() is not None)
    report("searches meanwhile", taken)
    told = bench.told(batch)
    assert told["done"] == bench.rows, told
    write(f"{told['done']:,} images made private by a job in {time.monotonic() - begun:.1f} s")


def _undo_half(bench: Bench) -> None:
    before = bench.state()
    batch = bench.batch("add_tags", ["one", "two"])
    worker = bench.worker(batch["job_id"])
    while bench.told(batch)["done"] < bench.rows // 2:
        assert worker.poll() is None, "it ended before half was done"
        time.sleep(0.05)
    undoing = dict(bench.client.post(batch["undo_url"]).get_json())
    worker.wait()
    changed = sum(now != before[key] for key, now in bench.state().items())
    begun = time.monotonic()
    bench.worker(undoing["job_id"]).wait()
    told = bench.told(batch)
    job = bench.client.get(undoing["job_url"]).get_json()
    assert told["state"] == "undone", (told, job)
    assert bench.state() == before, told
    assert (told["state"], told["undone"]) == ("undone", changed), told
    write(f"{changed:,} of them, tagged, were undone exactly in {time.monotonic() - begun:.1f} s")


def report(name: str, taken: list[float]) -> None:
    """Write how long searches took."""
    p50, p99 = np.percentile(taken, [50, 99])
    write(f"{name:20} p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   of {len(taken):,}")


def write(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--engine", choices=["sqlite", "mariadb", "both"], default="both")
    parser.add_argument("--job", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--database", help=argparse.SUPPRESS)
    given = parser.parse_args()
    # Each search would write a line.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if given.job is not None:
        run_job(library(given.folder, given.database or None), given.job)
    else:
        for each in ("sqlite", "mariadb") if given.engine == "both" else (given.engine,):
            main(each, given.rows)
