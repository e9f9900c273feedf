"""New connections go to the process with fewest, and none is left lying because a process is busy."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from webapp.front import balance
from webapp.front.balance import Balance
from webapp.front.connection import Connection
from webapp.front.worker import FrontWorker

CLIENTS = 8


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture
def connect(listener: socket.socket) -> Iterator[Callable[[], None]]:
    clients: list[socket.socket] = []
    yield lambda: clients.append(socket.create_connection(listener.getsockname()))
    for client in clients:
        client.close()


class Taking(FrontWorker):
    """A worker that takes connections, and does nothing with them."""

    def __init__(self, balance: Balance, number: int) -> None:
        self.alive, self.nr_conns, self.worker_connections = True, 0, 1000
        self.front = SimpleNamespace(budget=None)
        self._place = balance.place(number)
        self._place.tell(0)

    def _await_request(self, conn: Connection) -> None:
        conn.raw.close()


def test_eight_clients_are_four_for_each_of_two(
    listener: socket.socket, connect: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Balance()
    first, second = (Taking(shared, number) for number in (1, 2))
    # While the first one gives way, the second one has its turn.
    monkeypatch.setattr(balance.time, "sleep", lambda _s: second.accept(listener))
    for _ in range(CLIENTS):
        connect()
        first.accept(listener)
    assert (first.nr_conns, second.nr_conns) == (CLIENTS // 2, CLIENTS // 2)


def test_a_connection_that_a_busy_process_does_not_take_is_taken_by_another(
    listener: socket.socket, connect: Callable[[], None]
) -> None:
    shared = Balance()
    first, _busy = (Taking(shared, number) for number in (1, 2))
    for count in range(1, CLIENTS + 1):
        connect()
        first.accept(listener)
        assert first.nr_conns == count


def test_who_has_left_is_not_waited_for() -> None:
    shared = Balance()
    mine, other = shared.place(1), shared.place(2)
    mine.tell(5)
    assert not mine.has_most()
    other.tell(0)
    assert mine.has_most()
    other.leave()
    assert not mine.has_most()


def test_processes_that_are_forked_see_each_other() -> None:
    shared = Balance()
    shared.place(1).tell(3)
    child = os.fork()
    if child == 0:
        shared.place(2).tell(1)
        os._exit(0)
    os.waitpid(child, 0)
    assert shared.place(1).has_most()
