"""Tells a whole JPEG without its end mark from half a picture. It runs in the child process.

Browsers and Pillow's users show such files; Pillow itself calls both kinds truncated. The test: the
picture is decoded twice, with other random bytes behind the file each time. Where any pixel depends on
them, or was never written, the file ends too early.
"""

from __future__ import annotations

import io
import random
import re

from PIL import Image, ImageChops, ImageFile, JpegImagePlugin

END = b"\xff\xd9"
MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
"""A marker that is neither a stuffed byte nor a restart mark: ITU-T T.81, B.1.1."""
START_OF_SCAN = 0xDA
WITHOUT_LENGTH = frozenset({0x01, 0xD8, 0xD9})
PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of frame headers: ITU-T T.81, table B.1."""
PADDING_BYTES = 64
"""Random bytes behind the file; a decoder looks at most 8 bytes ahead."""
RESTARTS = 16
"""Restart marks among them: each of the eight numbers twice."""
BAND_PX = 256
"""Rows that are compared at once, so that little memory is needed."""
FILLS = (37, 181)
"""Values of all bands before decoding, one for each of the two tries."""


def completed(data: bytes) -> ImageFile.ImageFile:
    """Return a JPEG without an end mark as a loaded picture.

    Args:
        data: the file.

    Raises:
        OSError: pixels are missing.
    """
    body = data.rstrip(b"\xff")
    is_progressive, is_covered = _scans(body)
    if not is_covered:
        raise OSError("image file is truncated")
    tries = [_padded(body, seed, is_progressive) for seed in range(2)]
    first, second = (_decoded(each, fill) for each, fill in zip(tries, FILLS, strict=True))
    if not _are_equal(first, second):
        raise OSError("image file is truncated")
    return first


def _padded(body: bytes, seed: int, is_progressive: bool) -> bytes:
    # 0xFF is left out, because a decoder would take it for the beginning of a marker.
    made = random.Random(seed)  # noqa: S311 - no secret
    noise = [bytes(made.choices(range(0xFF), k=PADDING_BYTES)) for _ in range(RESTARTS)]
    if not is_progressive:
        return body + noise[0]
    # It is drawn only once its end was seen. Where a part behind a restart mark is missing, the
    # decoder looks for the mark, and must find more noise there.
    marked = b"".join(each + bytes([0xFF, 0xD0 + n % 8]) for n, each in enumerate(noise))
    return body + marked + END


def _decoded(data: bytes, fill: int) -> ImageFile.ImageFile:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    # Pillow decodes into this one, so that what is never written shows.
    image.im = Image.new(image.mode, image.size, tuple([fill] * len(image.getbands()))).im
    # Without this Pillow adds an end mark, and the decoder makes up all that is missing.
    setattr(image, "_ended", True)  # noqa: B010 - unknown to mypy
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    return image


def _are_equal(first: Image.Image, second: Image.Image) -> bool:
    width, height = first.size
    for top in range(0, height, BAND_PX):
        box = (0, top, width, min(top + BAND_PX, height))
        difference = ImageChops.difference(first.crop(box), second.crop(box))
        if any(high for _, high in _extrema(difference)):
            return False
    return True


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    return [band.getextrema() for band in image.split()]  # type: ignore[misc]


def _scans(data: bytes) -> tuple[bool, bool]:
    """Return whether the JPEG is progressive, and whether its scans give every bit of every band.

    A file that ends between two scans decodes without a fault, only less sharp.
    """
    components: dict[int, list[int]] = {}
    is_progressive = False
    at = 0
    while (found := MARKER.search(data, at)) is not None:
        code, at = found[1][0], found.end()
        if code in WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[at : at + 2])
        segment = data[at + 2 : at + length]
        at += length
        if code in FRAMES and len(segment) > 5:
            is_progressive = code in PROGRESSIVE
            # The lowest bit that is still missing of each of the 64 coefficients.
            components = {
                segment[6 + 3 * n]: [99] * 64 for n in range(segment[5]) if 6 + 3 * n < len(segment)
            }
        elif code == START_OF_SCAN and segment:
            _take_scan(components, segment, is_progressive)
    return is_progressive, bool(components) and not any(any(left) for left in components.values())


def _take_scan(components: dict[int, list[int]], segment: bytes, is_progressive: bool) -> None:
    # ITU-T T.81, B.2.3: count, two bytes for each component, first and last coefficient, bits.
    count = segment[0]
    tail = segment[1 + 2 * count : 4 + 2 * count]
    if len(tail) < 3:
        return
    first, last, low = (tail[0], tail[1], tail[2] & 0x0F) if is_progressive else (0, 63, 0)
    for selector in segment[1 : 1 + 2 * count : 2]:
        for coefficient in range(first, min(last, 63) + 1) if selector in components else ():
            components[selector][coefficient] = low
