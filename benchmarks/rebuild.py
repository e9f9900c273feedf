"""Measures the life of an index on MariaDB: reading, building, searching meanwhile, starting, following.

`python -m benchmarks.rebuild --rows 100000` fills a MariaDB database with clustered vectors in the
bundled encoder's space. Reading and building are processes of their own, as a worker is. Searches while
an index is built are this process's. Starts and freshness are of two web processes over HTTP.
`--without-graph` builds the quantised form alone, in seconds. Everything runs on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from benchmarks.rebuild_over_http import first_search, report, report_freshness
from benchmarks.rebuild_process import Watched
from benchmarks.serving_library import Filled, fill
from mirada.config import Settings
from mirada.db.models import User
from mirada.kernel.audience import Audience, Scope
from mirada.ports import VectorIndex, single
from mirada.runtime import Runtime
from testing.deployment import ROOT, deployed
from testing.servers.mariadb import mariadb_server
from testing.servers.redis import redis_server
from testing.vector_library import Library

K = 10
ROUND_S, STOPPED_S, STEP_S = 4.0, 1.0, 0.25
EVERYBODY = Scope(Audience(None))


def child(what: str, url: str, space_id: int, folder: Path) -> subprocess.Popen[str]:
    """Start a process of `benchmarks.rebuild_process`."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.rebuild_process", what, url, str(space_id), str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield what a process says, until it ends well."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)
    assert process.wait() == 0


def seconds(found: dict[str, Any]) -> str:
    """Return both times of a process as people read them."""
    return f"{found['processor_s']:6.2f} s CPU, {found['clock_s']:6.2f} s"


def report_reading(url: str, space_id: int, folder: Path) -> None:
    """Print what reading every row takes."""
    *rounds, memory = said(child("read", url, space_id, folder))
    best = min(rounds, key=lambda found: found["processor_s"])
    report(f"read {best['rows']:,} rows, checksums compared", seconds(best), "at most 0.5 s CPU")
    report("memory of reading, beyond the process itself", megabytes(memory["memory"]))


def megabytes(size: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{size / 1e6:6.0f} MB"


def report_building(process: subprocess.Popen[str]) -> None:
    """Print when a build published what, and its memory."""
    goals = {"quantised": "at most 4 s CPU", "hnsw": "at most 100 s CPU"}
    for found in said(process):
        if found["kind"] == "all":
            report(
                "memory of the build, beyond the process itself",
                megabytes(found["memory"]),
                "at most 400 MB",
            )
        else:
            report(
                f"published: {found['kind']}, {megabytes(found['bytes']).strip()}",
                seconds(found),
                goals.get(found["kind"], ""),
            )


def searched(
    index: VectorIndex, queries: np.ndarray, worker: subprocess.Popen[str]
) -> tuple[list[float], list[float]]:
    """Search one query after the other until the worker ends.

    The worker is stopped for a second in every four, so that both are measured on the same machine,
    whatever else is on it.

    Returns:
        Milliseconds of searches while it was stopped, and while it worked.
    """
    alone: list[float] = []
    beside: list[float] = []
    began, number = time.perf_counter(), 0
    while worker.poll() is None:
        is_stopped = (time.perf_counter() - began) % ROUND_S < STOPPED_S
        worker.send_signal(signal.SIGSTOP if is_stopped else signal.SIGCONT)
        until = time.perf_counter() + STEP_S
        while time.perf_counter() < until and worker.poll() is None:
            query = single(queries[number % len(queries)])
            started = time.perf_counter()
            index.search(query, K, EVERYBODY)
            took = (time.perf_counter() - started) * 1e3
            (alone if is_stopped else beside).append(took)
            number += 1
            time.sleep(0.002)
    return alone, beside


def report_meanwhile(
    index: VectorIndex,
    queries: np.ndarray,
    url: str,
    space_id: int,
    folder: Path,
    *,
    with_graph: bool,
) -> None:
    """Print how searches fare while a worker builds, and what it says."""
    index.refresh()
    index.search(queries[:100], K, EVERYBODY)
    worker = child("build" if with_graph else "build-without-graph", url, space_id, folder)
    reporting = threading.Thread(target=report_building, args=(worker,))
    reporting.start()
    alone, beside = searched(index, queries, worker)
    reporting.join()
    before, during = (float(np.percentile(times, 99)) for times in (alone, beside))
    way = index.search(single(queries[0]), K, EVERYBODY)[0].way
    report(
        f"search by {way} while a worker builds, p99 ({len(beside):,})",
        f"{during:6.2f} ms, usually {before:.2f}: {during / before:.1f} x",
        "at most 2 x",
    )
    report(
        "the same, p50",
        f"{statistics.median(beside):6.2f} ms, usually {statistics.median(alone):.2f}",
    )


@contextmanager
def library_of(url: str, folder: Path, rows: int) -> Iterator[tuple[Library, Filled]]:
    """Yield a filled library in the bundled encoder's space."""
    runtime = Runtime(
        Settings.from_env(
            data_dir=folder / "data",
            faiss_index_dir=folder / "faiss_indexes",
            database_url=url,
            clip_model="bundled",
        )
    )
    runtime.migrate()
    space_id, space = runtime.space()
    filled = fill(url, rows)
    with runtime.reading() as session:
        owner_id = session.execute(select(User.id).where(User.username == "benchmark")).scalar_one()
    yield Library(runtime.database, space_id, space.dimension, [owner_id]), filled
    runtime.close()


def main() -> None:
    """Fill, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--without-graph", action="store_true")
    arguments = parser.parse_args()
    from mirada.adapters.vector_index.faiss.index import FaissIndex
    from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings

    with tempfile.TemporaryDirectory() as temporary, mariadb_server() as server:
        folder = Path(temporary)
        snapshots = folder / "faiss_indexes"
        with server.new_database() as name, redis_server() as redis_url:
            url = server.url(name)
            with library_of(url, folder, arguments.rows) as (library, filled):
                space_id = library.space_id
                print(
                    f"{arguments.rows:,} x {library.dimension} on MariaDB, "
                    f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
                )
                report_reading(url, space_id, snapshots)
                for _ in said(child("build-without-graph", url, space_id, snapshots)):
                    pass
                with deployed(
                    folder,
                    DATABASE_URL=url,
                    REDIS_URL=redis_url,
                    AUTH_MODE="keys",
                    WEB_PROCESSES="1",
                    LOG_LEVEL="WARNING",
                ) as deployment:
                    starts = [first_search(deployment, f"web{n}", filled.first_id) for n in (1, 2)]
                    report(
                        "start with a snapshot to the first search by id",
                        f"{min(took for _, took in starts):6.2f} s",
                        "at most 3 s",
                    )
                    report_freshness(library, [web for web, _ in starts])
                index = FaissIndex(
                    Watched(library.database, space_id),
                    snapshots,
                    BuildSettings(recall_target=0.98),
                )
                rng = np.random.default_rng(5)
                queries = filled.vectors[rng.integers(0, len(filled.vectors), 1_000)]
                report_meanwhile(
                    index, queries, url, space_id, snapshots, with_graph=not arguments.without_graph
                )
                index.close()


if __name__ == "__main__":
    main()
