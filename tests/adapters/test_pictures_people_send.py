"""Pictures as browsers and Pillow show them: end marks, first frames, colours, formats, hidden texts."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mirada.adapters.image_decoder import animation, colour_spaces, frames, pixels, stealth
from mirada.adapters.image_decoder.sandbox import SandboxedDecoder
from mirada.config import PROJECT_ROOT
from mirada.kernel.errors import CorruptImage, ImageTooLarge, MiradaError, UnsupportedImage
from mirada.kernel.images import ImageFormat
from mirada.kernel.picture_formats import MEDIA_TYPE_ALIASES, SUFFIXES, sniff
from testing import heic
from testing.pictures import picture
from testing.pictures import pixels as drawn

FILES = heic.FILES
Write = Callable[[bytes], Path]
RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 180, 40), (40, 60, 200), (220, 200, 40)


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    decoder = SandboxedDecoder(pool_size=1)
    yield decoder
    decoder.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(data: bytes) -> Path:
        path = tmp_path / "picture"
        path.write_bytes(data)
        return path

    return write


def saved(image: Image.Image, fmt: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(
    size: tuple[int, int], depth: int, colour_type: int, rows: bytes, *before: bytes
) -> bytes:
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    marks = b"".join(chunk(part[:4], part[4:]) for part in before)
    body = marks + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def near(seen: object, wanted: object, within: int = 6) -> bool:
    difference = np.asarray(seen).astype(int) - np.asarray(wanted).astype(int)
    return bool(np.abs(difference).max() <= within)


# End marks


@pytest.mark.parametrize(
    "name",
    [
        "gif_no_trailer.gif",
        "gif_zero_before_trailer.gif",
        "gif_animated_no_trailer.gif",
        "jpeg_no_eoi.jpg",
    ],
)
def test_a_whole_picture_without_its_end_mark_is_taken(
    decoder: SandboxedDecoder, name: str
) -> None:
    path = FILES / name
    facts = decoder.inspect(path)
    assert (facts.width, facts.height) == (96, 64)
    assert facts.frame_count == (2 if "animated" in name else 1)
    shown = decoder.decode(path, 1000)
    assert shown.shape == (64, 96, 3)
    assert near(shown[0, 0], (220, 40, 40))
    assert near(shown[-1, -1], (40, 220, 220)) or len(np.unique(shown[-8:])) > 1
    assert Image.open(io.BytesIO(decoder.thumbnail(path, 50))).size == (50, 33)


JPEG_KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "baseline": ("RGB", {}),
    "optimised": ("RGB", {"optimize": True}),
    "progressive": ("RGB", {"progressive": True}),
    "grey": ("L", {}),
    "CMYK": ("CMYK", {}),
    "restarts": ("RGB", {"restart_marker_blocks": 3}),
    "progressive restarts": ("RGB", {"restart_marker_blocks": 3, "progressive": True}),
    "4:4:4": ("RGB", {"subsampling": 0}),
}


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_the_border_between_a_whole_jpeg_and_half_of_one(
    decoder: SandboxedDecoder, write: Write, kind: str
) -> None:
    mode, options = JPEG_KINDS[kind]
    data = saved(drawn(7, (120, 90)).convert(mode), "JPEG", **options)
    whole = decoder.decode(write(data), 1000)
    cuts = [*range(24), *range(24, len(data) - 3, max(1, len(data) // 40))]
    taken = [cut for cut in cuts if _is_taken(decoder, write(data[: len(data) - cut]))]
    # The two bytes of the end mark may be missing, and no byte of the picture.
    assert taken == [0, 1, 2]
    assert (decoder.decode(write(data[:-2]), 1000) == whole).all()


def test_a_progressive_jpeg_that_ends_between_two_scans_is_half_a_picture(
    decoder: SandboxedDecoder, write: Write
) -> None:
    data = saved(drawn(7, (120, 90)), "JPEG", progressive=True)
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(starts) > 4
    for start in starts[1:]:
        # Tables come before a scan; they are cut off too.
        at = data.rfind(b"\xff\xc4", starts[0], start)
        ends = [start] + ([at] if at > max(s for s in starts if s < start) else [])
        for end in ends:
            with pytest.raises(CorruptImage):
                decoder.inspect(write(data[:end]))


@pytest.mark.parametrize(
    ("fmt", "frames", "borders"),
    [
        # The end chunk of twelve bytes; the trailer, and the empty block before it.
        ("PNG", 1, range(13)),
        ("PNG", 3, range(13)),
        ("GIF", 1, range(3)),
        ("GIF", 3, range(2)),
        ("WEBP", 1, range(1)),
        ("AVIF", 1, range(1)),
        ("TIFF", 1, range(1)),
        ("BMP", 1, range(1)),
    ],
)
def test_the_border_of_every_other_format(
    decoder: SandboxedDecoder, write: Write, fmt: str, frames: int, borders: range
) -> None:
    data = picture(7, fmt, (60, 45), frames=frames)
    cuts = [*range(20), *range(20, len(data) - 13, max(1, len(data) // 30))]
    taken = [cut for cut in cuts if _is_taken(decoder, write(data[: len(data) - cut]))]
    assert taken == list(borders)


def _is_taken(decoder: SandboxedDecoder, path: Path) -> bool:
    outcomes = set()
    for read in (decoder.inspect, lambda path: decoder.decode(path, 9)):
        try:
            read(path)
            outcomes.add(True)
        except CorruptImage:
            outcomes.add(False)
    assert len(outcomes) == 1
    return outcomes.pop()


def test_a_png_of_several_data_chunks_cut_between_them_is_half_a_picture(
    decoder: SandboxedDecoder, write: Write
) -> None:
    data = picture(7, "PNG", (90, 70))
    at = data.index(b"IDAT") - 4
    length = int.from_bytes(data[at : at + 4])
    packed = data[at + 8 : at + 8 + length]
    pieces = [packed[n : n + 300] for n in range(0, length, 300)]
    assert len(pieces) > 3
    chunks = [chunk(b"IDAT", piece) for piece in pieces]
    for count in range(1, len(pieces) + 1):
        path = write(data[:at] + b"".join(chunks[:count]))
        assert _is_taken(decoder, path) == (count == len(pieces))


def test_a_gif_with_foreign_bytes_behind_its_frames_is_taken_and_before_them_not(
    decoder: SandboxedDecoder, write: Write
) -> None:
    data = picture(7, "GIF")
    assert decoder.inspect(write(data[:-1] + b"\x77\x99junk")).width == 64
    assert decoder.inspect(write(data[:-1] + b"\0\0\0;")).width == 64
    at = data.index(b",", 13 + 3 * 256)
    with pytest.raises(CorruptImage):
        decoder.inspect(write(data[:at] + b"\x77" + data[at:]))


def test_a_gif_that_ends_before_the_frame_it_announces_is_half_an_animation(
    decoder: SandboxedDecoder, write: Write
) -> None:
    data = picture(7, "GIF", frames=3)
    starts = [at for at in range(13, len(data)) if data[at : at + 3] == b"!\xf9\x04"]
    with pytest.raises(CorruptImage):
        decoder.inspect(write(data[: starts[2] + 8]))


# The first frame with something on it


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_shows_its_first_frame_with_something_on_it(
    decoder: SandboxedDecoder, suffix: str
) -> None:
    path = FILES / f"blank_first_a.{suffix}"
    shown = decoder.decode(path, 1000)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 1
    thumbnail = Image.open(io.BytesIO(decoder.thumbnail(path, 96))).convert("RGBA")
    assert thumbnail.getextrema()[3] != (0, 0)


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("empty", [(0, 0, 0, 0), (255, 255, 255, 255), (0, 0, 0, 255)])
def test_two_animations_with_the_same_empty_beginning_differ(
    decoder: SandboxedDecoder, write: Write, fmt: str, empty: tuple[int, ...]
) -> None:
    shown = []
    for seed in (1, 2):
        frames = [Image.new("RGBA", (64, 48), empty) for _ in range(4)] + [
            drawn(seed).convert("RGBA")
        ]
        for number, frame in enumerate(frames[:4]):
            # Equal frames would be merged by the writer.
            frame.putpixel((number, 0), (*empty[:3], max(0, empty[3] - 3)))
        data = saved(frames[0], fmt, save_all=True, append_images=frames[1:], duration=50)
        assert decoder.inspect(write(data)).frame_count == 2
        shown.append(decoder.decode(write(data), 1000).astype(int))
    assert np.abs(shown[0] - np.asarray(drawn(1))).mean() < 12
    assert np.abs(shown[0] - shown[1]).mean() > 20


def test_an_animation_of_empty_frames_and_a_still_empty_picture_show_their_first(
    decoder: SandboxedDecoder, write: Write
) -> None:
    frames = [Image.new("RGB", (32, 32), (n, n, n)) for n in (0, 90, 180)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert near(decoder.decode(write(data), 100), 0, 1)
    assert near(decoder.decode(write(saved(frames[1])), 100), 90, 0)


def test_a_broken_frame_behind_an_empty_first_is_no_reason_to_refuse(
    decoder: SandboxedDecoder, write: Write
) -> None:
    frames = [Image.new("RGBA", (64, 48)), drawn(1).convert("RGBA"), drawn(2).convert("RGBA")]
    data = bytearray(saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    at = data.index(b"fdAT")
    length = int.from_bytes(data[at - 4 : at])
    data[at + 30 : at + 40] = b"\xff" * 10
    crc = zlib.crc32(bytes(data[at : at + 4 + length]))
    data[at + 4 + length : at + 8 + length] = struct.pack(">I", crc)
    assert decoder.decode(write(bytes(data)), 100).shape == (48, 64, 3)


def test_the_search_for_a_frame_ends(decoder: SandboxedDecoder, write: Write) -> None:
    # 5,000 empty frames of 2,000 x 2,000 pixels would take minutes.
    frame = saved(Image.new("P", (2000, 2000)), "GIF")
    at = frame.index(b",", 13)
    data = frame[:at] + frame[at:-1] * 5_000 + b";"
    assert len(data) < 60_000_000
    assert near(decoder.decode(write(data), 100), 0, 0)


# Colours


@pytest.mark.parametrize(
    "name", ["icc_linear_named_srgb.png", "icc_linear_other_name.png", "png_gama_linear.png"]
)
def test_colours_are_what_the_file_says_whatever_its_profile_is_called(
    decoder: SandboxedDecoder, name: str
) -> None:
    # 55 of 255 as light is 128 of 255 in sRGB.
    assert near(decoder.decode(FILES / name, 100), 128, 1)
    thumbnail = Image.open(io.BytesIO(decoder.thumbnail(FILES / name, 50))).convert("RGB")
    assert near(np.asarray(thumbnail), 128, 2)


def _grey_ramp(*before: bytes, colour_type: int = 2) -> bytes:
    row = b"\0" + bytes(
        value for value in (0, 55, 128, 255) for _ in range(3 if colour_type else 1)
    )
    return png_of((4, 1), 8, colour_type, row, *before)


SRGB_RAMP = [0, 55, 128, 255]
LINEAR_RAMP = [0, 128, 188, 255]
D65 = (31270, 32900)
SRGB_CHROMA = struct.pack(">8I", *D65, 64000, 33000, 30000, 60000, 15000, 6000)


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ((b"gAMA" + struct.pack(">I", 100_000),), LINEAR_RAMP),
        ((b"gAMA" + struct.pack(">I", 45_455),), SRGB_RAMP),
        ((b"gAMA" + struct.pack(">I", 45_455), b"cHRM" + SRGB_CHROMA), SRGB_RAMP),
        # sRGB and cICP come before gAMA.
        ((b"sRGB\0", b"gAMA" + struct.pack(">I", 100_000)), SRGB_RAMP),
        ((b"cICP\x01\x08\0\x01", b"sRGB\0"), LINEAR_RAMP),
        ((b"cICP\x01\x0d\0\x01", b"gAMA" + struct.pack(">I", 100_000)), SRGB_RAMP),
        # Nonsense counts as absent.
        ((b"gAMA" + bytes(4),), SRGB_RAMP),
        ((b"gAMA" + b"\xff" * 4,), SRGB_RAMP),
        ((b"gAMA\0",), SRGB_RAMP),
        ((b"cHRM" + bytes(32),), SRGB_RAMP),
        ((b"cHRM" + b"\xff" * 32, b"gAMA" + struct.pack(">I", 100_000)), LINEAR_RAMP),
        ((b"cICP\xff\xff\0\x01",), SRGB_RAMP),
        ((b"cICP\x01\x08\x05\x01",), SRGB_RAMP),
    ],
)
@pytest.mark.parametrize("colour_type", [0, 2])
def test_a_png_says_its_colours_in_numbers(
    decoder: SandboxedDecoder,
    write: Write,
    before: tuple[bytes, ...],
    wanted: list[int],
    colour_type: int,
) -> None:
    seen = decoder.decode(write(_grey_ramp(*before, colour_type=colour_type)), 100)
    assert near(seen[0, :, 0], wanted, 1)
    assert near(seen[0, :, 2], wanted, 1)


def test_narrow_range_and_high_dynamic_range(decoder: SandboxedDecoder, write: Write) -> None:
    row = b"\0" + bytes(value for value in (0, 16, 126, 235, 255) for _ in range(3))
    narrow = decoder.decode(write(png_of((5, 1), 8, 2, row, b"cICP\x01\x0d\0\0")), 100)
    assert near(narrow[0, :, 1], [0, 0, 128, 255, 255], 1)
    for curve in (16, 18):
        cicp = b"cICP" + bytes([9, curve, 0, 1])
        levels = decoder.decode(write(png_of((5, 1), 8, 2, row, cicp)), 100)[0, :, 1].astype(int)
        assert levels[0] == 0
        assert levels[-1] == 255
        assert (np.diff(levels) >= 0).all()


def test_wide_primaries_in_numbers_and_in_a_profile_give_the_same_colours(
    decoder: SandboxedDecoder, write: Write
) -> None:
    row = b"\0" + bytes([200, 60, 30, 30, 200, 60])
    in_numbers = decoder.decode(write(png_of((2, 1), 8, 2, row, b"cICP\x0c\x0d\0\x01")), 100)
    profile = colour_spaces.of_codes(12, 13)
    assert profile is not None
    image = Image.frombytes("RGB", (2, 1), row[1:])
    in_profile = decoder.decode(write(saved(image, "PNG", icc_profile=profile)), 100)
    assert near(in_numbers, in_profile, 1)
    # Display P3's numbers become stronger in sRGB: red 200 of P3 is 217 of sRGB.
    assert in_numbers[0, 0, 0] > 210
    assert in_numbers[0, 1, 1] > 200


def test_a_profile_that_only_calls_itself_otherwise_changes_nothing(
    decoder: SandboxedDecoder, write: Write
) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = srgb.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    assert renamed != srgb
    image = drawn(2)
    for profile in (srgb, renamed):
        seen = decoder.decode(write(saved(image, "PNG", icc_profile=profile)), 1000)
        assert (seen == np.asarray(image)).all()


def test_the_colour_of_transparent_parts_is_white_in_every_profile(
    decoder: SandboxedDecoder, write: Write
) -> None:
    image = Image.new("RGBA", (2, 1), (55, 55, 55, 255))
    image.putpixel((1, 0), (55, 55, 55, 0))
    profile = colour_spaces.of_codes(1, 8)
    seen = decoder.decode(write(saved(image, "PNG", icc_profile=profile)), 100)
    assert near(seen[0], [[128] * 3, [255] * 3], 1)


# One transparent colour


def _keyed_rows(depth: int, colour_type: int) -> tuple[bytes, bytes]:
    """Return rows of four pixels of which the second has the transparent colour, and the colour."""
    bands = 1 if colour_type == 0 else 3
    if depth == 16:
        # The third differs in its lowest byte alone.
        values = [0x9C40, 0x1234, 0x1235, 0xFFFF]
        return b"\0" + b"".join(struct.pack(">H", v) * bands for v in values), struct.pack(
            ">H", 0x1234
        ) * bands
    top = (1 << depth) - 1
    values = [top, top // 2, top // 2 + 1, 0] if depth > 1 else [1, 0, 1, 1]
    if depth == 8:
        return b"\0" + b"".join(bytes([v]) * bands for v in values), struct.pack(
            ">H", values[1]
        ) * bands
    packed = sum(v << (8 * -(-4 * depth // 8) - depth * (n + 1)) for n, v in enumerate(values))
    # Bits above the depth are to be ignored.
    return b"\0" + packed.to_bytes(-(-4 * depth // 8)), struct.pack(">H", values[1] | 0x4000)


@pytest.mark.parametrize(
    ("depth", "colour_type"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2)]
)
def test_one_transparent_colour_of_every_depth(
    decoder: SandboxedDecoder, write: Write, depth: int, colour_type: int
) -> None:
    rows, key = _keyed_rows(depth, colour_type)
    path = write(png_of((4, 1), depth, colour_type, rows, b"tRNS" + key))
    thumbnail = Image.open(io.BytesIO(decoder.thumbnail(path, 4))).convert("RGBA")
    assert list(thumbnail.getchannel("A").tobytes()) == [255, 0, 255, 255]
    plain = decoder.decode(write(png_of((4, 1), depth, colour_type, rows)), 100)
    seen = decoder.decode(write(png_of((4, 1), depth, colour_type, rows, b"tRNS" + key)), 100)
    assert seen[0, 1].tolist() == [255, 255, 255]
    others = [0, 2, 3]
    assert (seen[0, others] == plain[0, others]).all()


@pytest.mark.parametrize("name", ["grey16_trns.png", "grey8_trns.png"])
def test_a_grey_picture_with_a_transparent_colour_lies_on_white(
    decoder: SandboxedDecoder, name: str
) -> None:
    seen = decoder.decode(FILES / name, 1000)
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert 100 < seen.min() < 210


# Formats


@pytest.mark.parametrize("fmt", ["AVIF", "TIFF", "BMP"])
def test_further_formats_are_recognised_by_their_bytes(
    decoder: SandboxedDecoder, write: Write, fmt: str
) -> None:
    path = write(picture(3, fmt, (61, 47)))
    facts = decoder.inspect(path)
    assert (facts.format, facts.width, facts.height, facts.frame_count) == (fmt, 61, 47, 1)
    seen = decoder.decode(path, 1000)
    assert np.abs(seen.astype(int) - np.asarray(drawn(3, (61, 47)))).mean() < 8
    assert Image.open(io.BytesIO(decoder.thumbnail(path, 30))).size == (30, 23)


@pytest.mark.parametrize("fmt", ["AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(
    decoder: SandboxedDecoder, write: Write, fmt: str, orientation: int
) -> None:
    plain = decoder.decode(write(picture(1, "PNG", (64, 48), orientation=orientation)), 1000)
    path = write(picture(1, fmt, (64, 48), orientation=orientation))
    seen, facts = decoder.decode(path, 1000), decoder.inspect(path)
    assert seen.shape == plain.shape == (facts.height, facts.width, 3)
    assert np.abs(seen.astype(int) - plain).mean() < 8
    thumbnail = Image.open(io.BytesIO(decoder.thumbnail(path, 64)))
    assert thumbnail.size == (facts.width, facts.height)


def test_an_avif_says_its_colours_in_numbers(decoder: SandboxedDecoder, write: Write) -> None:
    image = Image.new("RGB", (64, 64), (55, 55, 55))
    data = saved(image, "AVIF", quality=100, subsampling="4:4:4")
    at = data.index(b"nclx") + 4
    # The curve of linear light in place of sRGB's.
    linear = data[: at + 2] + b"\0\x08" + data[at + 4 :]
    assert near(decoder.decode(write(data), 100), 55, 2)
    assert near(decoder.decode(write(linear), 100), 128, 3)


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16"]
)
def test_every_kind_of_tiff_becomes_rgb(decoder: SandboxedDecoder, write: Write, mode: str) -> None:
    if mode == "I;16":
        image = drawn(2).convert("L").convert("I").point(lambda v: v * 257).convert("I;16")
    elif mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(
            drawn(2), ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
        )
        assert converted is not None
        image = converted
    else:
        image = drawn(2).convert(mode)
    for compression in (None, "tiff_lzw"):
        options = {} if compression is None else {"compression": compression}
        seen = decoder.decode(write(saved(image, "TIFF", **options)), 1000)
        grey = mode in ("1", "L", "LA", "I;16")
        wanted = np.asarray(
            drawn(2).convert("1" if mode == "1" else "L" if grey else "RGB").convert("RGB")
        )
        limit = 20 if mode in ("P", "CMYK") else 6
        assert np.abs(seen.astype(int) - wanted).mean() < limit, compression


def test_a_tiff_of_numbers_is_refused_in_a_sentence(
    decoder: SandboxedDecoder, write: Write
) -> None:
    for mode in ("F", "I"):
        with pytest.raises(UnsupportedImage, match="numbers of 32 bits"):
            decoder.inspect(write(saved(drawn(1).convert("L").convert(mode), "TIFF")))


def test_of_a_tiff_of_several_pages_the_first_is_taken(
    decoder: SandboxedDecoder, write: Write
) -> None:
    pages = [drawn(seed) for seed in (1, 2)]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert decoder.inspect(write(data)).frame_count == 1
    assert (decoder.decode(write(data), 1000) == np.asarray(pages[0])).all()
    empty = Image.new("RGB", (64, 48), (255, 255, 255))
    data = saved(empty, "TIFF", save_all=True, append_images=pages)
    assert near(decoder.decode(write(data), 1000), 255, 0)


def test_an_animated_avif_counts_as_one(decoder: SandboxedDecoder, write: Write) -> None:
    assert decoder.inspect(write(picture(3, "AVIF", frames=3))).frame_count == 2


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"\0\0\0\x14ftypavif\0\0\0\0mif1", ImageFormat.AVIF),
        (b"\0\0\0\x14ftypmif1\0\0\0\0avif", ImageFormat.AVIF),
        (b"\0\0\0\x14ftypmif1\0\0\0\0heic", ImageFormat.HEIC),
        (b"\0\0\0\x14ftypheix\0\0\0\0mif1", ImageFormat.HEIC),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", None),
        (b"\0\0\0\x10ftypqt  \0\0\0\0heic", None),
        (b"MM\0*\0\0\0\x08", ImageFormat.TIFF),
        (b"II+\0\x08\0\0\0", ImageFormat.TIFF),
        (b"BM" + bytes(12) + b"\x28\0\0\0", ImageFormat.BMP),
        (b"BMW is a maker of cars, in Munich", None),
        (b"II is a number of Rome", None),
    ],
)
def test_formats_by_their_first_bytes(head: bytes, found: ImageFormat | None) -> None:
    assert sniff(head) is found


def test_the_page_about_pictures_names_every_type_suffix_and_bound() -> None:
    page = (PROJECT_ROOT / "docs" / "pictures.md").read_text()
    names = [alias.removeprefix("image/") for alias in MEDIA_TYPE_ALIASES]
    assert [name for name in names if name not in page] == []
    table = page.split("## What is refused")[0].split()
    assert set(table) >= SUFFIXES
    for fmt in ImageFormat:
        assert fmt.media_type in page
    for bound in (
        f"Up to {frames.MAX_FRAMES} frames, {frames.MAX_FRAME_PIXELS // 10**6} million pixels",
        f"at most {animation.MAX_FRAMES} frames, {animation.MAX_COPY_PIXELS // 10**6} million",
        f"{animation.MAX_BYTES // 1024**2} MB, and takes at most {animation.MAX_CPU_S:.0f} s",
        f"at most {animation.MAX_SIDE_PX:,} pixels",
    ):
        assert bound in page, bound


@pytest.mark.parametrize("fmt", ["AVIF", "TIFF", "BMP"])
def test_too_large_a_picture_of_a_further_format_is_refused_by_its_header(
    decoder: SandboxedDecoder, write: Write, fmt: str
) -> None:
    if fmt == "AVIF":
        data = bytearray(picture(1, "AVIF"))
        at = data.index(b"ispe") + 8
        data[at : at + 8] = struct.pack(">II", 16_000, 16_000)
    else:
        data = bytearray(saved(Image.new("1", (16_400, 8)), fmt))
    with pytest.raises((ImageTooLarge, CorruptImage)) as refused:
        decoder.inspect(write(bytes(data)))
    assert fmt == "AVIF" or refused.type is ImageTooLarge


# HEIC


def test_a_heic_is_decoded(decoder: SandboxedDecoder) -> None:
    path = FILES / "heic_part_0.heic"
    facts = decoder.inspect(path)
    assert (facts.format, facts.width, facts.height, facts.frame_count) == ("HEIC", 64, 64, 1)
    seen = decoder.decode(path, 1000)
    assert near(seen[40, 40], RED)
    assert near(seen[12, 16], (255, 255, 255))
    assert Image.open(io.BytesIO(decoder.thumbnail(path, 32))).size == (32, 32)


def test_the_orientation_in_a_heics_exif_is_not_applied(decoder: SandboxedDecoder) -> None:
    # Telephones write it beside the container's own mark, which alone counts.
    facts = decoder.inspect(FILES / "heic_exif_turned.heic")
    assert (facts.width, facts.height) == (96, 64)


def test_a_grid_is_put_together(decoder: SandboxedDecoder, write: Write) -> None:
    path = write(heic.built(heic.grid(2, 2, (120, 100))))
    assert (decoder.inspect(path).width, decoder.inspect(path).height) == (120, 100)
    seen = decoder.decode(path, 1000)
    assert seen.shape == (100, 120, 3)
    corners = [seen[40, 40], seen[40, 110], seen[90, 40], seen[90, 110]]
    assert near(corners, [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize(
    ("properties", "corners"),
    [
        ([(b"irot", b"\0")], [RED, GREEN, BLUE, YELLOW]),
        # Against the clock.
        ([(b"irot", b"\x01")], [GREEN, YELLOW, RED, BLUE]),
        ([(b"irot", b"\x02")], [YELLOW, BLUE, GREEN, RED]),
        ([(b"irot", b"\x03")], [BLUE, RED, YELLOW, GREEN]),
        ([(b"imir", b"\x01")], [GREEN, RED, YELLOW, BLUE]),
        ([(b"imir", b"\0")], [BLUE, YELLOW, RED, GREEN]),
        ([(b"irot", b"\x01"), (b"imir", b"\x01")], [YELLOW, GREEN, BLUE, RED]),
    ],
)
def test_a_heic_is_turned_and_mirrored_as_it_says(
    decoder: SandboxedDecoder,
    write: Write,
    properties: list[tuple[bytes, bytes]],
    corners: list[tuple[int, int, int]],
) -> None:
    path = write(heic.built(heic.grid(2, 2, (128, 110), *properties)))
    seen = decoder.decode(path, 1000)
    facts = decoder.inspect(path)
    is_turned = properties[0] in ((b"irot", b"\x01"), (b"irot", b"\x03"))
    assert (facts.width, facts.height) == ((110, 128) if is_turned else (128, 110))
    height, width = seen.shape[:2]
    found = [seen[y, x] for y in (22, height - 20) for x in (20, width - 20)]
    assert near(found, corners, 8)


def test_a_heic_is_cropped_and_transparent_as_it_says(
    decoder: SandboxedDecoder, write: Write
) -> None:
    clap = struct.pack(">8i", 60, 1, 40, 1, 0, 1, 0, 1)
    seen = decoder.decode(write(heic.built(heic.grid(2, 2, (128, 128), (b"clap", clap)))), 1000)
    assert seen.shape == (40, 60, 3)
    main, alpha = heic.coded("heic_part_0.heic"), heic.coded("heic_alpha_part.heic")
    alpha.properties.append((b"auxC", heic.ALPHA))
    alpha.references.append((b"auxl", [1]))
    path = write(heic.built([main, alpha]))
    shown = decoder.decode(path, 1000)
    assert near(shown[20, 40], RED)
    assert near(shown[50, 40], (255, 255, 255))
    assert Image.open(io.BytesIO(decoder.thumbnail(path, 64))).mode == "RGBA"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (heic.built([heic.Entry(b"iden", b"", [heic.extent(64, 64)])]), UnsupportedImage),
        (heic.built([heic.Entry(b"unci", b"", [heic.extent(64, 64)])]), UnsupportedImage),
        (heic.built([heic.Entry(b"av01", b"", [heic.extent(64, 64)])]), UnsupportedImage),
        (heic.built([heic.Entry(b"iovl", b"", [heic.extent(64, 64)])]), UnsupportedImage),
        (heic.box(b"ftyp", b"hevc", bytes(4), b"hevc") + heic.box(b"moov"), UnsupportedImage),
        (heic.built(heic.parts(), primary=9), CorruptImage),
        (heic.built(heic.grid(2, 2, (300, 100))), CorruptImage),
        (heic.built(heic.grid(2, 2, (0, 100))), CorruptImage),
        (heic.built(heic.grid(2, 2, (16_385, 10))), ImageTooLarge),
        (heic.built(heic.grid(2, 2, (9_000, 9_000))), ImageTooLarge),
        (heic.built(heic.grid(2, 2, (128, 128))[:3]), CorruptImage),
        (heic.built([heic.Entry(b"hvc1", b"\0" * 50, [heic.extent(64, 64)])]), CorruptImage),
    ],
)
def test_a_heic_that_is_not_read_is_refused(
    decoder: SandboxedDecoder, write: Write, data: bytes, error: type[MiradaError]
) -> None:
    with pytest.raises(error) as refused:
        decoder.inspect(write(data))
    assert refused.type is error
    assert refused.value.detail.endswith((".", ")"))


def test_a_grid_of_itself_and_a_part_of_another_size_are_refused(
    decoder: SandboxedDecoder, write: Write
) -> None:
    own = heic.grid(2, 2, (128, 128))
    own[0].references = [(b"dimg", [1, 1, 1, 1])]
    lying = heic.parts()[:1]
    lying[0].properties = [(k, c) for k, c in lying[0].properties if k != b"ispe"]
    lying[0].properties.append(heic.extent(640, 640))
    for entries in (own, lying):
        with pytest.raises(CorruptImage):
            decoder.inspect(write(heic.built(entries)))


def test_a_heic_cut_anywhere_is_refused(decoder: SandboxedDecoder, write: Write) -> None:
    data = heic.built(heic.grid(2, 2, (128, 128)))
    for length in range(12, len(data), max(1, len(data) // 40)):
        with pytest.raises((CorruptImage, UnsupportedImage)):
            decoder.inspect(write(data[:length]))


# Hidden texts


def hidden(text: bytes, signature: bytes, size: tuple[int, int] = (128, 96)) -> Image.Image:
    """Return a picture with a text in its lowest bits, down the columns."""
    data = signature + struct.pack(">I", 8 * len(text)) + text
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    image = np.asarray(drawn(4, size).convert("RGBA")).copy()
    columns = image.transpose(1, 0, 2).copy()
    if b"png" in signature:
        columns[:, :, 3] = 254
        flat = columns[:, :, 3].reshape(-1)
        flat[: len(bits)] = 254 | bits
        columns[:, :, 3] = flat.reshape(columns.shape[:2])
    else:
        flat = columns[:, :, :3].reshape(-1)
        flat[: len(bits)] = (flat[: len(bits)] & 0xFE) | bits
        columns[:, :, :3] = flat.reshape(*columns.shape[:2], 3)
    made = Image.fromarray(columns.transpose(1, 0, 2).copy())
    return made if b"png" in signature else made.convert("RGB")


WEBUI = "a hidden cat\nNegative prompt: dogs\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 5"


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        (b"stealth_pnginfo", WEBUI.encode()),
        (b"stealth_pngcomp", gzip.compress(WEBUI.encode(), mtime=0)),
        (b"stealth_rgbinfo", WEBUI.encode()),
        (b"stealth_rgbcomp", gzip.compress(WEBUI.encode(), mtime=0)),
    ],
)
@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_settings_hidden_in_the_pixels_are_read(
    decoder: SandboxedDecoder, write: Write, signature: bytes, text: bytes, fmt: str
) -> None:
    options = {"lossless": True, "exact": True} if fmt == "WEBP" else {}
    facts = decoder.inspect(write(saved(hidden(text, signature), fmt, **options)))
    assert facts.file_metadata is not None
    assert facts.file_metadata.prompt == "a hidden cat"
    assert facts.file_metadata.seed == "5"


def test_what_novelai_hides_is_read(decoder: SandboxedDecoder) -> None:
    found = decoder.inspect(FILES / "nai_stealth.png").file_metadata
    assert found is not None
    assert found.generator == "NovelAI"
    assert found.prompt == "stealth fox"


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        (b"stealth_pngcomp", b"no gzip at all"),
        (b"stealth_pngcomp", gzip.compress(b"a" * 200, mtime=0)[:20]),
        (b"stealth_pngcomp", gzip.compress(b"{" * 100_000, mtime=0)),
        (b"stealth_pnginfo", b"\xff\xfe\xfd" * 9),
        (b"stealth_pnginfo", b""),
    ],
)
def test_broken_hidden_texts_count_as_absent_or_as_texts(
    decoder: SandboxedDecoder, write: Write, signature: bytes, text: bytes
) -> None:
    assert decoder.inspect(write(saved(hidden(text, signature)))).width == 128


def test_a_hidden_bomb_is_unpacked_only_so_far() -> None:
    bomb = gzip.compress(b"a" * 400_000_000, 9)
    image = hidden(bomb, b"stealth_pngcomp", (2048, 1600))
    (text,) = stealth.texts(image).values()
    assert len(text) == stealth.MAX_TEXT_BYTES


def test_a_hidden_text_longer_than_the_picture_is_read_as_far_as_it_goes() -> None:
    image = hidden(b"a cat", b"stealth_pnginfo", (16, 16))
    flat = np.asarray(image).transpose(1, 0, 2).copy()
    bits = flat[:, :, 3].reshape(-1)
    bits[120:152] = 255
    flat[:, :, 3] = bits.reshape(flat.shape[:2])
    assert stealth.texts(Image.fromarray(flat.transpose(1, 0, 2).copy()))


def test_copies_for_others_hide_nothing(decoder: SandboxedDecoder, write: Write) -> None:
    for signature in (b"stealth_pnginfo", b"stealth_rgbinfo"):
        path = write(saved(hidden(WEBUI.encode(), signature)))
        for side in (4096, 320):
            copy = Image.open(io.BytesIO(decoder.thumbnail(path, side)))
            copy.load()
            assert copy.size == (128, 96)
            assert stealth.texts(copy) == {}
    # Whatever is hidden there, the lowest bit of a copy's opacity says nothing.
    clear = drawn(4).convert("RGBA")
    clear.putalpha(Image.effect_noise(clear.size, 100))
    copy = Image.open(io.BytesIO(decoder.thumbnail(write(saved(clear)), 4096)))
    levels = set(copy.getchannel("A").tobytes())
    assert len(levels) > 20
    assert all(level == 0 or level & 1 for level in levels)
    assert pixels.WITHOUT_LOWEST_BIT[255] == 255
