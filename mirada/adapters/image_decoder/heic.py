"""Decodes a HEIC. It runs in the child process.

Each coded part is given to the decoder alone, in a container that is written here. So the library never
meets the file's own boxes, where most of its known faults are. Grids, turning, cropping and transparency
are done by Pillow.
"""

from __future__ import annotations

import io
import math
import struct
from typing import Any

from PIL import Image

from mirada.adapters.image_decoder.boxes import Item, Malformed, Picture

MAX_PARTS = 1_024
"""Parts of a grid; a telephone's 48 megapixels are 192 parts of 512 pixels."""
ALPHA = (b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")
"""Names of an auxiliary picture with the opacity: ISO/IEC 23008-12, 7.5.2.1.1; 23091-2."""
XMP_TYPE = b"application/rdf+xml"
CODED = b"hvc1"
GRID = b"grid"
TURNS = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}
"""By the angle of `irot`, counted against the clock: ISO/IEC 23008-12, 6.5.10."""
FLIPS = {0: Image.Transpose.FLIP_TOP_BOTTOM, 1: Image.Transpose.FLIP_LEFT_RIGHT}
"""By the number in `imir`: ISO/IEC 23008-12, 6.5.12, as corrected by its amendment 2."""


class NotRead(Exception):
    """The picture is built in a way that is not read; the text says in which."""


def coded_size(picture: Picture) -> tuple[int, int]:
    """Return width and height before turning.

    Raises:
        Malformed, NotRead: it is broken, or no picture that is read here.
    """
    item = _primary(picture)
    return _grid(picture, item)[2:] if item.kind == GRID else _extent(item)


def decode(picture: Picture, max_pixels: int) -> Image.Image:
    """Return the picture upright, with its profile, EXIF and XMP in `info`.

    Args:
        picture: its items.
        max_pixels: the most that any coded part of it may have.

    Raises:
        Malformed, NotRead: it is broken, or no picture that is read here.
        OSError, ValueError: the coded bytes are broken.
    """
    item = _primary(picture)
    for each in picture.items.values():
        if each.kind == CODED and math.prod(_extent(each)) > max_pixels:
            raise Malformed
    image = _drawn(picture, item)
    for other in picture.items.values():
        if picture.primary in other.belongs_to and (other.property(b"auxC") or b"")[4:].startswith(
            ALPHA
        ):
            alpha = _drawn(picture, other).getchannel(0)
            image.putalpha(alpha if alpha.size == image.size else alpha.resize(image.size))
            break
    image = _turned(image, item)
    profile = _profile(item)
    if profile:
        image.info["icc_profile"] = profile
    for other in picture.items.values():
        if picture.primary not in other.belongs_to:
            continue
        if other.kind == b"Exif" and "exif" not in image.info:
            block = picture.bytes_of(other)
            image.info["exif"] = block[4 + int.from_bytes(block[:4]) :]
        elif other.content_type == XMP_TYPE and "xmp" not in image.info:
            image.info["xmp"] = picture.bytes_of(other)
    return image


def colour_codes(picture: Picture) -> tuple[int, int] | None:
    """Return primaries and curve of the picture by the codes of ITU-T H.273; None where it has none."""
    item = picture.items.get(picture.primary)
    if item is None:
        return None
    return next(
        (
            (int.from_bytes(content[4:6]), int.from_bytes(content[6:8]))
            for kind, content in item.properties
            if kind == b"colr" and content[:4] == b"nclx" and len(content) >= 8
        ),
        None,
    )


def _primary(picture: Picture) -> Item:
    item = picture.items.get(picture.primary)
    if item is None:
        raise Malformed
    if item.kind not in (CODED, GRID):
        raise NotRead(item.kind.decode("ascii", "replace"))
    return item


def _extent(item: Item) -> tuple[int, int]:
    ispe = item.property(b"ispe")
    if ispe is None or len(ispe) < 12:
        raise Malformed
    width, height = struct.unpack_from(">II", ispe, 4)
    if not width or not height:
        raise Malformed
    return width, height


def _grid(picture: Picture, item: Item) -> tuple[int, int, int, int]:
    """Return rows, columns, width and height of a grid: ISO/IEC 23008-12, 6.6.2.3."""
    data = picture.bytes_of(item)
    form = ">xxBBII" if data[1:2] and data[1] & 1 else ">xxBBHH"
    if len(data) < struct.calcsize(form):
        raise Malformed
    rows, columns, width, height = struct.unpack_from(form, data)
    if (rows + 1) * (columns + 1) != len(item.parts) or len(item.parts) > MAX_PARTS:
        raise Malformed
    if not width or not height:
        raise Malformed
    return rows + 1, columns + 1, width, height


