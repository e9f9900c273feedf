"""Reads the free photographs that the photo tower is fitted on; training/photographs.txt lists them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

LIST = Path(__file__).with_name("photographs.txt")
FOLDER = Path(__file__).with_name("photographs")
LARGEST_PX = 800
"""Pictures are kept at most this long; crops are taken from them."""


@dataclass(frozen=True)
class Listed:
    """One line of the list.

    Attributes:
        package: the Debian or Python package that holds the picture.
        file: where it lies in the package.
        by: whom it is by.
        licence: "CC0-1.0", "public domain", or one of Creative Commons' attribution licences.
        is_photo: False for a drawn picture.
    """

    package: str
    file: str
    by: str
    licence: str
    is_photo: bool


def rows_of(path: Path) -> list[list[str]]:
    """Return the lines of a table of this folder, cut at " | "; comments are left out."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split(" | ") for line in lines if line and not line.startswith("#")]


def listed() -> list[Listed]:
    """Return the pictures of the list, in its order."""
    return [Listed(*row[:4], is_photo=row[4] == "photo") for row in rows_of(LIST)]


def resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of every file in a Qt resource file (.rcc).

    Raises:
        ValueError: it is no such file.
    """
    data = path.read_bytes()
    if data[:4] != b"qres":
        raise ValueError(f"{path} is no Qt resource file")
    version, tree, contents, names = struct.unpack(">IIII", data[4:20])
    entry = 22 if version >= 2 else 14  # later versions store when a file was changed

    def walk(row: int, folder: str) -> Iterator[tuple[str, bytes]]:
        at = tree + row * entry
        name, flags = struct.unpack(">IH", data[at : at + 6])
        if row:
            length = int.from_bytes(data[names + name : names + name + 2], "big")
            start = names + name + 6
            folder = f"{folder}/{data[start : start + 2 * length].decode('utf-16-be')}"
        if flags & 2:
            count, first = struct.unpack(">II", data[at + 6 : at + 14])
            for child in range(first, first + count):
                yield from walk(child, folder)
            return
        start = contents + int.from_bytes(data[at + 10 : at + 14], "big")
        length = int.from_bytes(data[start : start + 4], "big")
        content = data[start + 4 : start + 4 + length]
        yield folder, zlib.decompress(content[4:]) if flags & 1 else content

    return walk(0, "")


def load(folder: Path = FOLDER) -> list[tuple[Listed, Image.Image]]:
    """Return every listed picture as RGB on white, at most LARGEST_PX long.

    Raises:
        FileNotFoundError: one is missing; training/fetch_photographs.sh brings them.
    """
    wanted = listed()
    packed = {entry.file for entry in wanted if entry.package == "gcompris-qt-data"}
    contents: dict[str, bytes] = {}
    for file in sorted((folder / "gcompris-qt-data").rglob("*.rcc")):
        for path, content in resources(file):
            name = path.removeprefix("/gcompris/")
            if name in packed:
                contents[name] = content
    found = []
    for entry in wanted:
        if entry.file not in contents:
            contents[entry.file] = (folder / entry.package / entry.file).read_bytes()
        picture = Image.open(io.BytesIO(contents[entry.file])).convert("RGBA")
        canvas = Image.new("RGBA", picture.size, "white")
        canvas.alpha_composite(picture)
        canvas.thumbnail((LARGEST_PX, LARGEST_PX), Image.Resampling.LANCZOS)
        found.append((entry, canvas.convert("RGB")))
    return found
