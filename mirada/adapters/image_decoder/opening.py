"""Opens a picture file of any accepted format, within limits. It runs in the child process.

Pillow and standard library only, so that a child starts fast and stays small.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

# Pillow loads its forty other plugins unless those that are needed are imported by name.
from PIL import (  # noqa: F401
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from mirada.adapters.image_decoder import (
    boxes,
    colour_key,
    colour_spaces,
    containers,
    frames,
    heic,
    jpeg_end,
    metadata,
)
from mirada.adapters.image_decoder.containers import Structure
from mirada.kernel.picture_formats import FORMATS_NAMED, SNIFF_BYTES, ImageFormat, sniff

ANIMATED = frozenset({ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.GIF, ImageFormat.AVIF})
"""Formats whose further frames are an animation. A TIFF's are pages, a JPEG's other pictures."""
NUMBERS = "This TIFF holds numbers of 32 bits instead of colours. Save it with 8 or 16 bits for each colour."

NOT_READ = "This HEIC is built in a way that is not read ({}). Send it as a JPEG or PNG."
WITHOUT_HEIC = (
    "HEIC cannot be read here, because the package pi-heif is not installed. Send a JPEG or PNG."
)


class Refused(Exception):
    """The picture is refused; `kind` is "unsupported", "corrupt" or "too_large"."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True)
class Limits:
    """The limits of a picture's size, and the sRGB colour under its transparent parts."""

    max_pixels: int
    max_side_px: int
    background: tuple[int, int, int]


def too_large(limits: Limits, found: str = "") -> Refused:
    """Return the refusal of a picture with too many pixels; `found` is a sentence about its size."""
    return Refused(
        "too_large",
        f"A picture may have {limits.max_pixels // 1_000_000} million pixels and "
        f"{limits.max_side_px:,} pixels a side.{found}",
    )


