"""Slow and malformed clients against Gunicorn as it is configured: everybody else is served."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import make_url, update

from mirada.db.models import Job
from mirada.db.session import Database, make_engine, now_ms
from mirada.embedding.job import queue_embedding
from testing.deployment import Web, deployed
from testing.patience import Stopwatch, wait_until
from testing.pictures import picture
from testing.slow_clients import KINDS, first_bytes, slow_clients

ALIVE_WITHIN_S = 1.0
SERVED_WITHIN_S = 3.0
SLOW = 200


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server without encoder: clients are what is tested. It starts in three seconds."""
    with deployed(tmp_path_factory.mktemp("slow"), EMBEDDINGS_ENABLED="false") as deployment:
        yield deployment.web()


@pytest.fixture(scope="module")
def large(web: Web) -> str:
    """The path of a picture that no socket's buffer holds."""
    return f"/api/v1/images/{web.upload(picture(9, size=(1800, 1800)))['id']}/file"


@pytest.fixture(scope="module")
def waiting_job(web: Web) -> int:
    """A job that is not due for an hour."""
    return job_of_tomorrow(web.process.log.parent / "data" / "mirada.db")


def job_of_tomorrow(path: Path) -> int:
    database = Database(make_engine(make_url(f"sqlite:///{path}"), 1))
    with database.transaction() as session:
        job_id = queue_embedding(session, 1, None).id
        session.execute(update(Job).values(next_run_at_ms=now_ms() + 3_600_000))
    database.close()
    return job_id


def port_of(web: Web) -> int:
    return int(web.url.rpartition(":")[2])


