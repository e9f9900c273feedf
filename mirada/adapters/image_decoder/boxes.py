"""Reads the boxes of a HEIC or AVIF: which item is the picture, of what parts, with what properties.

ISO/IEC 14496-12 (boxes, items) and ISO/IEC 23008-12 (pictures). It runs in the decoder's child process.
Standard library only. Every count and length is checked against the bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_ITEMS = 2_000
MAX_PROPERTIES = 2_000
"""Bounds against hostile files. A telephone's picture of 48 parts has about 60 of each."""
MAX_ITEM_BYTES = 64 * 1024 * 1024
CONTAINERS_WITH_VERSION = 4
"""Bytes of version and flags at the head of a full box."""

Box = tuple[bytes, bytes]
"""(type, content)."""


class Malformed(Exception):
    """The boxes are cut off, or contradict each other."""


@dataclass
class Item:
    """One item: a coded picture, a grid of them, or metadata.

    Attributes:
        kind: its type, such as b"hvc1", b"grid" or b"Exif".
        content_type: of a b"mime" item.
        properties: its properties in the order in which they apply.
        places: (construction method, offset, length) of its bytes.
        parts: ids of the items that a grid is made of, in order.
        belongs_to: ids of the items that an auxiliary picture, or metadata, is for.
    """

    kind: bytes = b""
    content_type: bytes = b""
    properties: list[Box] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    belongs_to: list[int] = field(default_factory=list)

    def property(self, kind: bytes) -> bytes | None:
        """Return the content of the first property of this type."""
        return next((content for name, content in self.properties if name == kind), None)


@dataclass
class Picture:
    """The items of a file, and which of them is its picture."""

    data: bytes
    items: dict[int, Item]
    primary: int
    inner: bytes

    def bytes_of(self, item: Item) -> bytes:
        """Return the bytes of an item.

        Raises:
            Malformed: they lie outside the file, or are too many.
        """
        parts = []
        left = MAX_ITEM_BYTES
        for method, offset, length in item.places:
            source = {0: self.data, 1: self.inner}.get(method)
            if source is None or offset > len(source):
                raise Malformed
            end = offset + length if length else len(source)
            if end > len(source) or end - offset > left:
                raise Malformed
            parts.append(source[offset:end])
            left -= end - offset
        return b"".join(parts)


def read(data: bytes) -> Picture | None:
    """Return the items of a file; None where it holds no still picture.

    Raises:
        Malformed: it is cut off or broken.
    """
    meta = next((content for kind, content in _boxes(data) if kind == b"meta"), None)
    if meta is None:
        return None
    found = dict(reversed(list(_boxes(meta[CONTAINERS_WITH_VERSION:]))))
    if b"pitm" not in found or b"iinf" not in found:
        return None
    items = _items(found[b"iinf"])
    _take_places(items, found.get(b"iloc", b""))
    _take_references(items, found.get(b"iref", b""))
    _take_properties(items, found.get(b"iprp", b""))
    pitm = _Reader(found[b"pitm"])
    primary = pitm.number(2 if pitm.version() == 0 else 4)
    return Picture(data, items, primary, found.get(b"idat", b""))


def _boxes(data: bytes) -> Iterator[Box]:
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise Malformed
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            if at + 16 > len(data):
                raise Malformed
            length, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        elif length == 0:
            length = len(data) - at
        if length < head or at + length > len(data):
            raise Malformed
        # The pixels are not copied; items point at them.
        yield kind, b"" if kind == b"mdat" else data[at + head : at + length]
        at += length


class _Reader:
    """Numbers of a box, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, count: int) -> int:
        """Return the next `count` bytes as a number; raises Malformed at the end."""
        return int.from_bytes(self.take(count))

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes; raises Malformed at the end."""
        if self.at + count > len(self.data):
            raise Malformed
        self.at += count
        return self.data[self.at - count : self.at]

    def version(self) -> int:
        """Return the version of a full box, behind which its content begins."""
        self.flags = self.number(4)
        return self.flags >> 24


def _items(data: bytes) -> dict[int, Item]:
    reader = _Reader(data)
    count = reader.number(2 if reader.version() == 0 else 4)
    if count > MAX_ITEMS:
        raise Malformed
    items: dict[int, Item] = {}
    for kind, content in _boxes(reader.data[reader.at :]):
        entry = _Reader(content)
        version = entry.version()
        if kind != b"infe" or version < 2 or len(items) >= MAX_ITEMS:
            continue
        number = entry.number(2 if version == 2 else 4)
        entry.number(2)
        item = items.setdefault(number, Item(entry.take(4)))
        if item.kind == b"mime":
            item.content_type = (
                content[entry.at :].split(b"\0")[1:2][0] if b"\0" in content[entry.at :] else b""
            )
    return items


def _take_places(items: dict[int, Item], data: bytes) -> None:
    reader = _Reader(data)
    version = reader.version()
    sizes = reader.number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    wide = 4 if version == 2 else 2
    for _ in range(min(reader.number(wide), MAX_ITEMS)):
        number = reader.number(wide)
        method = reader.number(2) & 15 if version in (1, 2) else 0
        if reader.number(2):
            # The bytes are in another file.
            raise Malformed
        base = reader.number(base_size)
        places = []
        for _ in range(min(reader.number(2), MAX_ITEMS)):
            reader.number(index_size)
            offset = reader.number(offset_size)
            places.append((method, base + offset, reader.number(length_size)))
        if number in items:
            items[number].places = places


def _take_references(items: dict[int, Item], data: bytes) -> None:
    if not data:
        return
    wide = 2 if data[:1] == b"\0" else 4
    for kind, content in _boxes(data[CONTAINERS_WITH_VERSION:]):
        reader = _Reader(content)
        item = items.get(reader.number(wide))
        targets = [reader.number(wide) for _ in range(min(reader.number(2), MAX_ITEMS))]
        if item is None:
            continue
        if kind == b"dimg":
            item.parts = targets
        elif kind in (b"auxl", b"cdsc"):
            item.belongs_to = targets


def _take_properties(items: dict[int, Item], data: bytes) -> None:
    boxes = list(_boxes(data))
    known = [box for kind, content in boxes if kind == b"ipco" for box in _boxes(content)]
    if len(known) > MAX_PROPERTIES:
        raise Malformed
    for kind, content in boxes:
        if kind != b"ipma":
            continue
        reader = _Reader(content)
        wide = 2 if reader.version() == 0 else 4
        is_wide = reader.flags & 1
        for _ in range(min(reader.number(4), MAX_ITEMS)):
            item = items.get(reader.number(wide))
            for _ in range(reader.number(1)):
                index = reader.number(2) & 0x7FFF if is_wide else reader.number(1) & 0x7F
                if item is not None and 0 < index <= len(known):
                    item.properties.append(known[index - 1])
