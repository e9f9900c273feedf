"""Finds the first frame of an animation that shows something. It runs in the child process."""

from __future__ import annotations

import time

from PIL import Image, ImageFile

MAX_FRAMES = 200
"""Frames that are looked at: eight seconds of an animation."""
MAX_FRAME_PIXELS = 400_000_000
"""Pixels of all of them; 200 frames of 1,400 x 1,400."""
MAX_CPU_S = 4.0
"""Time for all of them: a fifth of what a picture may take."""
EMPTY_WITHIN = 6
"""Levels of 255 that an empty frame may spread over: noise of lossy formats."""


def first_shown(image: ImageFile.ImageFile, background: tuple[int, int, int]) -> Image.Image:
    """Return the first frame with something on it; the very first where all that are looked at are empty.

    Args:
        image: at its first frame, decoded. A still picture is returned as it is.
        background: the sRGB colour under transparent parts.
    """
    count = int(getattr(image, "n_frames", 1))
    if count < 2 or not is_empty(image, background):
        return image
    width, height = image.size
    most = min(count, MAX_FRAMES, max(1, MAX_FRAME_PIXELS // max(1, width * height)))
    until = time.process_time() + MAX_CPU_S
    first = image.copy()
    try:
        for number in range(1, most):
            image.seek(number)
            image.load()
            if not is_empty(image, background):
                return image
            if time.process_time() > until:
                break
    except (EOFError, OSError, SyntaxError, ValueError):
        # A broken frame behind the first is no reason to refuse what the first shows.
        pass
    return first


def is_empty(image: Image.Image, background: tuple[int, int, int]) -> bool:
    """Return whether a frame is one colour all over, on this background."""
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        alpha = layered.getchannel("A")
        if alpha.getextrema()[1] == 0:
            return True
        flat = Image.new("RGB", image.size, background)
        flat.paste(layered, mask=alpha)
    else:
        flat = image.convert("RGB")
    return all(high - low <= EMPTY_WITHIN for low, high in flat.getextrema())  # type: ignore[misc]
