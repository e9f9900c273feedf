"""Long results, packed by the server: one value a group of rows instead of one row each.

A driver in Python takes 20 us for each row; numpy takes 0.1 us for a row of a packed value. MySQL and
MariaDB pack with GROUP_CONCAT, PostgreSQL with string_agg. Each row becomes a record of one length: its
numbers as eight bytes each, then its blob. A record is whole in itself, so the order in a group does not
matter, and the length of a group says whether rows were lost. Where a server does not pack, or a group
is cut short, the same query is read row by row.

SQLite packs all rows into one value, in hexadecimal digits: it concatenates text alone. Its driver gives
the interpreter's lock away and takes it back for each row. One by one, 1,600 rows took 7 ms, but 50 ms
beside a thread that computed, which was slowed to half.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    Select,
    case,
    func,
    literal_column,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean

logger = logging.getLogger(__name__)

NUMBER = np.dtype(">i8")
GROUP_BYTES = 384 << 10
"""A group's usual length at most: 128 vectors of 512 numbers. Larger ones are no faster."""
CONCAT_BYTES = 16 << 20
"""The longest group that a server is asked to permit: many images may show one picture."""
_LIMIT = "mirada_packed_bytes"
SAID_SLOW = (
    "The database server does not pack long results (%s), so they are read row by row, which takes ten "
    "times as long: permit SET SESSION group_concat_max_len, and max_allowed_packet of 1M or more."
)
_ASK_FOR_MORE = f"SET SESSION group_concat_max_len = {CONCAT_BYTES}"
_PERMITTED = "SELECT @@SESSION.group_concat_max_len, @@SESSION.max_allowed_packet"
_said: set[str] = set()
"""Reasons that this process has logged."""

Numbers = npt.NDArray[np.int64]
"""(n, c) int64: one row for each row of a query, ascending by the first column."""


class Records(NamedTuple):
    """The rows of a query.

    Attributes:
        numbers: (n, c) int64, ascending by the first column.
        blobs: (n,) of dtype V<size>: the last column; zeros where its length was another.
    """

    numbers: Numbers
    blobs: npt.NDArray[np.void]


class _Record(FunctionElement[bytes]):
    """One row as bytes: each number as eight bytes, big-endian; then the blob."""

    type = LargeBinary()
    inherit_cache = True
    name = "record"


class _Together(FunctionElement[bytes]):
    """The records of a group in one piece, in no certain order."""

    type = LargeBinary()
    inherit_cache = True
    name = "together"


@compiles(_Record, "mysql", "mariadb")
def _record_mysql(element: _Record, compiler: SQLCompiler, **kw: Any) -> str:
    parts = [
        compiler.process(part, **kw)
        if isinstance(part.type, LargeBinary)
        else f"UNHEX(LPAD(HEX({compiler.process(part, **kw)}), 16, '0'))"
        for part in element.clauses
    ]
    return f"CONCAT({', '.join(parts)})"


@compiles(_Record, "postgresql")
def _record_postgresql(element: _Record, compiler: SQLCompiler, **kw: Any) -> str:
    return " || ".join(
        compiler.process(part, **kw)
        if isinstance(part.type, LargeBinary)
        else f"int8send(CAST({compiler.process(part, **kw)} AS BIGINT))"
        for part in element.clauses
    )


@compiles(_Together, "mysql", "mariadb")
def _together_mysql(element: _Together, compiler: SQLCompiler, **kw: Any) -> str:
    return f"GROUP_CONCAT({compiler.process(element.clauses, **kw)} SEPARATOR '')"


@compiles(_Record, "sqlite")
def _record_sqlite(element: _Record, compiler: SQLCompiler, **kw: Any) -> str:
    parts = [(compiler.process(part, **kw), part.type) for part in element.clauses]
    # printf would make 0 of a NULL; a record with a NULL is NULL, and the group too short.
    return " || ".join(
        f"hex({sql})"
        if isinstance(type_, LargeBinary)
        else f"CASE WHEN {sql} IS NOT NULL THEN printf('%016X', {sql}) END"
        for sql, type_ in parts
    )


@compiles(_Together, "sqlite")
def _together_sqlite(element: _Together, compiler: SQLCompiler, **kw: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **kw)}, '')"


@compiles(_Together, "postgresql")
def _together_postgresql(element: _Together, compiler: SQLCompiler, **kw: Any) -> str:
    return f"string_agg({compiler.process(element.clauses, **kw)}, ''::bytea)"


def numbers(session: Session, query: Select[Any]) -> Numbers:
    """Return all rows of a query for whole numbers and truth values, as (n, c) int64.

    Args:
        session: for reading.
        query: its first column is >= 0 and mostly different in each row, such as an id; rows come in
            its ascending order. Nothing of it is NULL; a row with a NULL raises TypeError.
    """
    return _read(session, query, 0).numbers


def records(session: Session, query: Select[Any], blob_bytes: int) -> Records:
    """Return all rows of a query whose last column is a blob of `blob_bytes` bytes.

    A blob of another length comes as zeros; read its length as one of the numbers. Otherwise as
    `numbers`.
    """
    return _read(session, query, blob_bytes)


