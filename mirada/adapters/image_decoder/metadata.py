"""What stands in a container beside its pixels: texts, and how the camera was held.

Runs in the decoder's child process. Whatever is broken here counts as absent: no picture is refused
for it. Standard library only.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any

from mirada.adapters.image_decoder import exif
from mirada.adapters.image_decoder.containers import Chunk

MAX_TEXT_BYTES = 2 * 1024 * 1024
"""Of one text, unpacked. A workflow of a few hundred nodes comes to some 500 KB."""
MAX_TEXTS_BYTES = 8 * 1024 * 1024
"""Of all texts of a picture together."""
MAX_TEXTS = 64
"""Programs that write one text for each setting write some twenty."""
MAX_KEYWORD_BYTES = 79
"""PNG 3rd edition, 11.3.3."""
XMP_KEYWORD = b"XML:com.adobe.xmp"
RAW_EXIF_KEYWORD = b"Raw profile type exif"
"""ImageMagick's way to put EXIF into a PNG before there was a chunk for it: hexadecimal digits."""
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
ASCII, UNICODE, JIS, UNDEFINED = b"ASCII\0\0\0", b"UNICODE\0", b"JIS\0\0\0\0\0", b"\0" * 8
"""EXIF 2.32, table 9: the first eight bytes of a user comment."""
CODE_BYTES = 8
SAMPLE_BYTES = 4096
"""What is looked at to tell one byte order from the other."""


def complete(info: dict[Any, Any], chunks: Sequence[Chunk]) -> None:
    """Put into Pillow's `info` what a PNG keeps in texts: XMP as "xmp", and EXIF of old as "exif"."""
    for kind, data in chunks:
        keyword = data[: MAX_KEYWORD_BYTES + 1].partition(b"\0")[0]
        if keyword == XMP_KEYWORD and "xmp" not in info:
            info["xmp"] = _unpacked(kind, data, MAX_TEXT_BYTES)
        elif keyword == RAW_EXIF_KEYWORD and "exif" not in info:
            # A line end, "exif", the length, then the digits in lines.
            digits = _unpacked(kind, data, MAX_TEXT_BYTES).split(b"\n", 3)[3:]
            try:
                info["exif"] = bytes.fromhex(b"".join(digits).decode("ascii"))
            except ValueError:
                # The first counts, broken as it is: hundreds may follow, and each has to be unpacked.
                info["exif"] = b""


def orientation(info: dict[Any, Any]) -> int:
    """Return how the picture was held, 1 to 8 (EXIF 2.32, table 4); 1 where nothing readable says."""
    block, packet = info.get("exif"), info.get("xmp")
    turned = exif.read(block)[0] if isinstance(block, bytes) else None
    if turned is None and isinstance(packet, bytes):
        found = XMP_ORIENTATION.search(packet[:MAX_TEXT_BYTES])
        turned = int(found[1]) if found else None
    return turned if turned is not None and 1 <= turned <= 8 else 1


def texts(info: dict[Any, Any], chunks: Sequence[Chunk]) -> dict[str, str]:
    """Return the texts of a file by name, bounded in number and size.

    Args:
        info: what Pillow found, completed: "exif", "xmp" and "comment" are bytes.
        chunks: a PNG's text chunks.

    Returns:
        PNG keywords as they are; `exif:NAME`; `xmp`, the packet; `comment` of a JPEG or GIF. Where
        a name comes twice the first counts.
    """
    found: dict[str, str] = {}
    left = MAX_TEXTS_BYTES
    for kind, data in chunks:
        keyword = data[: MAX_KEYWORD_BYTES + 1].partition(b"\0")[0]
        name = keyword.decode("latin-1")
        if left <= 0 or len(found) == MAX_TEXTS:
            break
        if name in found or keyword in (b"", XMP_KEYWORD, RAW_EXIF_KEYWORD):
            continue
        raw = _unpacked(kind, data, min(left, MAX_TEXT_BYTES))
        # Broken ones are paid for as well: they may have been unpacked as far.
        left -= len(raw) or MAX_TEXT_BYTES
        found[name] = raw.decode("utf-8", "replace") if kind == b"iTXt" else _decoded(raw)
    block = info.get("exif")
    if isinstance(block, bytes):
        _, fields, order = exif.read(block)
        for field, raw in fields.items():
            found[f"exif:{field}"] = _exif_text(field, raw, order)
    for name in ("xmp", "comment"):
        value = info.get(name)
        if isinstance(value, bytes):
            found[name] = _decoded(value[:MAX_TEXT_BYTES])
    return {name: text for name, text in found.items() if text}


def _unpacked(kind: bytes, data: bytes, max_bytes: int) -> bytes:
    """Return the text of a text chunk as bytes, cut at `max_bytes`, empty when it is broken.

    PNG 3rd edition, 11.3.3: tEXt is keyword, NUL, text; zTXt keyword, NUL, method, packed text; iTXt
    keyword, NUL, flag, method, language, NUL, keyword in that language, NUL, text.
    """
    _, _, rest = data.partition(b"\0")
    if kind == b"tEXt":
        return rest[:max_bytes]
    if kind == b"zTXt":
        return _inflated(rest[1:], max_bytes) if rest[:1] == b"\0" else b""
    parts = rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        return b""
    if rest[:1] == b"\0":
        return parts[2][:max_bytes]
    return _inflated(parts[2], max_bytes) if rest[:2] == b"\1\0" else b""


def _inflated(packed: bytes, max_bytes: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, max_bytes)
    except zlib.error:
        return b""


def _exif_text(field: str, raw: bytes, order: str) -> str:
    if field == "XPComment":
        return _utf_16(raw, "<")
    if field != "UserComment":
        return _decoded(raw[:MAX_TEXT_BYTES])
    code, rest = raw[:CODE_BYTES], raw[CODE_BYTES:]
    if code == UNICODE:
        return _utf_16(rest, order)
    if code in (ASCII, JIS):
        return _decoded(rest[:MAX_TEXT_BYTES])
    # Programs that know of no code leave it empty, or begin with the text.
    return _utf_16(rest if code == UNDEFINED else raw, order)


def _utf_16(raw: bytes, order: str) -> str:
    """Return text in UTF-16 of either byte order, or else in UTF-8; few writers keep to the rules."""
    raw = raw[: 2 * MAX_TEXT_BYTES]
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        order, raw = (">" if raw[:1] == b"\xfe" else "<"), raw[2:]
    elif b"\0" not in raw.rstrip(b"\0"):
        return _decoded(raw)
    else:
        # Blanks, digits and line ends have a zero in their upper half, whatever the language.
        upper_first, upper_last = raw[:SAMPLE_BYTES:2].count(0), raw[1:SAMPLE_BYTES:2].count(0)
        if upper_first != upper_last:
            order = ">" if upper_first > upper_last else "<"
    raw = raw[: len(raw) // 2 * 2]
    return raw.decode("utf-16-be" if order == ">" else "utf-16-le", "replace").rstrip("\0")


def _decoded(raw: bytes) -> str:
    """Return text in UTF-8, or else in Latin-1, which PNG asks for and few programs write."""
    raw = raw.rstrip(b"\0")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
