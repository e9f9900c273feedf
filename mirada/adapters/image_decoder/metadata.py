"""Reads the texts and the orientation that a picture file holds beside its pixels.

It runs in the decoder's child process. Broken values count as absent, so they never make a picture
refused. Standard library only.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any

from mirada.adapters.image_decoder import exif
from mirada.adapters.image_decoder.containers import Chunk

MAX_TEXT_BYTES = 2 * 1024 * 1024
"""Unpacked bytes of one text that are kept. A workflow of some hundred nodes takes about 500 KB."""
MAX_TEXTS_BYTES = 8 * 1024 * 1024
"""Unpacked bytes of all texts of one picture that are kept."""
MAX_TEXTS = 64
"""Texts of one picture that are kept. Programs that write one text a setting write about twenty."""
MAX_KEYWORD_BYTES = 79
"""Length of a keyword: PNG 3rd edition, 11.3.3."""
XMP_KEYWORD = b"XML:com.adobe.xmp"
RAW_EXIF_KEYWORD = b"Raw profile type exif"
"""The keyword under which ImageMagick writes EXIF as hexadecimal digits; older than the eXIf chunk."""
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
ASCII, UNICODE, JIS, UNDEFINED = b"ASCII\0\0\0", b"UNICODE\0", b"JIS\0\0\0\0\0", b"\0" * 8
"""Character codes of a user comment, its first CODE_BYTES bytes: EXIF 2.32, table 9."""
CODE_BYTES = 8
SAMPLE_BYTES = 4096
"""Bytes of a text that are read to find its byte order; chosen here."""


def complete(info: dict[Any, Any], chunks: Sequence[Chunk]) -> None:
    """Add to Pillow's `info` what a PNG keeps in text chunks: XMP as "xmp", old EXIF as "exif"."""
    for kind, data in chunks:
        keyword = data[: MAX_KEYWORD_BYTES + 1].partition(b"\0")[0]
        if keyword == XMP_KEYWORD and "xmp" not in info:
            info["xmp"] = _unpacked(kind, data, MAX_TEXT_BYTES)
        elif keyword == RAW_EXIF_KEYWORD and "exif" not in info:
            # The text is a line end, "exif", the length, then lines of digits.
            digits = _unpacked(kind, data, MAX_TEXT_BYTES).split(b"\n", 3)[3:]
            try:
                info["exif"] = bytes.fromhex(b"".join(digits).decode("ascii"))
            except ValueError:
                # Hundreds may follow and would each be unpacked, so the first counts though it is broken.
                info["exif"] = b""


def orientation(info: dict[Any, Any]) -> int:
    """Return the orientation, 1 to 8 (EXIF 2.32, table 4); 1, upright, where none is readable."""
    block, packet = info.get("exif"), info.get("xmp")
    turned = exif.read(block)[0] if isinstance(block, bytes) else None
    if turned is None and isinstance(packet, bytes):
        found = XMP_ORIENTATION.search(packet[:MAX_TEXT_BYTES])
        turned = int(found[1]) if found else None
    return turned if turned is not None and 1 <= turned <= 8 else 1


def texts(info: dict[Any, Any], chunks: Sequence[Chunk]) -> dict[str, str]:
    """Return the texts of a file by name, bounded in number and size.

    Args:
        info: Pillow's `info` after `complete`; "exif", "xmp" and "comment" are bytes.
        chunks: a PNG's text chunks.

    Returns:
        Texts by name: a PNG's keyword, `exif:TAG`, `xmp`, or `comment` of a JPEG or GIF. Of two texts
        with one name the first counts.
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
        # A broken text uses up the budget too, since it may have been unpacked as far.
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
    """Return the text of a text chunk as bytes, cut at `max_bytes`; b"" when it is broken.

    tEXt is keyword, NUL, text. zTXt is keyword, NUL, method, packed text. iTXt is keyword, NUL, flag,
    method, language, NUL, keyword in that language, NUL, text.

    Source: PNG 3rd edition, 11.3.3.
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
    # Some programs leave the code empty, or begin with the text.
    return _utf_16(rest if code == UNDEFINED else raw, order)


def _utf_16(raw: bytes, order: str) -> str:
    """Return text from UTF-16 of either byte order, or from UTF-8: few programs follow the standard."""
    raw = raw[: 2 * MAX_TEXT_BYTES]
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        order, raw = (">" if raw[:1] == b"\xfe" else "<"), raw[2:]
    elif b"\0" not in raw.rstrip(b"\0"):
        return _decoded(raw)
    else:
        # Blanks, digits and line ends have a zero in their upper byte in every language.
        upper_first, upper_last = raw[:SAMPLE_BYTES:2].count(0), raw[1:SAMPLE_BYTES:2].count(0)
        if upper_first != upper_last:
            order = ">" if upper_first > upper_last else "<"
    raw = raw[: len(raw) // 2 * 2]
    return raw.decode("utf-16-be" if order == ">" else "utf-16-le", "replace").rstrip("\0")


def _decoded(raw: bytes) -> str:
    """Return text from UTF-8, or else from Latin-1, which PNG prescribes and few programs write."""
    raw = raw.rstrip(b"\0")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
