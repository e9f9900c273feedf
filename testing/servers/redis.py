"""A Redis server for the tests, on a free loopback port, in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from testing.servers.process import find_binary, free_port, missing, running, server_folder


@contextmanager
def redis_server(port: int | None = None) -> Iterator[str]:
    """Yield the URL of a server with production's memory policy and nothing kept on disk."""
    binary = find_binary(["redis-server", "valkey-server"])
    if binary is None:
        missing("Redis", "`apt-get install redis-server` (make test does it when it may)")
    port = port or free_port()
    with server_folder("mirada-redis-") as folder:

        def is_ready() -> bool:
            with redis.Redis(port=port, socket_connect_timeout=1) as client:
                try:
                    return bool(client.ping())
                except redis.exceptions.ConnectionError:
                    return False

        with running(
            [
                binary,
                "--bind",
                "127.0.0.1",
                "--port",
                str(port),
                "--dir",
                str(folder),
                "--save",
                "",
                "--appendonly",
                "no",
                "--maxmemory-policy",
                "noeviction",
            ],
            log=folder / "log",
            is_ready=is_ready,
        ):
            yield f"redis://127.0.0.1:{port}/0"
