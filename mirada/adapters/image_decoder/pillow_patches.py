"""Patches of Pillow, so that broken data beside the pixels never makes a picture refused.

Pillow refuses a picture for a text that unpacks to too much, a profile with a wrong checksum, or a
program's header that is too short. It also mistakes a PNG's text named "transparency" for the chunk
tRNS. The patches work in the decoder's child process.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

from PIL import ImageFile, JpegImagePlugin, PngImagePlugin

from mirada.adapters.image_decoder import containers

PROFILE_HEAD_BYTES = 14
"""Header of each part of a JPEG's colour profile: a name, a number, a count (ICC.1, annex B.4)."""


class TolerantPngStream(PngImagePlugin.PngStream):
    """A reader of a PNG's chunks that keeps, of the optional ones, the colour profile and EXIF."""

    def call(self, cid: bytes, pos: int, length: int) -> bytes:
        """Read a chunk; an optional chunk that is broken counts as absent."""
        if not containers.is_side_chunk(cid):
            return super().call(cid, pos, length)
        if cid in (b"iCCP", b"eXIf"):
            with suppress(Exception):
                return super().call(cid, pos, length)
        assert self.fp is not None
        self.fp.seek(pos)
        return ImageFile._safe_read(self.fp, length)

    def crc(self, cid: bytes, data: bytes) -> None:
        """Check the checksum of a chunk that the picture depends on; skip that of an optional chunk."""
        if containers.is_side_chunk(cid):
            self.crc_skip(cid, data)
        else:
            super().crc(cid, data)


def read_application_segment(image: JpegImagePlugin.JpegImageFile, marker: int) -> None:
    """Read a JPEG's APPn segment; a broken segment counts as absent, a cut-off one raises OSError."""
    assert image.fp is not None
    start = image.fp.tell()
    try:
        JpegImagePlugin.APP(image, marker)
    except (struct.error, IndexError, TypeError, ValueError):
        image.fp.seek(start)
        JpegImagePlugin.Skip(image, marker)
    # Pillow reads the parts of a profile later, and would fail on a short one then.
    if image.icclist and len(image.icclist[-1]) < PROFILE_HEAD_BYTES:
        image.icclist.pop()


def install() -> None:
    """Replace Pillow's readers in this whole process."""
    setattr(PngImagePlugin, "PngStream", TolerantPngStream)  # noqa: B010 - a type to mypy
    markers: dict[int, Any] = JpegImagePlugin.MARKER
    for marker, (name, description, handler) in markers.items():
        if handler is JpegImagePlugin.APP:
            markers[marker] = (name, description, read_application_segment)
    # Pillow would decode every EXIF field for a resolution that is not needed.
    setattr(JpegImagePlugin.JpegImageFile, "_read_dpi_from_exif", lambda _: None)  # noqa: B010
