"""Pictures: their status, limits, and the facts read from their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from mirada.kernel.file_metadata import FileMetadata
from mirada.kernel.picture_formats import ImageFormat as ImageFormat

RgbImage = npt.NDArray[np.uint8]
"""(height, width, 3) uint8 sRGB, EXIF orientation applied, transparency already composited."""

MAX_PIXELS = 50_000_000
"""CONTRACT, Pictures: 50 megapixels. A 21 KB PNG of 177 megapixels took 849 MB to decode."""
MAX_SIDE_PX = 16_384
"""CONTRACT, Pictures."""
TRANSPARENCY_BACKGROUND = (255, 255, 255)
"""sRGB colour under transparent pixels. White is the background of sticker packs and galleries."""


class ImageStatus(StrEnum):
    """The progress of an image towards being searchable."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Seen:
    """A decoded picture.

    Attributes:
        pixels: on TRANSPARENCY_BACKGROUND.
        opacity: (height, width) uint8, 0 clear to 255; None where nothing is transparent.
        thumbnail: a WebP of the same decoding; b"" where none was asked for, or none can be made.
    """

    pixels: RgbImage
    opacity: npt.NDArray[np.uint8] | None = None
    thumbnail: bytes = b""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Facts about a picture, found by decoding it to the end.

    Attributes:
        format: the container format of the bytes, whatever was declared.
        width, height: pixels, after EXIF orientation is applied.
        frame_count: 1 for a still picture; 2 for an animated one, whatever its length.
        file_metadata: what a generator wrote into the file; None when nothing is recognised.
    """

    format: ImageFormat
    width: int
    height: int
    frame_count: int
    file_metadata: FileMetadata | None = None


@dataclass(frozen=True, slots=True)
class AnimatedCopy:
    """The copy of an animation for people other than its owner.

    Attributes:
        webp: an animated WebP; None where none is made.
        why_still: a sentence that says why none is made; None with a copy.
    """

    webp: bytes | None
    why_still: str | None
