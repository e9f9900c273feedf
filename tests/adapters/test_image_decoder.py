"""The sandboxed decoder: every accepted kind of picture, every kind of trouble, real children."""

from __future__ import annotations

import io
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mirada.adapters.image_decoder.sandbox import SandboxedDecoder
from mirada.kernel.errors import (
    CorruptImage,
    ImageTooLarge,
    MiradaError,
    NotFound,
    Unavailable,
    UnsupportedImage,
)
from mirada.kernel.images import ImageFormat, PictureFacts
from testing.patience import PATIENCE_S, Stopwatch
from testing.pictures import picture, pixels

Write = Callable[[bytes], Path]
FORMATS = ["JPEG", "PNG", "WEBP", "GIF"]


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    decoder = SandboxedDecoder(pool_size=2)
    yield decoder
    decoder.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write bytes to a new file whose name says nothing."""

    def write(data: bytes) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        path.write_bytes(data)
        return path

    return write


def saved(image: Image.Image, fmt: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def png(width: int, height: int, bit_depth: int, colour_type: int, *chunks: bytes) -> bytes:
    """Write a PNG by hand: what Pillow does not write must be readable all the same."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    *before, data = chunks
    parts = b"".join(chunk(part[:4], part[4:]) for part in before)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + parts
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


# What is accepted


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_is_recognised_by_its_bytes(
    decoder: SandboxedDecoder, write: Write, fmt: str
) -> None:
    path = write(picture(3, fmt, (61, 47)))
    assert decoder.inspect(path) == PictureFacts(ImageFormat(fmt), 61, 47, 1)
    assert decoder.decode(path, 1000).shape == (47, 61, 3)


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "GIF"])
def test_an_animation_counts_as_more_than_one_frame_and_shows_its_first(
    decoder: SandboxedDecoder, write: Write, fmt: str
) -> None:
    path = write(picture(3, fmt, frames=3))
    assert decoder.inspect(path).frame_count == 2
    still = decoder.decode(write(picture(3, fmt)), 1000).astype(int)
    assert np.abs(decoder.decode(path, 1000).astype(int) - still).mean() < 8


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(
    decoder: SandboxedDecoder, write: Write, orientation: int, fmt: str
) -> None:
    path = write(picture(1, fmt, (64, 48), orientation=orientation))
    upright = decoder.decode(path, 1000)
    expected = (64, 48) if orientation < 5 else (48, 64)
    facts = decoder.inspect(path)
    assert (facts.width, facts.height) == expected == (upright.shape[1], upright.shape[0])
    plain = np.asarray(pixels(1, (64, 48))).astype(int)
    # What a viewer does for each value (EXIF 2.32), written as array operations.
    turned = {
        1: plain,
        2: plain[:, ::-1],
        3: plain[::-1, ::-1],
        4: plain[::-1],
        5: plain.transpose(1, 0, 2),
        6: np.rot90(plain, -1),
        7: plain[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(plain, 1),
    }[orientation]
    assert np.abs(upright.astype(int) - turned).mean() < 8


def test_transparency_is_laid_on_white(decoder: SandboxedDecoder, write: Write) -> None:
    half = Image.new("RGBA", (4, 2), (200, 0, 0, 128))
    half.putpixel((0, 0), (10, 20, 30, 0))
    half.putpixel((1, 0), (10, 20, 30, 255))
    seen = decoder.decode(write(saved(half)), 100)
    assert tuple(seen[0, 0]) == (255, 255, 255)
    assert tuple(seen[0, 1]) == (10, 20, 30)
    assert np.abs(seen[1, 0].astype(int) - (227, 127, 127)).max() <= 1


def test_greyscale_with_alpha_and_transparent_palettes_lie_on_white_too(
    decoder: SandboxedDecoder, write: Write
) -> None:
    grey = Image.new("LA", (2, 1), (40, 255))
    grey.putpixel((1, 0), (40, 0))
    assert decoder.decode(write(saved(grey)), 9).tolist() == [[[40] * 3, [255] * 3]]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([1, 2, 3, 9, 9, 9])
    palette.putpixel((1, 0), 1)
    for fmt in ("PNG", "GIF"):
        data = saved(palette, fmt, transparency=1)
        assert decoder.decode(write(data), 9).tolist() == [[[1, 2, 3], [255] * 3]], fmt


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_every_mode_a_png_can_have_becomes_rgb(
    decoder: SandboxedDecoder, write: Write, mode: str
) -> None:
    path = write(saved(pixels(2).convert(mode)))
    assert decoder.inspect(path).format is ImageFormat.PNG
    assert decoder.decode(path, 1000).shape == (48, 64, 3)
    assert Image.open(io.BytesIO(decoder.thumbnail(path, 32))).size == (32, 24)


def test_sixteen_bits_keep_their_high_byte(decoder: SandboxedDecoder, write: Write) -> None:
    rows = b"\0" + struct.pack(">4H", 0, 0x4010, 0x80FF, 0xFFFF)
    grey = decoder.decode(write(png(4, 1, 16, 0, rows)), 9)
    assert grey[0, :, 0].tolist() == [0, 0x40, 0x80, 0xFF]
    with_clear = png(4, 1, 16, 0, b"tRNS" + struct.pack(">H", 0x4010), rows)
    assert decoder.decode(write(with_clear), 9).shape == (1, 4, 3)
    colour = b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0xFFFF, 0, 0x8000)
    assert decoder.decode(write(png(2, 1, 16, 2, colour)), 9).tolist() == [
        [[0x12, 0x56, 0x9A], [0xFF, 0, 0x80]]
    ]
    clear_colour = png(2, 1, 16, 2, b"tRNS" + struct.pack(">3H", 0x1234, 0x5678, 0x9ABC), colour)
    assert decoder.decode(write(clear_colour), 9).shape == (1, 2, 3)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_become_rgb(decoder: SandboxedDecoder, write: Write, mode: str) -> None:
    seen = decoder.decode(write(saved(pixels(2).convert(mode), "JPEG", quality=95)), 1000)
    wanted = np.asarray(pixels(2).convert(mode).convert("RGB")).astype(int)
    assert np.abs(seen.astype(int) - wanted).mean() < 4


