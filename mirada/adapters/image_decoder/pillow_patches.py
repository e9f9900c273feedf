"""Pillow's readers of what stands beside the pixels, made unable to refuse a picture.

Pillow gives a whole picture up for a text that unpacks to too much, a profile with a wrong checksum,
or a header of some program that is too short; and it takes a PNG's text named "transparency" for the
chunk that means it. Runs in the decoder's child process.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

from PIL import ImageFile, JpegImagePlugin, PngImagePlugin

from mirada.adapters.image_decoder import containers

PROFILE_HEAD_BYTES = 14
"""Of each part of a JPEG's colour profile (ICC.1, annex B.4): a name, a number, a count."""


class TolerantPngStream(PngImagePlugin.PngStream):
    """Reads a PNG's chunks; of those beside the picture it takes the profile and EXIF."""

    def call(self, cid: bytes, pos: int, length: int) -> bytes:
        """Read a chunk; one that is beside the picture counts as absent when it is broken."""
        if not containers.is_side_chunk(cid):
            return super().call(cid, pos, length)
        if cid in (b"iCCP", b"eXIf"):
            with suppress(Exception):
                return super().call(cid, pos, length)
        assert self.fp is not None
        self.fp.seek(pos)
        return ImageFile._safe_read(self.fp, length)

    def crc(self, cid: bytes, data: bytes) -> None:
        """Check a checksum where the picture depends on it."""
        if containers.is_side_chunk(cid):
            self.crc_skip(cid, data)
        else:
            super().crc(cid, data)


def read_application_segment(image: JpegImagePlugin.JpegImageFile, marker: int) -> None:
    """Read a JPEG's APPn segment; a broken one counts as absent, one that is cut off does not."""
    assert image.fp is not None
    start = image.fp.tell()
    try:
        JpegImagePlugin.APP(image, marker)
    except (struct.error, IndexError, TypeError, ValueError):
        image.fp.seek(start)
        JpegImagePlugin.Skip(image, marker)
    # Pillow looks into the parts of a profile when it knows the picture's size.
    if image.icclist and len(image.icclist[-1]) < PROFILE_HEAD_BYTES:
        image.icclist.pop()


def install() -> None:
    """Put these readers in the place of Pillow's, in this whole process."""
    setattr(PngImagePlugin, "PngStream", TolerantPngStream)  # noqa: B010 - a type to mypy
    markers: dict[int, Any] = JpegImagePlugin.MARKER
    for marker, (name, description, handler) in markers.items():
        if handler is JpegImagePlugin.APP:
            markers[marker] = (name, description, read_application_segment)
    # It turns every EXIF field into a value, for a resolution that nobody asks for.
    setattr(JpegImagePlugin.JpegImageFile, "_read_dpi_from_exif", lambda _: None)  # noqa: B010
