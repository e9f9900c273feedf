"""The worker's loop, without Gunicorn's processes: what many requests of one connection leave behind."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from testing.patience import PATIENCE_S
from webapp.front.balance import place_of
from webapp.front.bodies import Budget
from webapp.front.connection import Connection
from webapp.front.lane import Lane
from webapp.front.refused import Alive
from webapp.front.setup import Front
from webapp.front.worker import FrontWorker

ROOM_BYTES = 500_000
BODY_BYTES = 100_000
ALIVE = b"GET /livez HTTP/1.1\r\nHost: a\r\n"


class Loop:
    """A worker that serves one connection and has no application."""

    def __init__(self) -> None:
        self.worker = worker = FrontWorker.__new__(FrontWorker)
        self.budget = Budget(most_bytes=ROOM_BYTES)
        self.lane = Lane()
        self.lane.start()
        worker.front = Front(
            alive=Alive([("Content-Type", "text/plain")], b"alive"),
            body_limit=lambda _: BODY_BYTES,
            budget=self.budget,
            lane=self.lane,
            may_wait_s=lambda: 30.0,
        )
        worker.alive, worker.nr_conns = True, 1
        worker._place = place_of(1)
        worker.cfg = SimpleNamespace(keepalive=5)
        worker._waiting_for_pool, worker._receiving, worker._in_lane = {}, {}, {}
        worker.poller = selectors.DefaultSelector()
        worker.method_queue = _queue_of(worker)
        self.client, served = socket.socketpair()
        self.client.settimeout(PATIENCE_S)
        worker._await_request(Connection(served, "a", "b", self.budget, lambda: True))

    def serve_until(self, reply_count: int) -> None:
        """Serve until the client has got that many replies."""
        self.client.setblocking(False)
        received, until_s = b"", time.monotonic() + PATIENCE_S
        while received.count(b"HTTP/1.1 200") < reply_count:
            assert time.monotonic() < until_s
            self.worker.wait_for_and_dispatch_events(0.05)
            try:
                received += self.client.recv(1_000_000)
            except BlockingIOError:
                continue
        self.client.settimeout(PATIENCE_S)

    def close(self) -> None:
        self.client.close()
        for conn in [*self.worker._receiving]:
            conn.close()


def _queue_of(worker: FrontWorker) -> object:
    from gunicorn.workers.gthread import PollableMethodQueue

    queue = PollableMethodQueue()
    queue.init()
    worker.poller.register(queue.fileno(), selectors.EVENT_READ, queue.run_callbacks)
    return queue


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_many_requests_that_come_at_once_are_each_answered(loop: Loop) -> None:
    many = 1500
    loop.client.sendall((ALIVE + b"\r\n") * many)
    loop.serve_until(many)


def test_a_body_that_nobody_reads_leaves_its_room(loop: Loop) -> None:
    request = ALIVE + b"Content-Length: %d\r\n\r\n" % BODY_BYTES + bytes(BODY_BYTES)
    for _ in range(2 * ROOM_BYTES // BODY_BYTES):
        loop.client.sendall(request)
        loop.serve_until(1)
    loop.budget.take(ROOM_BYTES)