def row_by_row(session: Session, query: Select[Any], blob_bytes: int = 0) -> Records:
    """Return the rows of a query as `records` does, but in no certain order, and packed by SQLite alone.

    A query with LIMIT is better read so: packed, MySQL would copy its blobs to a table on disk.
    """
    record = _record(query, blob_bytes)
    groups = _groups(session, query, record, None) if _is_sqlite(session) else None
    return _one_by_one(session, query, blob_bytes) if groups is None else _unpacked(groups, record)


def _one_by_one(session: Session, query: Select[Any], blob_bytes: int) -> Records:
    # By the connection: the session would look at each row for what it maps, which takes as long again.
    rows = session.connection().execute(query).all()
    count = len(query.selected_columns) - (blob_bytes > 0)
    flat = chain.from_iterable((row[:count] for row in rows) if blob_bytes else rows)
    numbers = np.fromiter(flat, np.int64, len(rows) * count).reshape(len(rows), count)
    if not blob_bytes:
        return Records(numbers, np.zeros(len(rows), "V0"))
    nothing = bytes(blob_bytes)
    joined = b"".join(row[-1] if len(row[-1]) == blob_bytes else nothing for row in rows)
    return Records(numbers, np.frombuffer(bytearray(joined), f"V{blob_bytes}"))


def _read(session: Session, query: Select[Any], blob_bytes: int) -> Records:
    record = _record(query, blob_bytes)
    found = _in_groups(session, query, record)
    if found is None:
        found = row_by_row(session, query, blob_bytes)
    first = found.numbers[:, 0]
    if (first[1:] < first[:-1]).any():
        order = np.argsort(first, kind="stable")
        found = Records(found.numbers[order], found.blobs[order])
    return found


def _in_groups(session: Session, query: Select[Any], record: np.dtype[Any]) -> Records | None:
    """Return the rows as a server packs them; None where it does not."""
    limit = _limit(session)
    if limit < record.itemsize:
        if limit:
            _say_slow(f"a group has {limit} bytes at most")
        return None
    groups = _groups(session, query, record, min(limit, GROUP_BYTES))
    if groups is None:
        _say_slow("a group was cut short")
        return None
    return _unpacked(groups, record)


def _record(query: Select[Any], blob_bytes: int) -> np.dtype[Any]:
    count = len(query.selected_columns) - (blob_bytes > 0)
    return np.dtype([("numbers", NUMBER, (count,)), ("blob", f"V{blob_bytes}")])


def _unpacked(groups: list[bytes], record: np.dtype[Any]) -> Records:
    # Copied out of the records, so the blobs are in one piece and may be written to.
    whole = np.frombuffer(b"".join(groups), record)
    return Records(whole["numbers"].astype(np.int64), np.array(whole["blob"]))


def _groups(
    session: Session, query: Select[Any], record: np.dtype[Any], group_bytes: int | None
) -> list[bytes] | None:
    """Return the records in groups; None where the server cut one short, or a number is NULL.

    Args:
        session: for reading.
        query: see `records`.
        record: what one row becomes.
        group_bytes: a group's usual length at most; None for one group of everything.
    """
    rows = query.subquery("listed")
    columns = list(rows.c)
    size = record["blob"].itemsize
    blobs = [columns.pop()] if size else []
    fields: list[ColumnElement[Any]] = [_as_number(column) for column in columns]
    # By dictionaries: of a tuple SQLAlchemy makes a text first, which takes it a millisecond.
    fields += [case({func.length(blob) == size: blob}, else_=bytes(size)) for blob in blobs]
    packed = select(func.count(), _Together(_Record(*fields)))
    if group_bytes is not None:
        # Ids that share all but their last bits make a group; a power of two is one shift.
        shift = (group_bytes // record.itemsize).bit_length() - 1
        packed = packed.group_by(columns[0].bitwise_rshift(literal_column(str(shift), Integer)))
    found = [
        (count, bytes.fromhex(blob) if isinstance(blob, str) else blob or b"")
        for count, blob in session.execute(packed)
    ]
    if any(len(blob) != count * record.itemsize for count, blob in found):
        return None
    return [blob for _, blob in found]


def _as_number(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return case({column: 1}, else_=0) if isinstance(column.type, Boolean) else column


def _is_sqlite(session: Session) -> bool:
    return session.connection().dialect.name == "sqlite"


def _limit(session: Session) -> int:
    """Return how long a group may be on this connection; 0 where the server does not pack."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        return CONCAT_BYTES
    if connection.dialect.name not in ("mysql", "mariadb"):
        return 0
    if _LIMIT not in connection.info:
        connection.info[_LIMIT] = _asked(connection)
    return int(connection.info[_LIMIT])


def _asked(connection: Connection) -> int:
    """Ask the server for long groups, and return what it permits from now on."""
    for statement in (_ASK_FOR_MORE, _PERMITTED):
        try:
            result = connection.exec_driver_sql(statement)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            # What was permitted before may be enough.
            reason = str(error.orig)
        else:
            if result.returns_rows:
                return min(int(value) for value in result.one())
    _say_slow(reason)
    return 0


def _say_slow(reason: str) -> None:
    if reason not in _said:
        _said.add(reason)
        logger.warning(SAID_SLOW, reason)
