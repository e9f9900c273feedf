"""HEIC files built for the tests from small coded parts: grids, turning, alpha, and nonsense."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mirada.adapters.image_decoder import boxes

FILES = Path(__file__).parent.parent / "tests" / "adapters" / "picture_files"
PART_PX = 64
"""Side of each of the coded parts."""
ALPHA = b"\0\0\0\0urn:mpeg:hevc:2015:auxid:1\0"


@dataclass
class Entry:
    """One item of a file to be built: its type, bytes, properties, and references (type, items)."""

    kind: bytes
    data: bytes = b""
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    references: list[tuple[bytes, list[int]]] = field(default_factory=list)


def box(kind: bytes, *content: bytes) -> bytes:
    """Return a box."""
    inside = b"".join(content)
    return struct.pack(">I4s", 8 + len(inside), kind) + inside


def extent(width: int, height: int) -> tuple[bytes, bytes]:
    """Return the property that tells a size."""
    return b"ispe", struct.pack(">III", 0, width, height)


def coded(name: str) -> Entry:
    """Return the coded picture of a file of FILES as an item, with its decoder's settings and its size."""
    found = boxes.read((FILES / name).read_bytes())
    assert found is not None
    item = found.items[found.primary]
    kept = [(k, c) for k, c in item.properties if k in (b"hvcC", b"ispe")]
    return Entry(b"hvc1", found.bytes_of(item), kept)


def parts() -> list[Entry]:
    """Return four coded parts: red, green, blue and yellow, each with a white bar near its corner."""
    return [coded(f"heic_part_{number}.heic") for number in range(4)]


def grid(
    rows: int, columns: int, size: tuple[int, int], *properties: tuple[bytes, bytes]
) -> list[Entry]:
    """Return a grid of the parts, itself the first item."""
    tiles = parts()[: rows * columns]
    data = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size)
    ids = list(range(2, 2 + len(tiles)))
    return [Entry(b"grid", data, [extent(*size), *properties], [(b"dimg", ids)]), *tiles]


def built(entries: Sequence[Entry], *, brand: bytes = b"heic", primary: int = 1) -> bytes:
    """Return a HEIC of these items, whose ids count from 1."""
    known: list[bytes] = []
    links = b""
    for number, entry in enumerate(entries, 1):
        links += struct.pack(">HB", number, len(entry.properties))
        for kind, content in entry.properties:
            known.append(box(kind, content))
            links += bytes([len(known)])
    ipma = box(b"ipma", struct.pack(">II", 0, len(entries)), links)
    infes = [
        box(b"infe", struct.pack(">IHH4sB", 0x02000000, number, 0, entry.kind, 0))
        for number, entry in enumerate(entries, 1)
    ]
    irefs = [
        box(kind, struct.pack(f">HH{len(ids)}H", number, len(ids), *ids))
        for number, entry in enumerate(entries, 1)
        for kind, ids in entry.references
    ]

    def meta(offset: int) -> bytes:
        places = b""
        for number, entry in enumerate(entries, 1):
            places += struct.pack(">HHHII", number, 0, 1, offset, len(entry.data))
            offset += len(entry.data)
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", struct.pack(">II4s12xB", 0, 0, b"pict", 0)),
            box(b"pitm", struct.pack(">IH", 0, primary)),
            box(b"iloc", struct.pack(">IHH", 0, 0x4400, len(entries)), places),
            box(b"iinf", struct.pack(">IH", 0, len(entries)), *infes),
            box(b"iref", bytes(4), *irefs),
            box(b"iprp", box(b"ipco", *known), ipma),
        )

    head = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    mdat = box(b"mdat", *(entry.data for entry in entries))
    return head + meta(len(head) + len(meta(0)) + 8) + mdat
