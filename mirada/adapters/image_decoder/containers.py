"""Checks a picture file's format and completeness before any pixel is decoded.

It runs in the decoder's child process. Standard library only.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
"""The last chunk: it says nothing but that the file ends (PNG 3rd edition, 11.2.4)."""
READ_BYTES = 1024 * 1024
"""Bytes read at once, so that memory does not grow with the file."""
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
"""Types of text chunks: PNG 3rd edition, 11.3.3."""
MAX_CHUNK_BYTES = 4 * 1024 * 1024
"""Bytes of one text chunk that are kept; a bound against hostile files, chosen here."""
MAX_CHUNKS = 256
"""Text chunks of one picture that are kept; a bound against hostile files, chosen here."""
MAX_CHUNKS_BYTES = 16 * 1024 * 1024
"""Bytes of all text chunks of one picture that are kept."""
PICTURE_CHUNKS = frozenset({b"tRNS", b"acTL", b"fcTL", b"fdAT"})
"""Optional chunks that change the picture: transparency and animation."""
MARKS = frozenset({b"IHDR", b"tRNS", b"acTL", b"cICP", b"sRGB", b"gAMA", b"cHRM"})
"""Chunks of at most MARK_BYTES bytes that say what the numbers of the pixels mean."""
MARK_BYTES = 64
CONTROL_LABEL = 0xF9
"""The label of the extension that comes before each frame: GIF89a specification, 23."""

Chunk = tuple[bytes, bytes]
"""(type, data) of a PNG's text chunk."""


@dataclass
class Structure:
    """The parts of a file that matter beside its first pixels.

    Attributes:
        texts: the text chunks of a PNG, without those with a wrong checksum.
        marks: a PNG's MARKS by type; of two with one type the first.
    """

    texts: list[Chunk] = field(default_factory=list)
    marks: dict[bytes, bytes] = field(default_factory=dict)


class Incomplete(Exception):
    """The file ends too early, or its structure is broken."""


def is_side_chunk(kind: bytes) -> bool:
    """Return whether a PNG looks the same without a chunk of this type (PNG 3rd edition, 5.4)."""
    return kind[:1].islower() and kind not in PICTURE_CHUNKS


def require_complete(file: BinaryIO, name: str, byte_size: int) -> Structure:
    """Read a PNG, GIF or WebP to its end. Of other formats decoding shows the end.

    Pillow stops after the first frame's pixels, so it does not notice a missing end. A missing end
    mark is no damage, because browsers and Pillow show such pictures.

    Raises:
        Incomplete: the file ends too early, or a part of the picture has a wrong checksum.
    """
    file.seek(0)
    if name == "PNG":
        return _walk_png(file)
    if name == "GIF":
        _walk_gif(file)
    elif name == "WEBP":
        size = struct.unpack("<4xI", _read(file, 8))[0]
        if byte_size < 8 + size:
            raise Incomplete
    return Structure()


def _walk_png(file: BinaryIO) -> Structure:
    # PNG 3rd edition, 5.3: a chunk is length, type, data, and CRC-32 of type and data.
    _read(file, len(PNG_MAGIC))
    found = Structure()
    left = MAX_CHUNKS_BYTES
    frames = 0
    has_pixels = False
    while (head := file.read(8)) != PNG_END[:8]:
        if len(head) < 8:
            # Behind the pixels nothing need follow, but for a part of the end chunk.
            is_end = has_pixels and PNG_END.startswith(head)
            if not is_end or frames < int.from_bytes(found.marks.get(b"acTL", b"")[:4]):
                raise Incomplete
            break
        length, kind = struct.unpack(">I4s", head)
        is_text = kind in TEXT_CHUNKS and len(found.texts) < MAX_CHUNKS and left > 0
        is_mark = kind in MARKS and length <= MARK_BYTES
        keeps = MAX_CHUNK_BYTES if is_text or is_mark else 0
        is_sound, data = _chunk(file, length, zlib.crc32(kind), keeps)
        if not is_sound and not is_side_chunk(kind):
            raise Incomplete
        if is_sound and is_text:
            found.texts.append((kind, data))
            left -= len(data)
        elif is_sound and is_mark:
            found.marks.setdefault(kind, data)
        frames += kind == b"fcTL"
        has_pixels = has_pixels or kind == b"IDAT"
    return found


def _chunk(file: BinaryIO, length: int, crc: int, keeps: int) -> tuple[bool, bytes]:
    """Read the rest of a chunk; return whether its checksum is right, and its first `keeps` bytes."""
    kept = bytearray()
    while length:
        block = _read(file, min(length, READ_BYTES))
        crc = zlib.crc32(block, crc)
        length -= len(block)
        if len(kept) < keeps:
            kept += block
    return struct.unpack(">I", _read(file, 4))[0] == crc, bytes(kept)


def _walk_gif(file: BinaryIO) -> None:
    # GIF89a specification, appendix B: blocks up to the trailer; data is in sub-blocks of up to 255 bytes.
    flags = _read(file, 13)[10]
    _skip_colours(file, flags)
    frames = 0
    is_awaited = False
    # Zeros between blocks are empty sub-blocks too many.
    while (introducer := file.read(1)) != b";":
        if introducer == b"" and is_awaited:
            raise Incomplete
        if introducer == b",":
            _skip_colours(file, _read(file, 9)[8])
            _read(file, 1)
            frames += 1
            is_awaited = False
            if not _skip_sub_blocks(file, may_end=frames == 1):
                return
        elif introducer == b"!":
            is_awaited = _read(file, 1)[0] == CONTROL_LABEL
            _skip_sub_blocks(file)
        elif introducer != b"\0":
            # As in browsers, foreign bytes behind a frame are the end, and before the first one damage.
            break
    if frames == 0:
        raise Incomplete


def _skip_sub_blocks(file: BinaryIO, *, may_end: bool = False) -> bool:
    """Skip a chain of sub-blocks; return False where the file ends instead of the chain's last zero.

    Args:
        file: at the first sub-block.
        may_end: the chain may end so, because decoding shows whether its pixels are complete.
    """
    while length := file.read(1):
        if length == b"\0":
            return True
        _read(file, length[0])
    if not may_end:
        raise Incomplete
    return False


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        _read(file, 3 << ((flags & 0x07) + 1))


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise Incomplete
    return data
