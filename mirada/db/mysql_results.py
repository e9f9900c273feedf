"""Results of MySQL and MariaDB, read with half of PyMySQL's work.

PyMySQL parses the description of each column with every result, though a statement's columns stay the
same, and reads a value through four calls. Both are more than what is done with the values after.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pymysql.connections import TEXT_TYPES, MySQLResult
from pymysql.constants import FIELD_TYPE
from pymysql.converters import through
from pymysql.protocol import FieldDescriptorPacket

COLUMNS = 4_096
"""Columns whose descriptions are remembered: all statements of Mirada together have fewer."""
BINARY = 63
"""The character set of bytes that are no text."""
NULL, TWO_BYTES, THREE_BYTES = 251, 252, 253


@lru_cache(COLUMNS)
def _column(description: bytes, encoding: str) -> FieldDescriptorPacket:
    """Return the parsed description of a column, which nobody changes."""
    return FieldDescriptorPacket(description, encoding)


class QuickResult(MySQLResult):  # type: ignore[misc]
    """PyMySQL's result."""

    def _get_descriptions(self) -> None:
        """Read what the columns are, from remembered descriptions."""
        connection = self.connection
        self.fields, self.converters, description = [], [], []
        for _ in range(self.field_count):
            field = connection._read_packet(_column)
            self.fields.append(field)
            description.append(field.description())
            self.converters.append(_reading(field, connection))
        end = connection._read_packet()
        assert end.is_eof_packet(), "Protocol error, expecting EOF"
        self.description = tuple(description)

    def _read_row_from_packet(self, packet: Any) -> tuple[Any, ...]:
        """Return the values of a row: each a length (MySQL manual, "LengthEncodedInteger") and its bytes."""
        data, at = packet._data, 0
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
            value = data[at : at + size]
            at += size
            if encoding is not None:
                value = value.decode(encoding)
            row.append(value if convert is None else convert(value))
        return tuple(row)


def _reading(field: FieldDescriptorPacket, connection: Any) -> tuple[str | None, Any]:
    """Return how the values of a column are decoded and converted, as PyMySQL does it."""
    encoding: str | None = "ascii"
    if field.type_code in TEXT_TYPES and field.charsetnr == BINARY:
        encoding = None
    elif field.type_code in TEXT_TYPES or field.type_code == FIELD_TYPE.JSON:
        encoding = connection.encoding
    convert = connection.decoders.get(field.type_code)
    return encoding, None if convert is through else convert