def test_a_profile_is_turned_into_srgb_and_a_broken_one_is_ignored(
    decoder: SandboxedDecoder, write: Write
) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = np.asarray(pixels(2))
    for profile in (lab, srgb, b"not a profile", b"\0" * 5000):
        seen = decoder.decode(write(saved(pixels(2), "PNG", icc_profile=profile)), 1000)
        assert seen.shape == plain.shape
        assert (seen == plain).all()


def test_a_wide_gamut_picture_changes_its_numbers(decoder: SandboxedDecoder, write: Write) -> None:
    # A matrix profile whose red is sRGB's green: made of the sRGB profile with two tags exchanged.
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = {
        bytes(srgb[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n
        for n in range(struct.unpack(">I", srgb[128:132])[0])
    }
    srgb[at[b"rXYZ"] : at[b"rXYZ"] + 4], srgb[at[b"gXYZ"] : at[b"gXYZ"] + 4] = b"gXYZ", b"rXYZ"
    swapped = bytes(srgb).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    swapped = swapped.replace(b"sRGB", b"swap")
    data = saved(Image.new("RGB", (8, 8), (255, 0, 0)), "PNG", icc_profile=swapped)
    assert np.abs(decoder.decode(write(data), 9)[0, 0].astype(int) - (0, 255, 0)).max() <= 3


def test_a_picture_shrinks_but_never_below_what_was_asked_for(
    decoder: SandboxedDecoder, write: Write
) -> None:
    for fmt in FORMATS:
        path = write(picture(5, fmt, (1000, 700)))
        height, width, _ = decoder.decode(path, 112).shape
        assert 112 <= height < 224
        assert abs(width / height - 10 / 7) < 0.02
        assert decoder.decode(path, 700).shape == (700, 1000, 3)
        assert decoder.decode(path, 5000).shape == (700, 1000, 3)
        assert decoder.decode(path, 0).shape[2] == 3
        whole = Image.fromarray(decoder.decode(path, 5000)).resize((112, 112))
        small = Image.fromarray(decoder.decode(path, 112)).resize((112, 112))
        assert np.abs(np.asarray(whole).astype(int) - np.asarray(small)).mean() < 3, fmt


def test_a_line_of_one_pixel_is_a_picture(decoder: SandboxedDecoder, write: Write) -> None:
    path = write(saved(Image.new("RGB", (5000, 1), (1, 2, 3))))
    assert decoder.decode(path, 112).shape == (1, 5000, 3)
    assert Image.open(io.BytesIO(decoder.thumbnail(path, 320))).size == (320, 1)


def test_a_camera_picture_with_a_second_one_behind_it_is_a_jpeg(
    decoder: SandboxedDecoder, write: Write
) -> None:
    path = write(saved(pixels(1), "MPO", save_all=True, append_images=[pixels(2)]))
    assert decoder.inspect(path) == PictureFacts(ImageFormat.JPEG, 64, 48, 1)
    assert decoder.decode(path, 1000).shape == (48, 64, 3)


def test_bytes_behind_the_end_do_not_matter(decoder: SandboxedDecoder, write: Write) -> None:
    for fmt in FORMATS:
        assert decoder.inspect(write(picture(1, fmt) + b"\0" * 100)).width == 64


# Thumbnails


def test_a_thumbnail_carries_no_metadata_and_keeps_transparency(
    decoder: SandboxedDecoder, write: Write
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    exif[0x0112] = 6
    for fmt in ("PNG", "WEBP"):
        data = saved(pixels(1, (400, 300), alpha=True), fmt, exif=exif, icc_profile=b"secret")
        made = decoder.thumbnail(write(data), 100)
        assert b"secret" not in made
        thumbnail = Image.open(io.BytesIO(made))
        assert thumbnail.format == "WEBP"
        assert thumbnail.size == (75, 100)
        assert thumbnail.mode == "RGBA"
        assert not thumbnail.getexif()
        assert thumbnail.getextrema()[3] == (0, 255)


def test_a_thumbnail_never_enlarges(decoder: SandboxedDecoder, write: Write) -> None:
    made = decoder.thumbnail(write(picture(1, "GIF", (20, 10))), 320)
    assert Image.open(io.BytesIO(made)).size == (20, 10)


# What is refused


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "GIF"])
def test_an_animation_cut_behind_its_first_frame_is_refused(
    decoder: SandboxedDecoder, write: Write, fmt: str
) -> None:
    data = picture(7, fmt, frames=4)
    for part in (0.6, 0.8, 0.95):
        with pytest.raises(CorruptImage):
            decoder.inspect(write(data[: int(part * len(data))]))


def test_a_damaged_png_is_refused(decoder: SandboxedDecoder, write: Write) -> None:
    data = bytearray(picture(7, "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(CorruptImage):
        decoder.inspect(write(bytes(data)))


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"\xc5\xd0\xd3\xc6" + b"\0" * 40,
        b"<!DOCTYPE html><script>alert(1)</script>" + picture(1, "GIF"),
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"%PDF-1.7",
        b"\0\0\0\x18ftypisom" + bytes(12),
        picture(1, "ICO"),
        picture(1, "JPEG2000"),
        b"MZ" + picture(1, "JPEG"),
        b"words",
    ],
    ids=["svg", "eps", "dos-eps", "html", "wav", "pdf", "mp4", "ico", "jpeg 2000", "exe", "text"],
)
def test_what_is_no_accepted_picture_is_unsupported(
    decoder: SandboxedDecoder, write: Write, data: bytes
) -> None:
    with pytest.raises(UnsupportedImage, match="AVIF, HEIC, TIFF or BMP"):
        decoder.inspect(write(data))


def test_nothing_is_no_picture(decoder: SandboxedDecoder, write: Write) -> None:
    with pytest.raises(CorruptImage, match="empty"):
        decoder.inspect(write(b""))
    with pytest.raises(NotFound):
        decoder.inspect(Path("/nowhere/at/all"))


def test_too_many_pixels_are_refused_by_the_header(decoder: SandboxedDecoder, write: Write) -> None:
    one_bit_rows = b"\0" * (1 + 13_300 // 8)
    bombs = [
        png(13_300, 13_300, 1, 0, one_bit_rows * 13_300),
        png(7_072, 7_072, 1, 0, b"\0"),
        png(16_385, 1, 1, 0, b"\0" * 3000),
        png(1, 2**31 - 1, 8, 6, b"\0"),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + picture(1, "GIF")[10:],
        saved(Image.new("1", (16_400, 20)), "GIF"),
    ]
    watch = Stopwatch()
    for bomb in bombs:
        assert len(bomb) < 100_000
        with pytest.raises(ImageTooLarge, match="50 million pixels"):
            decoder.inspect(write(bomb))
    assert watch.seconds < 3


def test_fifty_million_pixels_fit_the_sandbox(decoder: SandboxedDecoder, write: Write) -> None:
    # Four bytes a pixel, turned and made opaque: the most a child has to hold.
    wide = Image.new("RGBA", (7_000, 7_142), (1, 2, 3, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write(saved(wide, "PNG", compress_level=1, exif=exif))
    assert decoder.inspect(path) == PictureFacts(ImageFormat.PNG, 7_142, 7_000, 1)
    assert decoder.decode(path, 448).shape[0] >= 448
    assert len(decoder.thumbnail(path, 320)) > 0


# Children that die


def test_a_picture_that_needs_more_than_the_limits_is_refused_and_the_next_one_works(
    write: Write,
) -> None:
    small = SandboxedDecoder(pool_size=1, memory_bytes=300_000_000)
    try:
        big = write(saved(Image.new("RGBA", (7_000, 7_000)), "PNG", compress_level=1))
        with pytest.raises(CorruptImage, match="exceeded its limits"):
            small.decode(big, 7_000)
        assert small.inspect(write(picture(1))).width == 64
    finally:
        small.close()


def test_a_picture_that_takes_too_long_is_refused_and_the_next_one_works(write: Write) -> None:
    hasty = SandboxedDecoder(pool_size=1, wall_s=0.05)
    try:
        slow = write(saved(Image.new("RGB", (7_000, 7_000)), "PNG", compress_level=1))
        hasty.inspect(write(picture(1, size=(9, 9))))
        with pytest.raises(CorruptImage, match="exceeded its limits"):
            hasty.inspect(slow)
        assert hasty.inspect(write(picture(1, size=(9, 9)))).width == 9
    finally:
        hasty.close()


def test_the_processor_time_of_a_picture_is_limited(write: Write) -> None:
    # The kernel counts whole seconds, so the least there is is a second from the child's start.
    frugal = SandboxedDecoder(pool_size=1, cpu_s=0.01, wall_s=30)
    try:
        # A known attack: each of a progressive JPEG's scans goes over the whole picture again.
        honest = saved(Image.new("L", (7_000, 7_000)), "JPEG", progressive=True)
        last_scan = honest[honest.rindex(b"\xff\xda") : -2]
        heavy = honest[:-2] + last_scan * 2_000 + honest[-2:]
        assert len(heavy) < 1_000_000
        watch = Stopwatch()
        with pytest.raises(CorruptImage, match="exceeded its limits"):
            frugal.inspect(write(heavy))
        assert watch.seconds < 10
        assert frugal.inspect(write(picture(1, size=(9, 9)))).width == 9
    finally:
        frugal.close()


@pytest.mark.parametrize(
    ("ended_by", "refusal"),
    # A signal of the picture's own making; one from a service manager or a kernel short of memory.
    [(signal.SIGSEGV, CorruptImage), (signal.SIGKILL, Unavailable)],
)
def test_a_child_that_dies_in_the_middle_costs_one_picture(
    write: Write, ended_by: signal.Signals, refusal: type[MiradaError]
) -> None:
    others = children_of(os.getpid())
    decoder = SandboxedDecoder(pool_size=1)
    try:
        slow = write(saved(Image.new("RGB", (7_000, 7_000)), "PNG", compress_level=1))
        decoder.inspect(write(picture(1)))
        (child,) = children_of(os.getpid(), others)
        threading.Thread(target=end_at_work, args=(child, ended_by)).start()
        with pytest.raises(refusal):
            decoder.inspect(slow)
        assert decoder.inspect(write(picture(1))).width == 64
        # One that dies while nobody waits for it costs nothing at all.
        (child,) = children_of(os.getpid(), others)
        os.kill(child, 9)
        await_death(child)
        assert decoder.inspect(write(picture(1))).width == 64
    finally:
        decoder.close()


def test_a_worn_child_is_replaced(write: Write) -> None:
    others = children_of(os.getpid())
    decoder = SandboxedDecoder(pool_size=1, recycle_after=2)
    try:
        path = write(picture(1))
        seen = set()
        for _ in range(5):
            decoder.inspect(path)
            seen.update(children_of(os.getpid(), others))
        # After the second and the fourth picture there is none.
        assert len(seen) == 3
        assert len(children_of(os.getpid(), others)) == 1
    finally:
        decoder.close()


def test_many_threads_get_their_own_pictures(decoder: SandboxedDecoder, write: Write) -> None:
    paths = {size: write(picture(size, "PNG", (size, 40))) for size in range(50, 90)}
    wrong: list[object] = []

    def look(sizes: list[int]) -> None:
        for size in sizes:
            try:
                if decoder.decode(paths[size], 999).shape != (40, size, 3):
                    wrong.append(size)
            except MiradaError as error:
                wrong.append(error)

    threads = [threading.Thread(target=look, args=([*paths][n::8] * 3,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_closing_ends_the_children_and_what_is_asked_then_is_unavailable(write: Write) -> None:
    others = children_of(os.getpid())
    decoder = SandboxedDecoder(pool_size=2)
    path = write(picture(1))
    decoder.inspect(path)
    assert len(children_of(os.getpid(), others)) == 1
    decoder.close()
    decoder.close()
    assert children_of(os.getpid(), others) == []
    with pytest.raises(Unavailable, match="shutting down"):
        decoder.inspect(path)


def test_a_child_does_not_outlive_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(picture(1))
    code = (
        "import sys, time; from pathlib import Path\n"
        "from mirada.adapters.image_decoder.sandbox import SandboxedDecoder\n"
        f"SandboxedDecoder().inspect(Path({str(path)!r}))\n"
        "print('ready', flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    (child,) = children_of(parent.pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    watch = Stopwatch()
    while Path(f"/proc/{child}").exists() and not watch.is_over(PATIENCE_S):
        time.sleep(0.02)  # a grandchild cannot be waited for
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_of_the_whole_group_is_for_the_parent_to_handle(
    write: Write, stop: signal.Signals
) -> None:
    others = children_of(os.getpid())
    decoder = SandboxedDecoder(pool_size=1)
    try:
        decoder.inspect(write(picture(1)))
        (child,) = children_of(os.getpid(), others)
        os.kill(child, stop)
        decoder.inspect(write(picture(1)))
        assert children_of(os.getpid(), others) == [child]
    finally:
        decoder.close()


def test_a_child_sees_none_of_our_environment(
    decoder: SandboxedDecoder, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "secret")
    fresh = SandboxedDecoder(pool_size=1)
    try:
        others = children_of(os.getpid())
        fresh.inspect(write(picture(1)))
        (child,) = children_of(os.getpid(), others)
        assert b"secret" not in Path(f"/proc/{child}/environ").read_bytes()
    finally:
        fresh.close()


STATE, USER_TICKS = 0, 11
"""Fields of /proc/PID/stat after the name, proc(5)."""


def process_of(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def end_at_work(child: int, ended_by: signal.Signals) -> None:
    """Send a signal once the child has computed for 30 ms: it is in the middle of a picture."""
    began, watch = int(process_of(child)[USER_TICKS]), Stopwatch()
    while int(process_of(child)[USER_TICKS]) < began + 3 and not watch.is_over(PATIENCE_S):
        time.sleep(0.005)  # what a child has computed can only be asked for
    os.kill(child, ended_by)


def await_death(child: int) -> None:
    """Wait until nothing of a child runs; only its parent may wait for it in the usual way."""
    watch = Stopwatch()
    while not watch.is_over(PATIENCE_S):
        # The first thread is a zombie before the others have ended.
        if (
            process_of(child)[STATE] == "Z"
            and len(list(Path(f"/proc/{child}/task").iterdir())) == 1
        ):
            return
        time.sleep(0.01)  # that a thread has ended can only be asked for
    raise AssertionError(f"the child {child} still runs")


def children_of(pid: int, except_for: Sequence[int] = ()) -> list[int]:
    """Return the decoder processes that `pid` started and that run, without those named."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (thread / "children").read_text().split()
        except OSError:  # another test's thread, ended between the listing and the reading
            continue
        for child in children:
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes()
            except OSError:
                continue
            if b"image_decoder.child" in command and int(child) not in except_for:
                found.append(int(child))
    return found


# Facts and pixels from one decoding


@pytest.mark.parametrize("side_px", [16, 40, 1000])
@pytest.mark.parametrize("fmt", FORMATS)
def test_one_decoding_gives_the_facts_and_the_pixels(
    decoder: SandboxedDecoder, write: Write, fmt: str, side_px: int
) -> None:
    path = write(picture(3, fmt, (322, 247), orientation=6 if fmt == "JPEG" else None))
    facts, seen = decoder.inspect_and_decode(path, side_px)
    assert facts == decoder.inspect(path)
    expected = decoder.decode(path, side_px)
    assert seen is not None
    assert np.array_equal(seen, expected)


def test_there_are_no_pixels_of_what_is_clear_moves_or_is_large(
    decoder: SandboxedDecoder, write: Write
) -> None:
    keyed = picture(3, size=(9, 9))
    with_key = Image.open(io.BytesIO(keyed)).convert("P")
    for data in (
        picture(3, alpha=True),
        picture(3, "WEBP", alpha=True),
        saved(with_key, transparency=0),
        picture(3, "GIF", frames=3),
        picture(3, size=(2_000, 1_900)),
    ):
        path = write(data)
        facts, seen = decoder.inspect_and_decode(path, 1_500)
        assert facts == decoder.inspect(path)
        assert seen is None


def test_pixels_cannot_make_a_picture_refused(decoder: SandboxedDecoder, write: Write) -> None:
    whole = picture(3, "JPEG", (322, 247))
    for data in (whole[: len(whole) // 2], b"", b"GIF89a"):
        path = write(data)
        with pytest.raises(CorruptImage) as plainly:
            decoder.inspect(path)
        with pytest.raises(CorruptImage, match=re.escape(plainly.value.detail)):
            decoder.inspect_and_decode(path, 16)


def test_a_thumbnail_of_pixels_is_one_of_the_picture(
    decoder: SandboxedDecoder, write: Write
) -> None:
    path = write(picture(3, "JPEG", (640, 480)))
    seen = decoder.decode(path, 320)
    made, expected = (
        np.asarray(Image.open(io.BytesIO(webp)).convert("RGB")).astype(int)
        for webp in (decoder.shrink(seen, 320), decoder.thumbnail(path, 320))
    )
    assert made.shape == expected.shape == (240, 320, 3)
    assert np.abs(made - expected).mean() < 3
