"""Results of MySQL are read as PyMySQL reads them, in whatever pieces they arrive."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from pymysql.connections import MySQLResult
from pymysql.constants import FIELD_TYPE
from pymysql.err import OperationalError

from mirada.db import mysql_results
from mirada.db.bounded_mysql import BoundedConnection
from mirada.db.mysql_results import QuickResult

UTF8 = 45
Value = bytes | None


def packet(payload: bytes, sequence: int) -> bytes:
    """Return a packet of the protocol."""
    return struct.pack("<I", len(payload))[:3] + bytes([sequence % 256]) + payload


def text(value: bytes) -> bytes:
    """Return a length-encoded string."""
    if len(value) < 251:
        return bytes([len(value)]) + value
    if len(value) < 1 << 16:
        return b"\xfc" + struct.pack("<H", len(value)) + value
    return b"\xfd" + struct.pack("<I", len(value))[:3] + value


def column(name: str, kind: int, charset: int) -> bytes:
    """Return the description of a column."""
    fixed = b"\x0c" + struct.pack("<HIBHBxx", charset, 255, kind, 0, 0)
    return b"".join(map(text, (b"def", b"db", b"t", b"t", name.encode(), name.encode()))) + fixed


def reply(columns: Sequence[bytes], rows: Sequence[Sequence[Value]]) -> bytes:
    """Return a whole result."""
    end = b"\xfe\x00\x00\x02\x00"
    payloads = [bytes([len(columns)]), *columns, end]
    payloads += [b"".join(b"\xfb" if one is None else text(one) for one in row) for row in rows]
    payloads.append(end)
    return b"".join(packet(payload, 1 + place) for place, payload in enumerate(payloads))


class Pieces(io.RawIOBase):
    """Bytes that arrive in pieces of random sizes."""

    def __init__(self, data: bytes, seed: int) -> None:
        self._data, self._random = data, random.Random(seed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._random.choice([1, 3, 40, 300, 8_000]), len(self._data))
        buffer[:size], self._data = self._data[:size], self._data[size:]
        return size


def connection(data: bytes, seed: int) -> BoundedConnection:
    """Return a connection whose server has sent a query's result."""
    found = BoundedConnection(defer_connect=True)
    found._rfile = io.BufferedReader(Pieces(data, seed), 8_192)
    found._next_seq_id, found._current_timeout, found._read_timeout = 1, None, None
    found._force_close = lambda: None
    return found


def read(kind: type[MySQLResult], data: bytes, seed: int) -> tuple[Any, ...]:
    """Return what a reader makes of a result."""
    result = kind(connection(data, seed))
    result.read()
    return result.rows, result.description, result.affected_rows, result.warning_count


COLUMNS = [
    column("id", FIELD_TYPE.LONGLONG, 63),
    column("name", FIELD_TYPE.VAR_STRING, UTF8),
    column("vector", FIELD_TYPE.BLOB, 63),
    column("made", FIELD_TYPE.DATETIME, 63),
    column("score", FIELD_TYPE.DOUBLE, 63),
]


def some_rows(count: int, seed: int) -> list[list[Value]]:
    """Return rows of those columns, with nulls, and with values of every length form."""
    some = random.Random(seed)
    return [
        [
            str(some.randrange(1 << 60)).encode(),
            some.choice(
                [None, b"", "gato 🐈 na lua".encode(), b"x" * some.choice([250, 251, 400, 70_000])]
            ),
            some.choice([None, some.randbytes(some.choice([1, 255, 2_048]))]),
            some.choice([None, b"2026-11-30 12:00:00.123456"]),
            some.choice([None, b"0.25", b"-1e300"]),
        ]
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_a_result_is_read_as_pymysql_reads_it(seed: int) -> None:
    count = [0, 1, 2, 40, 300][seed % 5]
    data = reply(COLUMNS[: 1 + seed % 5], [row[: 1 + seed % 5] for row in some_rows(count, seed)])
    expected = read(MySQLResult, data, seed)
    # The second time the columns are remembered.
    assert read(QuickResult, data, seed) == expected
    assert read(QuickResult, data, seed + 1) == expected


def test_statements_whose_first_columns_are_alike_keep_their_own() -> None:
    first = [column("id", FIELD_TYPE.LONGLONG, 63)] * 6
    one = reply([*first, column("a", FIELD_TYPE.LONG, 63)], [[b"1"] * 7])
    two = reply([*first, column("b", FIELD_TYPE.VAR_STRING, UTF8)], [[b"1"] * 7])
    for data in (one, two, one, two):
        assert read(QuickResult, data, 4) == read(MySQLResult, data, 4)


def test_an_error_in_the_middle_of_rows_is_raised() -> None:
    whole = reply(COLUMNS[:1], [[b"1"], [b"2"]])
    error = b"\xff" + struct.pack("<H", 1969) + b"#70100Query execution was interrupted"
    # In the place of the second row: two packets before it, a description and its end, and one row.
    data = whole[: -len(packet(b"\x012", 0)) - len(packet(b"\xfe\x00\x00\x02\x00", 0))]
    with pytest.raises(OperationalError, match="interrupted"):
        read(QuickResult, data + packet(error, 5), 2)


def test_a_connection_that_ends_in_the_middle_is_lost() -> None:
    data = reply(COLUMNS, some_rows(20, 1))
    for size in (len(data) // 3, len(data) - 3, len(data) - 9):
        with pytest.raises(OperationalError, match="Lost connection"):
            read(QuickResult, data[:size], 3)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_results, "HEADERS", 8)
    for number in range(40):
        data = reply([column(f"c{number}", FIELD_TYPE.LONG, 63)], [[b"1"]])
        assert read(QuickResult, data, 5)[0] == ((1,),)
    assert len(mysql_results._headers) <= 8
