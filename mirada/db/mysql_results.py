"""Results of MySQL and MariaDB, read with a third of PyMySQL's work.

PyMySQL parses the description of each column with every result, though a statement's columns stay the
same, reads each packet by a dozen calls, and a value through four. That is more than what is done with the
values after. Here what has arrived is read as one piece. The unusual is left to PyMySQL: a packet that is
not whole yet, one of 16 MB, an error, the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from pymysql.connections import MAX_PACKET_LEN, TEXT_TYPES, MySQLResult
from pymysql.constants import FIELD_TYPE
from pymysql.converters import through
from pymysql.protocol import FieldDescriptorPacket

COLUMNS = 4_096
"""Columns whose descriptions are remembered: all statements of Mirada together have fewer."""
HEADERS = 1_024
"""Statements whose descriptions are remembered as a whole; then they are forgotten, and learned again."""
KEY_BYTES = 160
"""Bytes of a description by which it is looked for: the first two columns or more."""
BINARY = 63
"""The character set of bytes that are no text."""
NULL, TWO_BYTES, THREE_BYTES = 251, 252, 253
FIRST_OF_OTHERS = 254
"""The first byte of packets that are no row, and of rows that begin with a value of 16 MB."""


class _Header(NamedTuple):
    """The description of a result's columns.

    Attributes:
        raw: its packets, as they were sent.
        fields, description, converters: as PyMySQL's result has them.
    """

    raw: bytes
    fields: list[FieldDescriptorPacket]
    description: tuple[Any, ...]
    converters: list[tuple[str | None, Any]]


_headers: dict[tuple[int, str, bytes], _Header] = {}


@lru_cache(COLUMNS)
def _column(description: bytes, encoding: str) -> FieldDescriptorPacket:
    """Return the parsed description of a column, which nobody changes."""
    return FieldDescriptorPacket(description, encoding)


class QuickResult(MySQLResult):  # type: ignore[misc]
    """PyMySQL's result."""

    connection: Any

    def _get_descriptions(self) -> None:
        """Read what the columns are, from remembered descriptions."""
        connection = self.connection
        arrived = connection.arrived()
        key = (self.field_count, connection.encoding, arrived[:KEY_BYTES])
        known = _headers.get(key)
        if known is None or not arrived.startswith(known.raw):
            known = self._described(_whole_packets(arrived, self.field_count))
            if known.raw:
                if len(_headers) >= HEADERS:
                    _headers.clear()
                _headers[key] = known
        else:
            connection.take(len(known.raw), self.field_count)
        self.fields, self.description = known.fields, known.description
        self.converters = known.converters
        end = connection._read_packet()
        assert end.is_eof_packet(), "Protocol error, expecting EOF"

    def _described(self, raw: bytes) -> _Header:
        """Return the columns' descriptions, packet by packet.

        Args:
            raw: the same, as one piece; empty where not all of it has arrived.
        """
        connection = self.connection
        fields = [connection._read_packet(_column) for _ in range(self.field_count)]
        description = tuple(field.description() for field in fields)
        return _Header(raw, fields, description, [_reading(field, connection) for field in fields])

    def _read_rowdata_packet(self) -> None:
        """Read all rows."""
        connection = self.connection
        rows: list[tuple[Any, ...]] = []
        while True:
            arrived, at, count = connection.arrived(), 0, 0
            for start, end in _rows_in(arrived, connection._next_seq_id):
                rows.append(self._row(arrived, start))
                at, count = end, count + 1
            connection.take(at, count)
            packet = connection._read_packet()
            if self._check_packet_is_eof(packet):
                # As PyMySQL does it, so that neither keeps the other.
                self.connection = None
                break
            rows.append(self._row(packet._data, 0))
        self.affected_rows = len(rows)
        self.rows = tuple(rows)

    def _read_row_from_packet(self, packet: Any) -> tuple[Any, ...]:
        """Return the values of a row."""
        return self._row(packet._data, 0)

    def _row(self, data: bytes, at: int) -> tuple[Any, ...]:
        """Return the values of a row: each a length (MySQL manual, "LengthEncodedInteger") and its bytes.

        Args:
            data: what the row is in.
            at: where it begins.
        """
        row: list[Any] = []
        for encoding, convert in self.converters:
            size = data[at]
            at += 1
            if size >= NULL:
                if size == NULL:
                    row.append(None)
                    continue
                width = 2 if size == TWO_BYTES else 3 if size == THREE_BYTES else 8
                size = int.from_bytes(data[at : at + width], "little")
                at += width
            value: Any = data[at : at + size]
            at += size
            if encoding is not None:
                value = value.decode(encoding)
            row.append(value if convert is None else convert(value))
        return tuple(row)


def _rows_in(data: bytes, sequence: int) -> Iterator[tuple[int, int]]:
    """Yield where each row that is whole begins and ends, up to the first packet that is no plain row."""
    at = 0
    while at + 5 <= len(data):
        size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        end = at + 4 + size
        is_plain = 0 < size < MAX_PACKET_LEN and data[at + 4] < FIRST_OF_OTHERS
        if end > len(data) or not is_plain or data[at + 3] != sequence:
            return
        yield at + 4, end
        at, sequence = end, (sequence + 1) % 256


def _whole_packets(data: bytes, count: int) -> bytes:
    """Return the first so many packets as they are; nothing where not all of them are there."""
    at = 0
    for _ in range(count):
        if at + 4 > len(data):
            return b""
        at += 4 + (data[at] | data[at + 1] << 8 | data[at + 2] << 16)
    return data[:at] if at <= len(data) else b""


def _reading(field: FieldDescriptorPacket, connection: Any) -> tuple[str | None, Any]:
    """Return how the values of a column are decoded and converted, as PyMySQL does it."""
    encoding: str | None = "ascii"
    if field.type_code in TEXT_TYPES and field.charsetnr == BINARY:
        encoding = None
    elif field.type_code in TEXT_TYPES or field.type_code == FIELD_TYPE.JSON:
        encoding = connection.encoding
    convert = connection.decoders.get(field.type_code)
    return encoding, None if convert is through else convert
