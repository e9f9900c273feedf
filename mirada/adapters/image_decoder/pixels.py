"""Decodes picture files with Pillow, in every mode and orientation. It runs in the child process.

Pillow and standard library only, so that a child starts fast and stays small.
"""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

# Pillow loads its forty other plugins unless those that are needed are imported by name.
from PIL import (  # noqa: F401
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from mirada.adapters.image_decoder import containers, metadata, pillow_patches
from mirada.adapters.image_decoder.containers import Chunk
from mirada.file_metadata.parsing import parse
from mirada.kernel.file_metadata import FileMetadata

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that makes a picture of each orientation upright: EXIF 2.32, table 4."""
MAX_PROFILE_BYTES = 16 * 1024 * 1024
"""Unpacked bytes of a PNG's colour profile; some printers' exceed Pillow's own limit of 1 MiB."""
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
TOO_MANY_PIXELS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
"""The errors by which Pillow reports a picture beyond the size limit."""
WEBP_QUALITY = 82
WEBP_METHOD = 2
"""Measured on photographs (research, ecosystem): method 1 takes 9 ms, method 4 takes 19 ms."""


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


def prepare(limits: Limits) -> None:
    """Set Pillow's global switches; call it once per process."""
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE_BYTES
    pillow_patches.install()
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def inspect(path: str, limits: Limits) -> tuple[dict[str, Any], FileMetadata | None]:
    """Decode the first frame to its end, and read the file metadata.

    Returns:
        The facts "format", "width", "height" (upright) and "frames" (1, or 2 if animated), and the file
        metadata; None where no generator is recognised.
    """
    with Path(path).open("rb") as file:
        image, name, chunks = _open(file, limits)
        width, height = image.size
        frames = 2 if name != "JPEG" and getattr(image, "is_animated", False) else 1
        # A JPEG is read to its end at any scale; an eighth saves arithmetic.
        image.draft(None, (1, 1))
        image.load()
        if metadata.orientation(image.info) >= 5:
            width, height = height, width
        facts = {"format": name, "width": width, "height": height, "frames": frames}
        return facts, parse(metadata.texts(image.info, chunks))


def decode(path: str, min_side_px: int, limits: Limits) -> tuple[dict[str, Any], bytes]:
    """Return the facts "width" and "height" of the first frame, and its upright sRGB pixels as bytes."""
    with Path(path).open("rb") as file:
        original, *_ = _open(file, limits)
        # A JPEG can shrink by up to 8 while it is decoded: five times faster for a photograph.
        original.draft(None, (min_side_px, min_side_px))
        original.load()
        image = _flat(original, limits.background)
        factor = min(image.size) // min_side_px
        if factor > 1:
            # Whole factors keep the shorter side at or above `min_side_px`.
            image = image.reduce(factor)
        image = _upright(_as_srgb(image, original), original)
        return {"width": image.width, "height": image.height}, image.tobytes()


def thumbnail(path: str, max_side_px: int, limits: Limits) -> bytes:
    """Return a WebP of the first frame that fits a square; it keeps transparency and has no metadata."""
    with Path(path).open("rb") as file:
        original, *_ = _open(file, limits)
        # Resizing from twice the size shows no visible loss.
        original.draft(None, (2 * max_side_px, 2 * max_side_px))
        original.load()
        image = _eight_bit(original)
        image = image.convert("RGBA" if image.has_transparency_data else _colour_mode(image))
        image.thumbnail((max_side_px, max_side_px), reducing_gap=2.0)
        image = _upright(_as_srgb(image, original), original)
        # Pillow would write the profile, EXIF and XMP that it finds here.
        image.info = {}
        out = io.BytesIO()
        image.save(out, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD)
        return out.getvalue()


def _open(file: BinaryIO, limits: Limits) -> tuple[ImageFile.ImageFile, str, list[Chunk]]:
    """Return the picture before any pixel is decoded, its format as Pillow names it, and text chunks."""
    byte_size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if not head:
        raise Refused("corrupt", "The file is empty.")
    name = containers.sniff(head)
    if name is None:
        raise Refused(
            "unsupported", "The file is not a picture in one of the formats JPEG, PNG, WebP or GIF."
        )
    image = Image.open(file, formats=(name,))
    _check_size(*image.size, limits)
    position = file.tell()
    try:
        chunks = containers.require_complete(file, name, byte_size)
    except containers.Incomplete as error:
        raise Refused("corrupt", f"The {name} is cut off or damaged.") from error
    # Pillow continues to read where its header ended.
    file.seek(position)
    metadata.complete(image.info, chunks)
    return image, name, chunks


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels or max(width, height) > limits.max_side_px:
        raise too_large(limits, f" This one has {width} x {height}.")


def too_large(limits: Limits, found: str = "") -> Refused:
    """Return the refusal of a picture with too many pixels; `found` is a sentence about its size."""
    return Refused(
        "too_large",
        f"A picture may have {limits.max_pixels // 1_000_000} million pixels and "
        f"{limits.max_side_px:,} pixels a side.{found}",
    )


def _upright(image: Image.Image, original: Image.Image) -> Image.Image:
    turn = TURNS.get(metadata.orientation(original.info))
    return image if turn is None else image.transpose(turn)


def _flat(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Return the picture without transparency, as RGB; as CMYK or L where a profile is still to apply."""
    image = _eight_bit(image)
    if not image.has_transparency_data:
        return image.convert(_colour_mode(image))
    layered = image.convert("RGBA")
    flat = Image.new("RGB", image.size, background)
    flat.paste(layered, mask=layered.getchannel("A"))
    return flat


def _eight_bit(image: Image.Image) -> Image.Image:
    # Pillow keeps the high byte of 16-bit colour, but not of 16-bit grey.
    if not image.mode.startswith("I"):
        return image
    info = dict(image.info)
    grey = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    info.pop("transparency", None)
    grey.info = info
    return grey


def _colour_mode(image: Image.Image) -> str:
    """Return the mode in which the picture's profile can be applied; RGB where it has none."""
    has_profile = bool(image.info.get("icc_profile"))
    return image.mode if has_profile and image.mode in ("CMYK", "L") else "RGB"


def _as_srgb(image: Image.Image, original: Image.Image) -> Image.Image:
    """Return the picture in sRGB, as RGB or RGBA; a missing, broken or unfitting profile counts as sRGB."""
    profile_bytes = original.info.get("icc_profile")
    target = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile_bytes and not _is_srgb(profile_bytes):
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
            converted = ImageCms.profileToProfile(image, profile, SRGB, outputMode=target)
            assert converted is not None
            return converted
    return image.convert(target)


def _is_srgb(profile_bytes: bytes) -> bool:
    # Most profiles are sRGB under some name; their transform would cost more than the decoding.
    return b"sRGB" in profile_bytes or "sRGB".encode("utf-16-be") in profile_bytes
