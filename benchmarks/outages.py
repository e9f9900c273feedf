"""Measures the worst latency of others while clients are slow, or the database or Redis hangs.

`make bench ARGS=outages` runs Gunicorn with two processes, a worker, MariaDB and Redis on this
machine, and prints a table. With `--seconds` each hardship lasts longer than the 12 s it has.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from testing.deployment import Deployment, Web, deployed
from testing.outages import KINDS, Seen, held, mariadb_frozen, redis_frozen, watching
from testing.pictures import picture
from testing.servers.mariadb import MariaDbServer, mariadb_server
from testing.servers.redis import redis_server
from testing.slow_clients import KINDS as SLOW_KINDS
from testing.slow_clients import first_bytes, slow_clients

SLOW = 200
Hardship = Callable[[], AbstractContextManager[object]]


def hardships(
    web: Web, key: str, large: str, server: MariaDbServer, database: str, redis_url: str
) -> Iterator[tuple[str, Hardship]]:
    """Yield each hardship with its name."""
    port = int(web.url.rpartition(":")[2])
    yield "nothing", partial(_nothing)
    for kind in SLOW_KINDS:
        for who in (None, key):
            opening = first_bytes(kind, who, large)
            yield (
                f"{SLOW} slow connections: {kind}, {'with' if who else 'without'} a key",
                partial(slow_clients, port, SLOW, lambda _, o=opening: o, drips=kind != "reply"),
            )
    yield "MariaDB frozen (SIGSTOP)", partial(mariadb_frozen, server)
    yield "FLUSH TABLES WITH READ LOCK", partial(held, server, "FLUSH TABLES WITH READ LOCK")
    table = f"{database}.mirada_images"
    yield "LOCK TABLES images WRITE", partial(held, server, f"LOCK TABLES {table} WRITE")
    yield "LOCK TABLES images READ", partial(held, server, f"LOCK TABLES {table} READ")
    yield "Redis frozen (SIGSTOP)", partial(redis_frozen, redis_url)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def make_key(deployment: Deployment) -> str:
    """Return the key of a new administrator."""
    done = deployment.run("flask", "--app", "wsgi:app", "users", "create", "drill", "--admin")
    return next(word for word in done.stdout.split() if word.startswith("mrd_"))


def main() -> None:
    """Run every hardship and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--only", default="", help="hardships whose name has this in it")
    wanted = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        mariadb_server() as server,
        server.new_database() as database,
        redis_server() as redis_url,
        deployed(
            Path(folder),
            DATABASE_URL=server.url(database),
            REDIS_URL=redis_url,
            WEB_PROCESSES="2",
            AUTH_MODE="keys",
        ) as deployment,
    ):
        web = deployment.web()
        deployment.worker()
        key = make_key(deployment)
        web.http.headers["Authorization"] = f"Bearer {key}"
        large = f"/api/v1/images/{web.upload(picture(1, size=(1800, 1800)))['id']}/file"
        web.wait_until_ready(1)
        print(f"| {'while':52} | " + " | ".join(f"worst {kind}" for kind in KINDS) + " |")
        print("| --- | " + " | ".join("---" for _ in KINDS) + " |", flush=True)
        for name, hardship in hardships(web, key, large, server, database, redis_url):
            if wanted.only in name:
                _print_row(name, _measured(web, key, hardship, wanted.seconds))
                web.wait_until_healthy()


def _measured(web: Web, key: str, hardship: Hardship, seconds: float) -> dict[str, Seen]:
    with hardship(), watching(web.url, key) as seen:
        time.sleep(seconds)  # the hardship lasts, whatever is answered meanwhile
    return seen


def _print_row(name: str, seen: dict[str, Seen]) -> None:
    print(f"| {name:52} | " + " | ".join(str(one) for one in seen.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
