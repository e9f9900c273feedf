"""The notes in a WebP of WhatsApp's makers of stickers: the pack's name and the sticker's emojis.

It is JSON within the EXIF chunk. What cannot be read counts as absent. Standard library only.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MOST_CHUNKS = 4_000
"""Chunks that are passed on the way: an animation has one for each frame, and EXIF comes after them."""
MOST_EXIF_BYTES = 64 * 1024
NAME, PUBLISHER, EMOJIS = "sticker-pack-name", "sticker-pack-publisher", "emojis"


@dataclass(frozen=True, slots=True)
class StickerNote:
    """The notes of one sticker.

    Attributes:
        pack_name: of its pack, as it is written; None for none.
        publisher: who made the pack; None for nobody.
        emojis: a JSON value, which ought to be a list of texts.
    """

    pack_name: str | None = None
    publisher: str | None = None
    emojis: Any = ()


NOTHING = StickerNote()


def sticker_note(path: Path) -> StickerNote:
    """Return what a WebP file says of itself as a sticker; NOTHING where it says nothing."""
    try:
        with path.open("rb") as file:
            block = _exif_block(file)
        begin, end = block.find(b"{"), block.rfind(b"}")
        said = json.loads(block[begin : end + 1]) if 0 <= begin < end else None
    except (OSError, ValueError, struct.error, RecursionError):
        return NOTHING
    if not isinstance(said, dict):
        return NOTHING
    return StickerNote(_text(said.get(NAME)), _text(said.get(PUBLISHER)), said.get(EMOJIS, ()))


def _exif_block(file: IO[bytes]) -> bytes:
    """Return the bytes of the EXIF chunk of a WebP; b"" where there is none."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WEBP":
        return b""
    for _ in range(MOST_CHUNKS):
        name = file.read(8)
        if len(name) < 8:
            break
        size = struct.unpack("<L", name[4:])[0]
        if name[:4] == b"EXIF":
            return file.read(size) if size <= MOST_EXIF_BYTES else b""
        # Chunks have an even length.
        file.seek(size + size % 2, 1)
    return b""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