def exchange(web: Web, sent: bytes) -> bytes:
    """Send bytes, stop sending, and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port_of(web)), timeout=15) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def as_browsers_do(call: Callable[[], Any]) -> Any:
    """Call once more where a kept connection was given up just as it was used.

    The server makes room by giving up connections that say nothing, such as this client's between two
    requests, for as long as the many others are still coming.
    """
    try:
        return call()
    except (httpx2.RemoteProtocolError, httpx2.NetworkError):
        return call()


def assert_served(web: Web) -> None:
    """Everybody else lives, reads and writes."""
    for path in ("/livez", "/health/live"):
        watch = Stopwatch()
        assert as_browsers_do(partial(web.http.get, path)).json() == {"status": "alive"}
        assert watch.seconds < ALIVE_WITHIN_S
    watch = Stopwatch()
    assert as_browsers_do(lambda: web.http.get("/api/v1/images")).status_code == 200
    assert watch.seconds < SERVED_WITHIN_S
    watch = Stopwatch()
    as_browsers_do(lambda: web.upload(picture(1)))
    assert watch.seconds < SERVED_WITHIN_S


@pytest.mark.parametrize("kind", KINDS)
def test_two_hundred_slow_connections_leave_everybody_else_served(
    web: Web, large: str, kind: str
) -> None:
    opening = first_bytes(kind, path=large)
    ranged = opening.replace(b"\r\n\r\n", b"\r\nRange: bytes=1-9000000\r\n\r\n")

    def open_with(number: int) -> bytes:
        return ranged if kind == "reply" and number % 2 else opening

    with slow_clients(port_of(web), SLOW, open_with, drips=kind != "reply"):
        assert_served(web)


@pytest.mark.parametrize("kind", ["head", "body"])
def test_a_thousand_and_more_connections_leave_room_for_one(web: Web, kind: str) -> None:
    with slow_clients(port_of(web), 1300, lambda _: first_bytes(kind), drips=False):
        assert_served(web)


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (b"Transfer-Encoding: unheard-of\r\n\r\n{}", 501),
        (b"Content-Length: two\r\n\r\n{}", 400),
        (b"Content-Length: 5\r\n\r\n{}", 400),
        (b"Content-Length: 2\r\nno colon\r\n\r\n{}", 400),
        (b"Content-Length: 2\r\nX: " + b"x" * 9000 + b"\r\n\r\n{}", 431),
        (b"X: " + b"x" * 70_000, 431),
        (b"Content-Length: 2000000\r\n\r\n{}", 413),
        (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % 2**21 + b" " * 2**20 + b"  ", 413),
        (b"Content-Length: 2\r\n\r\n[]", 422),
    ],
    ids=lambda value: repr(value[:50]) if isinstance(value, bytes) else str(value),
)
def test_a_malformed_request_is_a_problem_that_says_what_is_wrong(
    web: Web, rest: bytes, status: int
) -> None:
    head = b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    reply = exchange(web, head + rest)
    first, _, body = reply.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status), reply
    assert b"application/problem+json" in first
    problem = json.loads(body)
    assert (problem["status"], bool(problem["detail"])) == (status, True)
    assert "Traceback" not in web.process.log.read_text()


def test_an_upload_with_expect_is_told_to_go_on_once(web: Web) -> None:
    form = httpx2.Request("POST", web.url, files={"file": ("a.png", picture(3))})
    body = form.read()
    head = (
        f"POST /api/v1/images HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        f"Content-Type: {form.headers['Content-Type']}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port_of(web)), timeout=15) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 201 ")


def test_a_client_that_sends_too_much_reads_why(web: Web) -> None:
    reply = web.http.post("/api/v1/images", files={"file": ("a.png", bytes(60 * 1024**2))})
    assert (reply.status_code, reply.json()["code"]) == (413, "request_too_large")


def test_a_client_with_a_wrong_key_reads_why(web: Web) -> None:
    wrong = {"Authorization": "Bearer mrd_wrong"}
    files = {"file": ("a.png", bytes(20 * 1024**2))}
    reply = web.http.post("/api/v1/images", files=files, headers=wrong)
    assert (reply.status_code, reply.json()["code"]) == (401, "not_authenticated")


def test_requests_that_come_at_once_are_answered_in_order(web: Web) -> None:
    paths = ["/livez", "/api/v1/labels", "/health/live/?x=1", "/api/v1/absent", "/livez"]
    sent = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in paths]
    reply = exchange(web, "".join(sent).encode())
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", reply)
    assert statuses == [b"200", b"200", b"200", b"404", b"200"]


def test_a_reply_arrives_whole_however_it_is_taken(web: Web, large: str) -> None:
    whole = web.http.get(large).content
    part = web.http.get(large, headers={"Range": "bytes=7-3000006"})
    assert (part.status_code, part.content == whole[7:3000007]) == (206, True)
    with slow_clients(
        port_of(web), 1, lambda _: first_bytes("reply", path=large), drips=False
    ) as clients:
        (one,) = clients.sockets
        # Read until as much has come as the reply is long; the connection stays open.
        received = b""
        while len(received.partition(b"\r\n\r\n")[2]) < len(whole):
            piece = one.recv(65536)
            assert piece
            received += piece
        assert received.partition(b"\r\n\r\n")[2] == whole


def test_it_stops_within_seconds_while_slow_clients_are_connected(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with deployed(tmp_path_factory.mktemp("stop"), EMBEDDINGS_ENABLED="false") as deployment:
        web = deployment.web()
        openings = [first_bytes(kind) for kind in KINDS]
        stream = follow(web, job_of_tomorrow(deployment.folder / "data" / "mirada.db"))
        with stream, slow_clients(port_of(web), 50, lambda number: openings[number % len(KINDS)]):
            watch = Stopwatch()
            assert web.process.stop(timeout_s=20) == 0
            assert watch.seconds < 12


def test_a_drip_ends_with_408(web: Web) -> None:
    with slow_clients(port_of(web), 4, lambda number: first_bytes(KINDS[number])) as clients:
        wait_until(lambda: clients.ended() == 4, timeout_s=60, what="four deadlines")
        assert [one.recv(12) for one in clients.sockets] == [b"HTTP/1.1 408"] * 4


def follow(web: Web, job_id: int) -> socket.socket:
    """Open a stream of a job's events and read its beginning."""
    connection = socket.create_connection(("127.0.0.1", port_of(web)), timeout=15)
    path = f"/api/v1/jobs/{job_id}/events"
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    connection.recv(4096)
    return connection


def test_a_place_is_free_soon_after_its_reader_hung_up(web: Web, waiting_job: int) -> None:
    address = f"{web.url}/api/v1/jobs/{waiting_job}/events"
    readers = [follow(web, waiting_job) for _ in range(2)]
    assert web.http.get(address).status_code == 503
    readers.pop().close()
    watch = Stopwatch()

    def is_free() -> bool:
        with web.http.stream("GET", address) as reply:
            return bool(reply.status_code == 200)

    wait_until(is_free, what="a place for another stream")
    assert watch.seconds < 2
    readers.pop().close()
