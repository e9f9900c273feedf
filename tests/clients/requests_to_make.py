"""Values that a schema cannot tell: pictures where it says binary, times to come where it says date-time.

The tool of the drill imports this module by the variable SCHEMATHESIS_HOOKS.
"""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime, timedelta

import schemathesis
from hypothesis import strategies as st

SIDE_PX = 32


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def _png(seed: int) -> bytes:
    rows = (
        b"\0"
        + bytes((x * seed + y * (3 + colour)) % 256 for x in range(SIDE_PX) for colour in range(3))
        for y in range(SIDE_PX)
    )
    header = struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + _chunk(b"IEND", b"")
    )


def _in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


schemathesis.openapi.format("binary", st.integers(1, 40).map(_png))
schemathesis.openapi.format("date-time", st.integers(1, 3_000).map(_in_days))
