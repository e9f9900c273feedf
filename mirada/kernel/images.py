"""What a picture is to Mirada: its status, its formats, its limits, and facts read from its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from mirada.kernel.origin import Generation

RgbImage = npt.NDArray[np.uint8]
"""(height, width, 3) uint8 sRGB, EXIF orientation applied, transparency already composited."""

MAX_PIXELS = 50_000_000
"""CONTRACT, Pictures: 50 Mpx; a 21 KB PNG of 177 Mpx took 849 MB to decode."""
MAX_SIDE_PX = 16_384
"""CONTRACT, Pictures."""
TRANSPARENCY_BACKGROUND = (255, 255, 255)
"""sRGB under transparent pixels. White: what sticker packs and galleries show them on."""


class ImageStatus(StrEnum):
    """Where a picture is on its way to being findable."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"


class ImageFormat(StrEnum):
    """The accepted container formats, by Pillow's names."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    GIF = "GIF"

    @property
    def media_type(self) -> str:
        """Return the registered media type, e.g. "image/jpeg"."""
        return f"image/{self.value.lower()}"

    @property
    def extension(self) -> str:
        """Return the usual file extension without a dot, e.g. "jpg"."""
        return "jpg" if self is ImageFormat.JPEG else self.value.lower()


MEDIA_TYPE_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
}
"""Wrong but common names that clients send for accepted formats."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What decoding a picture to the end has shown.

    Attributes:
        format: the container the bytes really are.
        width, height: pixels, after EXIF orientation is applied.
        frame_count: 1 unless animated; counted lazily up to 2 (2 means "more than one").
        generation: what a generator wrote into the file; None when there is nothing of that kind.
    """

    format: ImageFormat
    width: int
    height: int
    frame_count: int
    generation: Generation | None = None
