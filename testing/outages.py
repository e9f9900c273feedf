"""What can go wrong around a server, and how long everybody else waits meanwhile."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pymysql
import redis

from testing.deployment import ROOT
from testing.pictures import picture
from testing.servers.mariadb import MariaDbServer, _connect
from testing.servers.process import die_with_parent

ASK_EVERY_S = 0.1
CLIENTS_OF_A_KIND = 3


@dataclass
class Seen:
    """What one kind of request met: the worst latency in seconds, and how often which status."""

    worst_s: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return f"{self.worst_s:.2f} s ({counts})"


@dataclass
class Asking:
    """Who asks what, over a new connection each time, as different people do."""

    address: tuple[str, int]
    headers: dict[str, str]

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> int:
        """Return the status, 0 for no answer."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.request(method, path, body or None, self.headers | headers)
            reply = connection.getresponse()
            reply.read()
            return reply.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()


def livez(asking: Asking, _number: int) -> int:
    return asking.ask("GET", "/livez")


def read(asking: Asking, number: int) -> int:
    return asking.ask("GET", ("/api/v1/images", "/api/v1/images/1", "/api/v1/jobs")[number % 3])


def write(asking: Asking, number: int) -> int:
    if number % 2:
        return asking.ask("PUT", "/api/v1/images/1/like")
    file = picture(number + 1000, size=(32, 32))
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    return asking.ask("POST", "/api/v1/images", head + file + b"\r\n--b--\r\n", **form)


KINDS: dict[str, Callable[[Asking, int], int]] = {"livez": livez, "reads": read, "writes": write}


def _ask_until_told(kind: str, host: str, port: str, *keys: str) -> None:
    """Ask with several clients until standard input ends, and print what was seen, as JSON."""
    headers = {"Authorization": f"Bearer {keys[0]}"} if keys else {}
    asking, seen = Asking((host, int(port)), headers), Seen()
    over, lock = threading.Event(), threading.Lock()

    def ask(number: int) -> None:
        while not over.wait(ASK_EVERY_S):
            number += CLIENTS_OF_A_KIND
            began_s = time.monotonic()
            status = KINDS[kind](asking, number)
            with lock:
                seen.worst_s = max(seen.worst_s, time.monotonic() - began_s)
                seen.statuses[status] += 1

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(CLIENTS_OF_A_KIND)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps([seen.worst_s, list(seen.statuses.items())]))


@contextmanager
def watching(url: str, key: str | None = None) -> Iterator[dict[str, Seen]]:
    """Ask a server all the time while the block runs; what was seen is there after it.

    A process for each kind of request, with three clients: measured in one process, they would wait
    for one another.
    """
    host, _, port = url.removeprefix("http://").partition(":")
    seen: dict[str, Seen] = {}
    watchers = {
        kind: subprocess.Popen(
            [sys.executable, "-m", "testing.outages", kind, host, port, *([key] if key else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            preexec_fn=die_with_parent,
        )
        for kind in KINDS
    }
    try:
        yield seen
    finally:
        for watcher in watchers.values():
            assert watcher.stdin is not None
            watcher.stdin.close()
        for kind, watcher in watchers.items():
            assert watcher.stdout is not None
            worst_s, statuses = json.loads(watcher.stdout.read())
            seen[kind] = Seen(worst_s, Counter(dict(statuses)))
            watcher.wait()
            watcher.stdout.close()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process as a machine does that hangs: its port still accepts, and nothing answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def mariadb_frozen(server: MariaDbServer) -> Iterator[None]:
    """Freeze a server of ours."""
    with frozen(int((server.folder / "pid").read_text())):
        yield


@contextmanager
def redis_frozen(url: str) -> Iterator[None]:
    """Freeze a server of ours."""
    with redis.Redis.from_url(url) as client:
        pid = int(client.info("server")["process_id"])
    with frozen(pid):
        yield


@contextmanager
def held(server: MariaDbServer, *statements: str) -> Iterator[None]:
    """Keep a connection open that holds what its statements took, as a backup does."""
    with ExitStack() as stack:
        connection: pymysql.Connection = _connect(server.folder, connect_timeout_s=5)
        stack.callback(connection.close)
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            yield
            cursor.execute("UNLOCK TABLES")


if __name__ == "__main__":
    _ask_until_told(*sys.argv[1:])
