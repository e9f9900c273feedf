"""From a file to a vector, as the product does it: every kind of picture shows what it shows."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mirada.adapters.image_decoder.sandbox import SandboxedDecoder
from mirada.config import PROJECT_ROOT
from mirada.kernel.errors import CorruptImage
from mirada.kernel.images import RgbImage

EXIF_ORIENTATION = 0x0112
SOME = slice(0, 100, 8)
Write = Callable[[Image.Image], bytes]


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    decoder = SandboxedDecoder(pool_size=1)
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def stickers() -> list[Image.Image]:
    """A hundred of the demo's stickers, RGBA."""
    listed = json.loads((PROJECT_ROOT / "demo" / "stickers.json").read_text())["stickers"][::3]
    return [Image.open(PROJECT_ROOT / "demo" / one["file"]).convert("RGBA") for one in listed]


@pytest.fixture(scope="module")
def gallery(bundled_encoder: Any, stickers: list[Image.Image]) -> np.ndarray:
    """The vectors of all stickers, each laid on white."""
    vectors: np.ndarray = bundled_encoder.encode_images([np.asarray(on_white(s)) for s in stickers])
    return vectors


@pytest.fixture
def seen(decoder: SandboxedDecoder, bundled_encoder: Any, tmp_path: Path) -> Any:
    """Return the pixels that the product would encode for the bytes of a file."""

    def seen(data: bytes) -> RgbImage:
        path = tmp_path / "picture"
        path.write_bytes(data)
        return decoder.decode(path, 2 * bundled_encoder.input_side_px)

    return seen


def on_white(sticker: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", sticker.size, "white")
    return Image.alpha_composite(canvas, sticker).convert("RGB")


def saved(image: Image.Image, fmt: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def sixteen_bit(image: Image.Image) -> bytes:
    """Return a 16-bit PNG, grey or colour, written by hand because Pillow writes none in colour."""
    values = (np.asarray(image).astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    kind = 2 if values.ndim == 3 else 0

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", image.width, image.height, 16, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def animated(sticker: Image.Image, fmt: str) -> bytes:
    black = Image.new(sticker.mode, sticker.size, "black")
    return saved(sticker, fmt, save_all=True, append_images=[black], duration=80)


def lying(sticker: Image.Image) -> bytes:
    """Return a JPEG that was taken with the camera on its side, and says so."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    turned = on_white(sticker).transpose(Image.Transpose.ROTATE_90)
    return saved(turned, "JPEG", quality=92, exif=exif)


IN_COLOUR: dict[str, Write] = {
    "rgb": lambda sticker: saved(on_white(sticker)),
    "transparent": saved,
    "transparent webp": lambda sticker: saved(sticker, "WEBP", quality=90),
    "palette": lambda sticker: saved(on_white(sticker).quantize(64)),
    "transparent palette": lambda sticker: saved(sticker.quantize(64)),
    "gif": lambda sticker: saved(on_white(sticker).quantize(128), "GIF"),
    "cmyk": lambda sticker: saved(on_white(sticker).convert("CMYK"), "JPEG", quality=92),
    "16-bit": lambda sticker: sixteen_bit(on_white(sticker)),
    "animated gif": lambda sticker: animated(on_white(sticker), "GIF"),
    "animated webp": lambda sticker: animated(sticker, "WEBP"),
    "animated png": lambda sticker: animated(sticker, "PNG"),
    "lying on its side": lying,
}
IN_GREY: dict[str, Write] = {
    "grey": lambda sticker: saved(on_white(sticker).convert("L")),
    "grey jpeg": lambda sticker: saved(on_white(sticker).convert("L"), "JPEG", quality=92),
    "transparent grey": lambda sticker: saved(sticker.convert("LA")),
    "16-bit grey": lambda sticker: sixteen_bit(on_white(sticker).convert("L")),
    "black and white": lambda sticker: saved(on_white(sticker).convert("1")),
}


@pytest.mark.parametrize("kind", [*IN_COLOUR, *IN_GREY])
def test_a_sticker_is_near_its_original_however_it_is_stored(
    bundled_encoder: Any, stickers: list[Image.Image], gallery: np.ndarray, seen: Any, kind: str
) -> None:
    write = (IN_COLOUR | IN_GREY)[kind]
    vectors = bundled_encoder.encode_images([seen(write(sticker)) for sticker in stickers[SOME]])
    cosines = vectors @ gallery.T
    truth = np.arange(len(stickers))[SOME]
    own = cosines[np.arange(len(truth)), truth]
    first = cosines.argmax(axis=1) == truth
    if kind in IN_COLOUR:
        assert first.all()
        assert own.min() >= 0.97
    else:
        # Without its colours a sticker is another picture, but most are still nobody else's.
        assert first.mean() >= 0.75
        assert np.median(own) >= 0.8


def test_a_picture_of_one_pixel_is_a_picture_and_one_of_none_is_not(
    bundled_encoder: Any, seen: Any
) -> None:
    dot = seen(saved(Image.new("RGB", (1, 1), (200, 30, 30))))
    assert dot.shape == (1, 1, 3)
    vector = bundled_encoder.encode_images([dot])
    larger = bundled_encoder.encode_images([np.full((50, 50, 3), (200, 30, 30), dtype=np.uint8)])
    assert float((vector @ larger.T).item()) >= 0.999
    for width, height in ((0, 0), (0, 5), (5, 0)):
        nothing = bytearray(saved(Image.new("RGB", (1, 1))))
        nothing[16:24] = struct.pack(">II", width, height)
        nothing[29:33] = struct.pack(">I", zlib.crc32(bytes(nothing[12:29])))
        with pytest.raises(CorruptImage):
            seen(bytes(nothing))


@pytest.mark.photos
def test_photographs_go_through_and_stay_apart(
    bundled_encoder: Any, photos: list[Path], seen: Any
) -> None:
    assert len(photos) >= 50
    vectors = bundled_encoder.encode_images([seen(photo.read_bytes()) for photo in photos])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = vectors @ vectors.T - 2 * np.eye(len(photos))
    assert cosines.max() < 0.9999
