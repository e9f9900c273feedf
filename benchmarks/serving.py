"""Measures requests over HTTP as they are deployed: Gunicorn processes, MariaDB, Redis, kept-alive clients.

`python -m benchmarks.serving --rows 20000` fills a MariaDB database with clustered vectors in the
bundled encoder's space and has the index built. Clients ask over loopback, one alone and 8 at once.
`--against PATH` does the same with the code of another checkout, in turns with this one. Web CPU is of
the Gunicorn processes and their children. Round trips are those that the server counted, statements and
pings, less what the processes ask by themselves in the same time. Clients run on the same machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pymysql

from benchmarks.serving_library import KEY, Filled, fill
from benchmarks.serving_load import Answers, Ask, get, in_turn, load, post_json, post_picture
from testing.deployment import ROOT, Web, deployed
from testing.patience import wait_until
from testing.pictures import picture
from testing.servers.mariadb import MariaDbServer, mariadb_server
from testing.servers.redis import redis_server

K = 10
CLIENTS = (1, 8)
QUERIES = ("id", "vector", "text", "picture")
DISTINCT = 500
PICTURES = 40
BUILD_TIMEOUT_S = 600
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Served:
    """A running server over a filled library."""

    name: str
    web: Web
    filled: Filled
    asks: dict[str, Ask]

    @property
    def port(self) -> int:
        """Its port on loopback."""
        return int(self.web.url.rpartition(":")[2])


@dataclass(frozen=True)
class Measured:
    """One load: what came back, and what it cost the web processes and the database per request."""

    answers: Answers
    web_cpu_ms: float
    round_trips: float


@contextmanager
def served(
    mariadb: MariaDbServer, folder: Path, root: Path, arguments: argparse.Namespace
) -> Iterator[Served]:
    """Yield the server of one checkout, with an index that a worker has built."""
    with ExitStack() as stack:
        redis_url = stack.enter_context(redis_server())
        url = mariadb.url(stack.enter_context(mariadb.new_database()))
        deployment = stack.enter_context(
            deployed(
                folder,
                root=root,
                DATABASE_URL=url,
                REDIS_URL=redis_url,
                AUTH_MODE="keys",
                WEB_PROCESSES=str(arguments.processes),
                LOG_LEVEL="WARNING",
                OMP_NUM_THREADS="",
            )
        )
        first = deployment.web("first")
        filled = fill(url, arguments.rows)
        first.http.headers["X-API-Key"] = filled.key
        worker = deployment.worker()
        _build(first)
        worker.stop()
        first.process.stop()
        web = deployment.web()
        web.http.headers["X-API-Key"] = filled.key
        yield Served(root.name, web, filled, asks(filled))


def _build(web: Web) -> None:
    reply = web.http.post("/api/v1/indexes/image/rebuild")
    assert reply.status_code == 202, reply.text
    job = reply.headers.get("Location") or f"/api/v1/jobs/{reply.json()['id']}"

    def is_done() -> bool:
        body = web.http.get(job).json()
        assert body["state"].lower() in ("queued", "running", "done"), body
        return bool(body["state"].lower() == "done")

    wait_until(is_done, what="the index", timeout_s=BUILD_TIMEOUT_S, every_s=0.5)


def asks(filled: Filled) -> dict[str, Ask]:
    """Return the requests of each kind of query."""
    rng = np.random.default_rng(5)
    chosen = rng.integers(0, len(filled.vectors), DISTINCT)
    pictures = [picture(seed, "JPEG", (640, 480)) for seed in range(PICTURES)]
    return {
        "id": in_turn(
            [
                get(f"/api/v1/images/{filled.first_id + int(row)}/similar?limit={K}", KEY)
                for row in chosen
            ]
        ),
        "vector": in_turn(
            [
                post_json("/api/v1/search", KEY, {"vector": filled.vectors[row].tolist(), "k": K})
                for row in chosen
            ]
        ),
        # Each is new: a text that was asked before is remembered.
        "text": lambda number: post_json(
            "/api/v1/search", KEY, {"text": f"a cat on {time.perf_counter_ns()} roofs", "k": K}
        ),
        "picture": in_turn(
            [post_picture("/api/v1/search", KEY, each, [("k", str(K))]) for each in pictures]
        ),
    }


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and of its children and theirs, by /proc."""
    total = 0.0
    for each in _family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += _family(int(child))
    return found


