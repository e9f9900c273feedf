"""Which connections are given up first where there are too many."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from webapp.front.bodies import Budget
from webapp.front.connection import Connection
from webapp.front.receiving import Receiving


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Connection]]:
    client, raw = socket.socketpair()
    budget = Budget()
    connection = Connection(raw, ("127.0.0.1", 1), ("127.0.0.1", 2), budget, lambda: True)
    connection.receiving = Receiving(lambda _: 1000, budget, 0.0, 10.0)
    yield client, connection
    connection.close()
    client.close()


def test_a_connection_whose_request_waits_to_be_read_is_not_silent(
    pair: tuple[socket.socket, Connection],
) -> None:
    client, connection = pair
    assert connection.is_silent
    client.sendall(b"GET / HTTP/1.1\r\n")
    assert connection.is_idle
    assert not connection.is_silent


def test_a_connection_whose_client_left_is_silent(pair: tuple[socket.socket, Connection]) -> None:
    client, connection = pair
    client.close()
    assert connection.is_silent
