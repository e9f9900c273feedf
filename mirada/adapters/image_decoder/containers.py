"""What the containers say about themselves before any pixel is decoded: format, and completeness.

Runs in the decoder's child process; standard library only.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
GIF_MAGICS = (b"GIF87a", b"GIF89a")
JPEG_MAGIC = b"\xff\xd8\xff"
READ_BYTES = 1024 * 1024


class Incomplete(Exception):
    """The file ends before its container does, or its structure is broken."""


def sniff(head: bytes) -> str | None:
    """Return the Pillow name of the accepted format that the first bytes begin, None for others.

    A proper beginning of a magic number counts as that format: such a file is cut off, not foreign.

    Args:
        head: the first 12 bytes, fewer when the file is shorter; not empty.
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


def require_complete(file: BinaryIO, name: str, byte_size: int) -> None:
    """Walk a PNG, GIF or WebP to its end; JPEG has no lengths to check, so decoding must tell.

    Pillow stops reading when it has the first frame's pixels and does not miss what follows.

    Raises:
        Incomplete: it ends too early.
    """
    file.seek(0)
    if name == "PNG":
        _walk_png(file)
    elif name == "GIF":
        _walk_gif(file)
    elif name == "WEBP":
        size = struct.unpack("<4xI", _read(file, 8))[0]
        if byte_size < 8 + size:
            raise Incomplete


def _walk_png(file: BinaryIO) -> None:
    # PNG 3rd edition, 5.3: length, type, data, CRC-32 over type and data. A decoder of the first
    # image alone would not notice a damaged end.
    _read(file, len(PNG_MAGIC))
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", _read(file, 8))
        crc = zlib.crc32(kind)
        while length:
            block = _read(file, min(length, READ_BYTES))
            crc = zlib.crc32(block, crc)
            length -= len(block)
        if struct.unpack(">I", _read(file, 4))[0] != crc:
            raise Incomplete


def _walk_gif(file: BinaryIO) -> None:
    # GIF89a specification, appendix B: blocks up to the trailer, data in sub-blocks of <= 255 bytes.
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
