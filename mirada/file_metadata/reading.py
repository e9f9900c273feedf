"""From the texts of a file to a Generation: each known form is tried, and none can fail loudly."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from mirada.file_metadata import comfyui, flat, services, webui
from mirada.file_metadata.texts import Found, Texts
from mirada.kernel.origin import Generation

logger = logging.getLogger(__name__)

READERS: tuple[Callable[[Texts], Found | None], ...] = (
    services.read_novelai,
    services.read_invokeai,
    flat.read,
    webui.read,
    comfyui.read,
    services.read_midjourney,
)
"""The forms with a mark of their own first; a settings line beside a graph says what was meant."""


def parse(texts: Mapping[str, str]) -> Generation | None:
    """Return what a file's texts say of its making; None when no generator is recognised.

    Never raises, and takes time in proportion to the texts, of which the first 2 Mi characters each
    are read. The first form that tells a prompt wins, else the first that tells anything.

    Args:
        texts: untrusted. PNG keywords as they are; `exif:` and a tag's name; `xmp` for the packet;
            `comment` for a JPEG's or GIF's.
    """
    if not texts:
        return None
    best: Generation | None = None
    known = Texts(texts)
    for read in READERS:
        try:
            found = read(known)
            made = None if found is None else Generation.cleaned(*found)
        except Exception:
            # A text that nobody thought of must not cost its sender the picture.
            logger.warning("A generator's text could not be read.", exc_info=True)
            continue
        if made is not None and made.prompt is not None:
            return made
        best = best or made
    return best
