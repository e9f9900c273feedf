"""Checks a picture file's format and completeness before any pixel is decoded.

It runs in the decoder's child process. Standard library only.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
GIF_MAGICS = (b"GIF87a", b"GIF89a")
JPEG_MAGIC = b"\xff\xd8\xff"
"""The first bytes of each format: PNG 3rd edition, 5.2; GIF89a specification, 17; ITU-T T.81, B.1."""
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

Chunk = tuple[bytes, bytes]
"""(type, data) of a PNG's text chunk."""


class Incomplete(Exception):
    """The file ends too early, or its structure is broken."""


def sniff(head: bytes) -> str | None:
    """Return the accepted format of a file by its first bytes, as Pillow names it; None for others.

    A file that ends inside the magic number counts as that format: it is cut off, not foreign.

    Args:
        head: the first 12 bytes; fewer when the file is shorter; at least one.
    """
    for name, magic in (
        ("JPEG", JPEG_MAGIC),
        ("PNG", PNG_MAGIC),
        ("GIF", GIF_MAGICS[0]),
        ("GIF", GIF_MAGICS[1]),
    ):
        if head.startswith(magic) or magic.startswith(head):
            return name
    if b"RIFF".startswith(head) or (head.startswith(b"RIFF") and b"WEBP".startswith(head[8:12])):
        return "WEBP"
    return None


def is_side_chunk(kind: bytes) -> bool:
    """Return whether a PNG looks the same without a chunk of this type (PNG 3rd edition, 5.4)."""
    return kind[:1].islower() and kind not in PICTURE_CHUNKS


def require_complete(file: BinaryIO, name: str, byte_size: int) -> list[Chunk]:
    """Read a PNG, GIF or WebP to its end. A JPEG has no lengths to check: decoding shows its end.

    Pillow stops after the first frame's pixels, so it does not notice a missing end.

    Returns:
        The text chunks of a PNG, without those with a wrong checksum; [] for other formats.

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
    return []


def _walk_png(file: BinaryIO) -> list[Chunk]:
    # PNG 3rd edition, 5.3: a chunk is length, type, data, and CRC-32 of type and data.
    _read(file, len(PNG_MAGIC))
    texts: list[Chunk] = []
    left = MAX_CHUNKS_BYTES
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", _read(file, 8))
        crc = zlib.crc32(kind)
        is_text = kind in TEXT_CHUNKS and len(texts) < MAX_CHUNKS and left > 0
        text = bytearray()
        while length:
            block = _read(file, min(length, READ_BYTES))
            crc = zlib.crc32(block, crc)
            length -= len(block)
            if is_text and len(text) < MAX_CHUNK_BYTES:
                text += block
        is_sound = struct.unpack(">I", _read(file, 4))[0] == crc
        if not is_sound and not is_side_chunk(kind):
            raise Incomplete
        if is_sound and is_text:
            texts.append((kind, bytes(text)))
            left -= len(text)
    return texts


def _walk_gif(file: BinaryIO) -> None:
    # GIF89a specification, appendix B: blocks up to the trailer; data is in sub-blocks of up to 255 bytes.
    flags = _read(file, 13)[10]
    _skip_colours(file, flags)
    while (introducer := _read(file, 1)) != b";":
        if introducer == b",":
            _skip_colours(file, _read(file, 9)[8])
            _read(file, 1)
        elif introducer == b"!":
            _read(file, 1)
        else:
            raise Incomplete
        while length := _read(file, 1)[0]:
            _read(file, length)


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        _read(file, 3 << ((flags & 0x07) + 1))


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise Incomplete
    return data
