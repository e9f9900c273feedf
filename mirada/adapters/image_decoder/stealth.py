"""Reads the text that some generators hide in the lowest bits of a picture. It runs in the child process.

The bits run down the columns, one for each pixel in alpha or three in red, green and blue. They begin
with a signature, then a length in bits, 32 bits long, then the text, plain or packed with gzip. NovelAI
writes a JSON object of texts, extensions of web UIs write their settings.
"""

from __future__ import annotations

import json
import zlib

from PIL import Image

SIGNATURES = {
    "A": (b"stealth_pnginfo", b"stealth_pngcomp"),
    "RGB": (b"stealth_rgbinfo", b"stealth_rgbcomp"),
}
"""By the bands that hold the bits: the signatures of plain and of packed texts, all of one length."""
SIGNATURE_BYTES = 15
LENGTH_BYTES = 4
MAX_HIDDEN_BYTES = 2 * 1024 * 1024
"""Bytes that are read from the pixels; a workflow of some hundred nodes takes 100 KB packed."""
MAX_TEXT_BYTES = 2 * 1024 * 1024
"""Bytes of the unpacked text, as of every other text of a picture."""
MAX_TEXTS = 64
GZIP = 31
"""What `zlib` calls a gzip header with the largest window."""
LOWEST_BIT = [255 if level & 1 else 0 for level in range(256)]


def texts(image: Image.Image) -> dict[str, str]:
    """Return the hidden texts by name, as a PNG's chunks would have them; {} where there are none.

    Args:
        image: the first frame, decoded, as the file has it.
    """
    for bands, (plain, packed) in SIGNATURES.items():
        if not _has_bands(image, bands):
            continue
        head = _hidden(image, bands, SIGNATURE_BYTES + LENGTH_BYTES)
        signature, length = head[:SIGNATURE_BYTES], head[SIGNATURE_BYTES:]
        if signature not in (plain, packed) or len(length) < LENGTH_BYTES:
            continue
        count = min(int.from_bytes(length) // 8, MAX_HIDDEN_BYTES)
        data = _hidden(image, bands, len(head) + count)[len(head) :]
        return _named(_unpacked(data) if signature == packed else data[:MAX_TEXT_BYTES])
    return {}


def _has_bands(image: Image.Image, bands: str) -> bool:
    return image.mode == "RGBA" if bands == "A" else image.mode in ("RGB", "RGBA")


def _hidden(image: Image.Image, bands: str, count: int) -> bytes:
    """Return the first `count` hidden bytes; fewer where the picture is too small."""
    width, height = image.size
    pixels = -(-8 * count // len(bands))
    columns = min(width, -(-pixels // height))
    part = image.crop((0, 0, columns, height)).transpose(Image.Transpose.TRANSPOSE)
    wanted = part.getchannel("A") if bands == "A" else part.convert("RGB")
    levels = wanted.tobytes()[: 8 * count]
    levels = levels[: len(levels) // 8 * 8]
    if not levels:
        return b""
    # One row of black and white is packed eight to a byte, the first in the highest bit.
    row = Image.frombytes("L", (len(levels), 1), levels).point(LOWEST_BIT)
    return row.convert("1", dither=Image.Dither.NONE).tobytes()


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(GZIP).decompress(data, MAX_TEXT_BYTES)
    except zlib.error:
        return b""


def _named(data: bytes) -> dict[str, str]:
    text = data.decode("utf-8", "replace").rstrip("\0").strip()
    if not text:
        return {}
    try:
        found = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {"parameters": text}
    named = {}
    for name, value in list(found.items())[:MAX_TEXTS]:
        named[name] = value if isinstance(value, str) else json.dumps(value)
    return named
