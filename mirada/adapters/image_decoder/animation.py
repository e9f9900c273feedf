"""Makes the copy of an animation that others get: a WebP that moves, smaller and without metadata.

It runs in the child process. Frames are decoded, shrunk and encoded one after the other, so memory does
not grow with their number; what an animation may cost is bounded before and meanwhile.
"""

from __future__ import annotations

import io
import math
import time
from typing import Any

from PIL import Image, ImageFile

from mirada.adapters.image_decoder import pixels
from mirada.adapters.image_decoder.opening import Limits, Source

MAX_SIDE_PX = 1024
"""Longer side of the copy; stickers have 512."""
MAX_FRAMES = 600
"""Frames that are copied: ten seconds at 60 a second."""
MAX_SOURCE_PIXELS = 400_000_000
"""Pixels of all frames of the original; 380 frames of 1,024 x 1,024."""
MAX_COPY_PIXELS = 64_000_000
"""Pixels of all frames of the copy, which is shrunk to fit: 244 frames of 512 x 512."""
MIN_SIDE_PX = 96
"""Shorter side below which a copy would show nothing."""
MAX_BYTES = 8 * 1024 * 1024
MAX_CPU_S = 10.0
"""Processor time of a copy, half of what a picture may take."""
QUALITY = 75
METHOD = 2
"""Of seven. 60 frames of 512 x 512 took 0.42, 0.54 and 1.01 s at 0, 2 and 4, and 276, 239 and 227 kB."""
SHORTEST_MS, SLOWED_MS = 20, 100
"""Browsers show frames of up to 10 ms for 100 ms; other lengths from 20 ms on are kept."""


class StaysStill(Exception):
    """No moving copy is made; the text is a sentence that says why."""


def copied(path: str, limits: Limits) -> bytes:
    """Return an animated WebP, upright, sRGB, without anything beside its pixels.

    Raises:
        StaysStill: it is no animation, costs too much, or one of its frames is broken.
    """
    with Source(path, limits) as source:
        image = source.image
        if image is None or not source.is_animated:
            raise StaysStill("It has one frame.")
        source.first()
        film = _Film(source, image)
        out = io.BytesIO()
        try:
            film.save(
                out,
                "WEBP",
                save_all=True,
                duration=film.durations_ms,
                loop=_loops(source, image),
                background=(0, 0, 0, 0),
                quality=QUALITY,
                method=METHOD,
            )
        except (EOFError, OSError, SyntaxError, ValueError) as error:
            raise StaysStill("One of its frames is broken.") from error
    if out.tell() > MAX_BYTES:
        raise StaysStill(f"The moving copy would be larger than {MAX_BYTES // 1024**2} MB.")
    return out.getvalue()


class _Film(Image.Image):
    """The frames of the copy, as Pillow's writer asks for them: `seek` makes the next one."""

    def __init__(self, source: Source, image: ImageFile.ImageFile) -> None:
        """Check what the frames will cost, and make none yet; raises StaysStill."""
        super().__init__()
        self.source, self.original = source, image
        # An APNG may have a still picture of its own for programs that show no animation.
        self.start = 1 if getattr(image, "default_image", False) else 0
        self.n_frames = int(getattr(image, "n_frames", 1)) - self.start
        self.fits_px = _size_of(image, self.n_frames)
        self.durations_ms: list[int] = []
        self.until_s = time.process_time() + MAX_CPU_S
        self.is_saved = False
        self._show(Image.new("RGB", (1, 1)))
        self._size = self._first_size()

    def _first_size(self) -> tuple[int, int]:
        self.seek(0)
        self.durations_ms.clear()
        return self.size

    def seek(self, frame: int) -> None:
        """Make a frame of the copy; raises StaysStill when too much time is gone."""
        if frame == 0 and len(self.durations_ms) == self.n_frames:
            # Pillow returns to the first frame after the last one.
            return
        if time.process_time() > self.until_s:
            raise StaysStill(f"Its frames take more than {MAX_CPU_S:.0f} s to copy.")
        self.original.seek(self.start + frame)
        self.original.load()
        self.durations_ms.append(shown_ms(self.original.info.get("duration")))
        image, profile = pixels.eight_bit(self.original), self.source.profile(self.original)
        made = image.convert("RGBA" if image.has_transparency_data else "RGB")
        made.thumbnail(self.fits_px, reducing_gap=2.0)
        turned = pixels.upright(
            pixels.coloured(made, profile), self.source.orientation(self.original)
        )
        self._show(pixels.for_others(turned))

    def tell(self) -> int:
        """Return the number of the present frame."""
        return max(0, len(self.durations_ms) - 1)

    def _show(self, image: Image.Image) -> None:
        self.im = image.im
        self._mode, self._size = image.mode, image.size


def _size_of(image: ImageFile.ImageFile, count: int) -> tuple[int, int]:
    """Return width and height that the frames of a copy must fit; raises StaysStill."""
    if count < 2:
        raise StaysStill("It has one frame.")
    if count > MAX_FRAMES:
        raise StaysStill(f"It has {count:,} frames; at most {MAX_FRAMES} are copied.")
    width, height = image.size
    if count * width * height > MAX_SOURCE_PIXELS:
        raise StaysStill(
            f"Its frames have over {MAX_SOURCE_PIXELS // 10**6} million pixels in all."
        )
    scale = min(
        1.0,
        MAX_SIDE_PX / max(width, height),
        math.sqrt(MAX_COPY_PIXELS / (count * width * height)),
    )
    if scale < 1 and scale * min(width, height) < min(MIN_SIDE_PX, *image.size):
        raise StaysStill("It would have to be shrunk until nothing can be seen.")
    return max(1, int(scale * width)), max(1, int(scale * height))


def _loops(source: Source, image: ImageFile.ImageFile) -> int:
    """Return how often the animation is shown; 0 for ever."""
    # A GIF without a number is shown once; its number counts the repetitions after the first.
    found: Any = image.info.get("loop")
    if source.name == "GIF":
        return 1 if found is None else 0 if found == 0 else min(int(found) + 1, 65_535)
    return min(int(found or 0), 65_535)


def shown_ms(found: Any) -> int:
    """Return how long a frame is shown, as browsers show it, of what its file says."""
    length = round(found) if isinstance(found, int | float) and 0 <= found < 2**31 else 0
    return SLOWED_MS if length <= 10 else min(max(SHORTEST_MS, length), 60_000)