def _drawn(picture: Picture, item: Item) -> Image.Image:
    """Return the pixels of a coded item, or of a grid of them, not turned yet."""
    if item.kind == CODED:
        return _decoded(picture, item, item)
    if item.kind != GRID:
        raise NotRead(item.kind.decode("ascii", "replace"))
    rows, columns, width, height = _grid(picture, item)
    parts = [picture.items.get(number) for number in item.parts]
    whole: Image.Image | None = None
    for number, part in enumerate(parts):
        if part is None or part.kind != CODED:
            raise Malformed
        across, down = _extent(part)
        if (
            across * columns < width
            or down * rows < height
            or across >= 2 * width
            or down >= 2 * height
        ):
            raise Malformed
        drawn = _decoded(picture, part, item)
        whole = whole or Image.new("RGB", (width, height))
        whole.paste(drawn, (across * (number % columns), down * (number // columns)))
    assert whole is not None
    return whole


def _decoded(picture: Picture, part: Item, whole: Item) -> Image.Image:
    # Imported when it is needed, because few pictures need it.
    from pi_heif import open_heif, options

    # Each thread would take its own share of the memory that the process may have.
    options.DECODE_THREADS = 1
    width, height = _extent(part)
    nclx = [
        c for k, c in (*part.properties, *whole.properties) if k == b"colr" and c[:4] == b"nclx"
    ]
    configuration = part.property(b"hvcC")
    if configuration is None:
        raise Malformed
    alone = _container(
        configuration, width, height, nclx[0] if nclx else None, picture.bytes_of(part)
    )
    found: Any = open_heif(io.BytesIO(alone), convert_hdr_to_8bit=True)[0]
    if found.mode not in ("RGB", "L") or tuple(found.size) != (width, height):
        raise Malformed
    image = Image.frombuffer(
        found.mode, found.size, bytes(found.data), "raw", found.mode, found.stride, 1
    )
    return image.convert("RGB")


def _turned(image: Image.Image, item: Item) -> Image.Image:
    """Return the picture cropped, turned and mirrored as its properties say, in their order."""
    for kind, content in item.properties:
        if kind == b"irot" and content and content[0] & 3:
            image = image.transpose(TURNS[content[0] & 3])
        elif kind == b"imir" and content:
            image = image.transpose(FLIPS[content[0] & 1])
        elif kind == b"clap":
            image = image.crop(_aperture(content, *image.size))
    return image


def _aperture(content: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the part that is shown: ISO/IEC 14496-12, 12.1.4."""
    if len(content) < 32:
        raise Malformed
    numbers = struct.unpack_from(">8i", content)
    if any(below <= 0 for below in numbers[1::2]):
        raise Malformed
    across, down, right, lower = (a / b for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    left, top = round((width - across) / 2 + right), round((height - down) / 2 + lower)
    box = (left, top, left + round(across), top + round(down))
    if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise Malformed
    return box


def _profile(item: Item) -> bytes | None:
    found = (c[4:] for k, c in item.properties if k == b"colr" and c[:4] in (b"prof", b"rICC"))
    return next(found, None)


def _container(
    configuration: bytes, width: int, height: int, nclx: bytes | None, coded: bytes
) -> bytes:
    """Return a HEIC with one coded picture and nothing else."""

    def box(kind: bytes, *content: bytes) -> bytes:
        inside = b"".join(content)
        return struct.pack(">I4s", 8 + len(inside), kind) + inside

    properties = [box(b"hvcC", configuration), box(b"ispe", struct.pack(">III", 0, width, height))]
    properties += [box(b"colr", nclx)] if nclx else []
    # The first property is essential.
    links = bytes([0x81, *range(2, len(properties) + 1)])
    ipma = box(b"ipma", struct.pack(">IIHB", 0, 1, 1, len(links)), links)
    infe = box(b"infe", struct.pack(">IHH4sB", 0x02000000, 1, 0, CODED, 0))

    def meta(offset: int) -> bytes:
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", struct.pack(">II4s12xB", 0, 0, b"pict", 0)),
            box(b"pitm", struct.pack(">IH", 0, 1)),
            box(b"iloc", struct.pack(">IHHHHHII", 0, 0x4400, 1, 1, 0, 1, offset, len(coded))),
            box(b"iinf", struct.pack(">IH", 0, 1), infe),
            box(b"iprp", box(b"ipco", *properties), ipma),
        )

    brands = box(b"ftyp", b"heic", bytes(4), b"mif1", b"heic")
    return brands + meta(len(brands) + len(meta(0)) + 8) + box(b"mdat", coded)
