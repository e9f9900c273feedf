"""Makes stickers of pictures: of a fixed size, clear where the picture is, and within a number of bytes.

It runs in the child process. Quality is lowered until the file fits; of an animation, then frames are left
out.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence

from PIL import Image

from mirada.adapters.image_decoder import pixels
from mirada.adapters.image_decoder.animation import SHORTEST_MS, StaysStill, shown_ms
from mirada.adapters.image_decoder.opening import Limits, Source
from mirada.kernel.stickers import StickerForm

QUALITIES = (90, 75, 60, 45, 30, 15)
COLOURS = (256, 128, 64, 32)
"""Of a PNG that moves, where it has to become smaller."""
MOST_FRAMES = 120
"""Frames that are kept in memory: 126 MB; of more, every second, third or so on is."""
MAX_CPU_S = 8.0
"""Processor time of an animation: less than half of what a picture may take."""
METHOD = 4
"""Of a WebP that stands still, of seven."""
Frame = tuple[Image.Image, int]
"""A frame, RGBA, and how long it is shown, in milliseconds."""


def made(path: str, form: StickerForm, limits: Limits) -> bytes:
    """Return a sticker without anything beside its pixels, upright, in sRGB.

    Raises:
        StaysStill: it does not fit into so many bytes; the text says so.
    """
    with Source(path, limits) as source:
        if form.moves and source.is_animated:
            return _moving(list(_frames(source, form)), form)
        image = _fitted(source, source.shown(2 * form.side_px), form)
    for content in _still(image, form):
        if len(content) <= form.max_bytes:
            return content
    raise _too_large(form)


def _still(image: Image.Image, form: StickerForm) -> Iterator[bytes]:
    if form.kind == "PNG":
        yield _written(image, "PNG", optimize=True)
        for count in COLOURS:
            yield _written(image.quantize(count, Image.Quantize.FASTOCTREE), "PNG", optimize=True)
        return
    for quality in QUALITIES:
        yield _written(image, "WEBP", quality=quality, method=METHOD)


def _moving(frames: Sequence[Frame], form: StickerForm) -> bytes:
    if len(frames) < 2:
        raise StaysStill("It has one frame.")
    until_s = time.process_time() + MAX_CPU_S
    kept = frames
    while len(kept) > 1 and time.process_time() < until_s:
        least = 0
        for content in _filmed(kept, form):
            least = len(content)
            if least <= form.max_bytes:
                return content
            if time.process_time() > until_s:
                break
        # So many frames as would fit, were all alike.
        kept = _thinned(kept, max(2, -(-least // form.max_bytes)))
    raise _too_large(form)


def _filmed(frames: Sequence[Frame], form: StickerForm) -> Iterator[bytes]:
    durations = [shown for _, shown in frames]
    images = [each for each, _ in frames]
    if form.kind == "PNG":
        for count in COLOURS[::2]:
            fewer = [each.quantize(count, Image.Quantize.FASTOCTREE) for each in images]
            # Pillow writes frames of one mode; palettes differ.
            yield _film([each.convert("RGBA") for each in fewer], "PNG", durations)
        return
    for quality in QUALITIES[1:]:
        yield _film(images, "WEBP", durations, quality=quality, method=2, background=(0, 0, 0, 0))


def _film(images: Sequence[Image.Image], kind: str, durations: list[int], **how: object) -> bytes:
    return _written(
        images[0],
        kind,
        save_all=True,
        append_images=images[1:],
        duration=durations,
        loop=0,
        **how,
    )


def _thinned(frames: Sequence[Frame], step: int) -> list[Frame]:
    """Return each `step`-th frame, shown as long as those that are left out behind it."""
    return [
        (frames[at][0], sum(shown for _, shown in frames[at : at + step]))
        for at in range(0, len(frames), step)
    ]


def _frames(source: Source, form: StickerForm) -> Iterator[Frame]:
    image = source.image
    assert image is not None
    start = 1 if getattr(image, "default_image", False) else 0
    count = int(getattr(image, "n_frames", 1)) - start
    step = -(-count // MOST_FRAMES)
    total = waited = 0
    source.first()
    for number in range(count):
        image.seek(start + number)
        image.load()
        waited += max(SHORTEST_MS, shown_ms(image.info.get("duration")))
        if number % step:
            continue
        left = form.max_ms - total
        if left < SHORTEST_MS:
            return
        yield _fitted(source, image, form), min(waited, left)
        total += waited
        waited = 0


def _fitted(source: Source, original: Image.Image, form: StickerForm) -> Image.Image:
    """Return a frame as RGBA, its longer side as the form says, on a clear square where it is padded."""
    image, profile = pixels.eight_bit(original), source.profile(original)
    if image is original:
        image = image.copy()
    if image.mode not in ("L", "CMYK", "LA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    turned = pixels.upright(pixels.coloured(image, profile), source.orientation(original))
    shown = turned.convert("RGBA")
    scale = form.side_px / max(shown.size)
    size = (max(1, round(scale * shown.width)), max(1, round(scale * shown.height)))
    shown = shown.resize(size, Image.Resampling.LANCZOS)
    shown.info = {}
    if not form.is_padded:
        return shown
    square = Image.new("RGBA", (form.side_px, form.side_px), (0, 0, 0, 0))
    square.paste(shown, ((form.side_px - size[0]) // 2, (form.side_px - size[1]) // 2))
    return square


def _written(image: Image.Image, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def _too_large(form: StickerForm) -> StaysStill:
    return StaysStill(f"It does not fit into {form.max_bytes // 1024} KiB.")
