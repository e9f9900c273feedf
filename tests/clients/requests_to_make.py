"""Values that a schema cannot tell: pictures where it says binary, times to come where it says date-time.

Where only valid requests are wanted, also which parameters of an address go together: OpenAPI has no
words for that. A cursor is what an earlier reply gave, so nobody can make one up.

The tool of the drill imports this module by the variable SCHEMATHESIS_HOOKS.
"""

from __future__ import annotations

import os
import struct
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st

SIDE_PX = 32
QUESTIONS = ("text", "image_id", "picture")


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


def _without_cursor(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of an address, or the fields of a JSON search, without a made-up cursor."""
    return {name: value for name, value in values.items() if name != "cursor"}


def _one_question(query: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a search that has an address, with exactly one question."""
    given = [name for name in QUESTIONS if name in query]
    kept = {name: value for name, value in query.items() if name not in given[1:]}
    if not given:
        kept["text"] = "a cat"
    if "text" not in kept:
        kept.pop("syntax", None)
    return kept


if os.environ.get("MIRADA_VALID_REQUESTS"):

    @schemathesis.hook
    def map_query(context: schemathesis.HookContext, query: dict[str, Any] | None) -> Any:
        """Let an address have no made-up cursor, and a search one question."""
        if not query:
            query = {}
        kept = _without_cursor(query)
        if context.operation.path == "/api/v1/search" and context.operation.method == "get":
            kept = _one_question(kept)
        return kept or None

    @schemathesis.hook
    def map_body(context: schemathesis.HookContext, body: Any) -> Any:
        """Let a JSON search have no made-up cursor."""
        is_search = context.operation.path == "/api/v1/search"
        return _without_cursor(body) if is_search and isinstance(body, dict) else body