def round_trips(connection: pymysql.Connection[Any]) -> int:
    """Return how many statements and pings the server has answered."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SHOW GLOBAL STATUS WHERE Variable_name IN ('Queries', 'Com_admin_commands')"
        )
        return sum(int(value) for _, value in cursor.fetchall())


def measure(
    server: Served, kind: str, clients: int, seconds: float, counter: pymysql.Connection[Any]
) -> Measured:
    """Let clients ask one kind of query, and return what that came to."""
    pid, ask = server.web.process.popen.pid, server.asks[kind]
    load(server.port, ask, clients=2 * clients, seconds=0.3)
    idle_at_s, idle_before = time.perf_counter(), round_trips(counter)
    time.sleep(min(1.0, seconds))
    idle_per_s = (round_trips(counter) - idle_before) / (time.perf_counter() - idle_at_s)
    cpu_before, trips_before = cpu_s(pid), round_trips(counter)
    answers = load(server.port, ask, clients=clients, seconds=seconds)
    trips = round_trips(counter) - trips_before - idle_per_s * answers.wall_s
    count = len(answers.seconds)
    return Measured(answers, (cpu_s(pid) - cpu_before) * 1e3 / count, trips / count)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their headings, as Markdown."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print(
            "| "
            + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            + " |"
        )
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    sys.stdout.flush()


def row(server: str, kind: str, clients: int, found: Measured) -> list[str]:
    """Return one row of the table."""
    answers = found.answers
    p50, p99 = answers.percentile_ms(50), answers.percentile_ms(99)
    refused = sum(count for status, count in answers.statuses.items() if status != 200)
    return [
        server,
        kind,
        str(clients),
        f"{answers.per_second:.0f}",
        f"{p50:.1f}",
        f"{p99:.1f}",
        f"{p99 / p50:.1f}",
        f"{found.web_cpu_ms:.2f}",
        f"{found.round_trips:.1f}",
        str(refused),
    ]


HEADINGS = [
    "code",
    "query",
    "clients",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "p99/p50",
    "web CPU ms",
    "round trips",
    "not 200",
]


def arguments_given() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    parser.add_argument("--queries", nargs="+", choices=QUERIES, default=list(QUERIES))
    parser.add_argument("--clients", nargs="+", type=int, default=list(CLIENTS))
    parser.add_argument("--against", type=Path, help="another checkout, to measure in turns")
    return parser.parse_args()


def main() -> None:
    """Fill, serve, ask, and print."""
    arguments = arguments_given()
    roots = [ROOT, *([arguments.against.resolve()] if arguments.against else [])]
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        mariadb = stack.enter_context(mariadb_server("own"))
        counter = stack.enter_context(
            pymysql.connect(unix_socket=str(mariadb.folder / "s"), user="root")
        )
        servers = [
            stack.enter_context(served(mariadb, Path(temporary) / str(n), root, arguments))
            for n, root in enumerate(roots)
        ]
        print(
            f"{arguments.rows:,} images, {arguments.processes} web processes, "
            f"load average {os.getloadavg()[0]:.1f} before"
        )
        found: dict[tuple[str, str, int], Measured] = {}
        rows = [HEADINGS]
        for kind in arguments.queries:
            for clients in arguments.clients:
                for server in servers:
                    one = measure(server, kind, clients, arguments.seconds, counter)
                    found[server.name, kind, clients] = one
                    rows.append(row(server.name, kind, clients, one))
        table(rows)
        _ratios(found, servers, arguments)


def _ratios(
    found: dict[tuple[str, str, int], Measured],
    servers: Sequence[Served],
    arguments: argparse.Namespace,
) -> None:
    """Print what is compared: with the other checkout, and 8 clients with one."""
    ours, most = servers[0].name, max(arguments.clients)
    for kind in arguments.queries:
        together = found[ours, kind, most].answers.per_second
        alone = found[ours, kind, min(arguments.clients)].answers.per_second
        said = [f"{most} clients {together / alone:.2f} x one in sum"]
        said += [
            f"{together / found[other.name, kind, most].answers.per_second:.2f} x {other.name}"
            for other in servers[1:]
        ]
        print(f"by {kind}: {', '.join(said)}")


if __name__ == "__main__":
    main()