class Source:
    """An open picture file: complete as far as its container tells, and within the limits.

    Attributes:
        name: its format.
        image: what Pillow opened, before any pixel is decoded; None for a HEIC.
        structure: what a PNG says beside its pixels.
    """

    def __init__(self, path: str, limits: Limits) -> None:
        """Open a file and check its header and its length.

        Raises:
            Refused: it is no picture, is cut off, or is too large.
        """
        self.limits = limits
        self.image: ImageFile.ImageFile | None = None
        self.structure = Structure()
        self._boxes: boxes.Picture | None = None
        self.file: BinaryIO = Path(path).open("rb")  # noqa: SIM115 - closed by __exit__
        try:
            self.name = self._format()
            self._open()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.file.close()

    @property
    def is_animated(self) -> bool:
        """Return whether the file is an animation of more than one frame."""
        return self.name in ANIMATED and bool(getattr(self.image, "is_animated", False))

    @property
    def header_size(self) -> tuple[int, int]:
        """Return width and height as the header has them."""
        if self.image is not None:
            return self.image.size
        assert self._boxes is not None
        return heic.coded_size(self._boxes)

    def first(self, draft_px: int | None = None) -> Image.Image:
        """Return the first frame decoded to its end, in any of Pillow's modes.

        Args:
            draft_px: a JPEG may shrink, but its shorter side not below this; None: it may not.
        """
        if self.image is None:
            assert self._boxes is not None
            with _heic_faults():
                return heic.decode(self._boxes, self.limits.max_pixels)
        if draft_px is not None:
            # A JPEG can shrink by up to 8 while it is decoded: five times faster for a photograph.
            self.image.draft(None, (draft_px, draft_px))
        try:
            self.image.load()
        except OSError as error:
            if self.name != ImageFormat.JPEG or "truncated" not in str(error):
                raise
            self.file.seek(0)
            self.image = jpeg_end.completed(self.file.read())
        return self.image

    def shown(self, draft_px: int | None = None) -> Image.Image:
        """Return the first frame with something on it, transparent colours applied."""
        image = self.first(draft_px)
        if self.is_animated and isinstance(image, ImageFile.ImageFile):
            image = frames.first_shown(image, self.limits.background)
        return self.keyed(image)

    def keyed(self, image: Image.Image) -> Image.Image:
        """Return a decoded frame with what its transparent colour makes clear."""
        if b"tRNS" not in self.structure.marks or image.mode not in ("1", "L", "I;16", "RGB"):
            return image
        low = colour_key.low_bytes(self.file, self.structure.marks)
        return colour_key.applied(image, self.structure.marks, low)

    def profile(self, image: Image.Image) -> bytes | None:
        """Return the ICC profile of a decoded frame's colours; None for sRGB."""
        found = image.info.get("icc_profile")
        icc = found if isinstance(found, bytes) and found else None
        if self.name == ImageFormat.PNG:
            return colour_spaces.of_png(self.structure.marks, icc)
        if icc is None and self.name in (ImageFormat.AVIF, ImageFormat.HEIC):
            codes = self._colour_codes()
            return None if codes is None else colour_spaces.of_codes(*codes)
        return icc

    def orientation(self, image: Image.Image) -> int:
        """Return how a decoded frame is still to be turned: 1, upright, to 8 (EXIF 2.32, table 4)."""
        # Pillow turns a TIFF, and `heic` a HEIC, by their own marks.
        if self.name in (ImageFormat.TIFF, ImageFormat.HEIC):
            return 1
        info = image.info
        # An AVIF's own mark counts, which Pillow writes into the EXIF block, never its XMP.
        return metadata.orientation(
            {**info, "xmp": None} if self.name == ImageFormat.AVIF else info
        )

    def _format(self) -> ImageFormat:
        head = self.file.read(SNIFF_BYTES)
        if not head:
            raise Refused("corrupt", "The file is empty.")
        found = sniff(head)
        if found is None:
            raise Refused(
                "unsupported", f"The file is not a picture in one of the formats {FORMATS_NAMED}."
            )
        return found

    def _open(self) -> None:
        byte_size = self.file.seek(0, io.SEEK_END)
        self.file.seek(0)
        if self.name == ImageFormat.HEIC:
            self._open_heic()
            return
        try:
            image = Image.open(self.file, formats=(self.name,))
        except UnidentifiedImageError as error:
            raise Refused(
                "corrupt", f"The {self.name} is damaged, or of a kind that is not read."
            ) from error
        assert isinstance(image, ImageFile.ImageFile)
        self._check_size(*image.size)
        position = self.file.tell()
        try:
            self.structure = containers.require_complete(self.file, self.name, byte_size)
        except containers.Incomplete as error:
            raise Refused("corrupt", f"The {self.name} is cut off or damaged.") from error
        # Pillow continues to read where its header ended.
        self.file.seek(position)
        metadata.complete(image.info, self.structure.texts)
        if image.mode in ("F", "I") and self.name == ImageFormat.TIFF:
            raise Refused("unsupported", NUMBERS)
        self.image = image

    def _open_heic(self) -> None:
        with _heic_faults():
            self._boxes = boxes.read(self.file.read())
            if self._boxes is None:
                raise Refused("unsupported", "This HEIC holds a film and no still picture.")
            self._check_size(*heic.coded_size(self._boxes))

    def _check_size(self, width: int, height: int) -> None:
        limits = self.limits
        if width * height > limits.max_pixels or max(width, height) > limits.max_side_px:
            raise too_large(limits, f" This one has {width} x {height}.")

    def _colour_codes(self) -> tuple[int, int] | None:
        found = self._boxes
        if found is None:
            self.file.seek(0)
            with suppress(boxes.Malformed):
                found = boxes.read(self.file.read())
        return None if found is None else heic.colour_codes(found)


@contextmanager
def _heic_faults() -> Iterator[None]:
    """Turn what is wrong with a HEIC into a refusal."""
    try:
        yield
    except boxes.Malformed as error:
        raise Refused("corrupt", "The HEIC is cut off or damaged.") from error
    except heic.NotRead as error:
        raise Refused("unsupported", NOT_READ.format(error)) from error
    except ImportError as error:
        raise Refused("unsupported", WITHOUT_HEIC) from error
