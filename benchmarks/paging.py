"""Measures pages of searches while images come and go: Gunicorn processes, MariaDB, one ranking for all.

`python -m benchmarks.paging --rows 5000 --coming 500` fills a MariaDB database and starts a server of
two processes. Three people page through searches, each page asked of the other process. Meanwhile
images come near what they look for, and others go. It counts images that were shown twice, and images
that were there all along and were not shown. Then, while nothing changes, it tells what first, second
and third pages of searches cost: web CPU, round trips to the database, and time, by one client.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pymysql
from pydantic import SecretStr
from sqlalchemy import select

from benchmarks.serving import cpu_s, round_trips
from benchmarks.serving_library import KEY, fill
from mirada.config import Settings
from mirada.db.models import Image
from mirada.runtime import Runtime
from testing.deployment import Web, deployed
from testing.paging import Library, Walk, walk, walks_during
from testing.processes import Lines
from testing.servers.mariadb import MariaDbServer, mariadb_server
from testing.servers.redis import redis_server

HEADERS = {"X-API-Key": KEY}


@dataclass
class Paged:
    """A server of two processes over a filled library.

    Attributes:
        web: the server.
        library: its images.
        walks: what was shown so far, by the kind of search.
    """

    web: Web
    library: Library
    walks: dict[str, list[Walk]] = field(default_factory=dict)

    def run(self, coming: int, results: int) -> None:
        """Page until `coming` images have come and as many gone."""
        looked_for = self.library.vectors[0]
        image = f"/api/v1/images/{self.library.first_id}"
        query = {"vector": looked_for.tolist(), "limit": 50}
        firsts: dict[str, tuple[str, str, dict[str, Any]]] = {
            "by a stored image, 20 a page": ("GET", f"{image}/similar?limit=20", {}),
            "by a vector, 50 a page": ("POST", "/api/v1/search", {"json": query}),
            # By pictures alone, whose nearness is known.
            "related, 20 a page": ("GET", f"{image}/related?limit=20&blend=0", {}),
        }
        paces = [partial(self._walk, asked, results) for asked in firsts.values()]
        names = list(firsts)
        churn = partial(self.library.churn, coming, looked_for)
        for number, one in walks_during(churn, paces):
            self.walks.setdefault(names[number], []).append(one)

    def _walk(self, asked: tuple[str, str, dict[str, Any]], results: int) -> Walk:
        lines = Lines(self.web)
        turns = cycle(lines.pids)

        def ask(method: str, address: str, **parts: Any) -> dict[str, Any]:
            reply, _ = lines.ask(next(turns), method, address, HEADERS, **parts)
            assert reply.status_code == 200, reply.text
            body: dict[str, Any] = reply.json()
            return body

        method, address, parts = asked
        first: Callable[[], dict[str, Any]] = partial(ask, method, address, **parts)
        try:
            return walk(first, partial(ask, "GET"), results, self.library)
        finally:
            lines.close()


@contextmanager
def paged(mariadb: MariaDbServer, folder: Path, rows: int) -> Iterator[Paged]:
    """Yield a server of two processes over a library of its own."""
    with mariadb.new_database() as name, redis_server() as redis_url:
        url = mariadb.url(name)
        # With Redis no web process works through jobs beside its requests.
        settings = {"REDIS_URL": redis_url, "AUTH_MODE": "keys", "LOG_LEVEL": "WARNING"}
        settings["DATABASE_URL"] = url
        with deployed(folder, WEB_PROCESSES="2", **settings) as deployment:
            first = deployment.web("first", WEB_PROCESSES="1")
            filled = fill(url, rows)
            first.process.stop()
            web = deployment.web()
            runtime = Runtime(
                Settings(database_url=SecretStr(url), data_dir=folder / "data", _env_file=None)  # type: ignore[call-arg]
            )
            with runtime.reading() as session:
                owner = select(Image.owner_id).where(Image.id == filled.first_id)
                owner_id = session.execute(owner).scalar_one()
            try:
                yield Paged(web, Library(runtime, owner_id, filled.vectors, filled.first_id))
            finally:
                runtime.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000, help="images at first")
    parser.add_argument("--coming", type=int, default=500, help="images that come, and that go")
    parser.add_argument("--results", type=int, default=1_000, help="results of a walk")
    parser.add_argument("--searches", type=int, default=50, help="for the costs of a page")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        mariadb_server() as mariadb,
        pymysql.connect(unix_socket=str(mariadb.folder / "s"), user="root") as counter,
        paged(mariadb, Path(folder), arguments.rows) as drilled,
    ):
        drilled.run(arguments.coming, arguments.results)
        _tell(drilled)
        _tell_costs(drilled, counter, arguments.searches)


def _tell(drilled: Paged) -> None:
    library = drilled.library
    nearness = library.similarities(library.vectors[0])
    print(f"{library.come} images came, {len(library.gone)} went, of {len(library.vectors)}\n")
    print("| search | walks | images shown | twice | lost |")
    print("| --- | --- | --- | --- | --- |")
    for name, walks in drilled.walks.items():
        shown = sum(len(one.ids) for one in walks)
        twice = sum(len(one.twice()) for one in walks)
        lost = sum(len(one.lost(library, nearness)) for one in walks)
        print(f"| {name} | {len(walks)} | {shown} | {twice} | {lost} |")


def _tell_costs(drilled: Paged, counter: pymysql.Connection[Any], searches: int) -> None:
    library, http, pid = drilled.library, drilled.web.http, drilled.web.process.popen.pid
    rows = np.random.default_rng(7).choice(len(library.vectors), 3 * searches, replace=False)
    left = [row for row in rows.tolist() if library.first_id + row not in set(library.gone)]
    asked: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
        "by a stored image": [
            ("GET", f"/api/v1/images/{library.first_id + row}/similar?limit=20", {})
            for row in left[:searches]
        ],
        "by a vector": [
            ("POST", "/api/v1/search", {"vector": library.vectors[row].tolist(), "limit": 20})
            for row in left[:searches]
        ],
    }
    print(f"\nload average {os.getloadavg()[0]:.1f}\n")
    print("| search, 20 a page | page | web CPU | round trips | median time |")
    print("| --- | --- | --- | --- | --- |")
    for name, requests in asked.items():
        for page in ("first", "second", "third"):
            trips, cpu, took = round_trips(counter), cpu_s(pid), list[float]()
            following: list[tuple[str, str, dict[str, Any]]] = []
            for method, address, body in requests:
                began = time.perf_counter()
                reply = http.request(method, address, headers=HEADERS, json=body or None)
                took.append(time.perf_counter() - began)
                following.append(("GET", reply.raise_for_status().json()["next"], {}))
            count = len(requests)
            cpu_ms = 1e3 * (cpu_s(pid) - cpu) / count
            trips_each = (round_trips(counter) - trips) / count
            ms = 1e3 * median(took)
            print(f"| {name} | {page} | {cpu_ms:.1f} ms | {trips_each:.1f} | {ms:.1f} ms |")
            requests = following


if __name__ == "__main__":
    main()
