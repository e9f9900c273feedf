"""Tries the parser of each known generator on the texts of a file; no text makes it fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from mirada.file_metadata import (
    comfyui,
    invokeai,
    midjourney,
    novelai,
    settings_objects,
    webui,
)
from mirada.file_metadata.texts import Found, Texts
from mirada.kernel.file_metadata import FileMetadata

logger = logging.getLogger(__name__)

READERS: tuple[Callable[[Texts], Found | None], ...] = (
    novelai.read,
    invokeai.read,
    settings_objects.read,
    webui.read,
    comfyui.read,
    midjourney.read,
)
"""Formats with a mark of their own come first. A settings line comes before a graph: where a file has
both, the line holds the final prompt."""


def parse(texts: Mapping[str, str]) -> FileMetadata | None:
    """Return the file metadata in a file's texts; None when no generator is recognised.

    It never raises, and takes time in proportion to the texts; 2 Mi characters of each are read.
    The first format with a prompt wins, else the first format with any setting.

    Args:
        texts: untrusted, by name. A PNG's text has its keyword, an EXIF field `exif:` and the tag's
            name, an XMP packet `xmp`, the comment of a JPEG or GIF `comment`.
    """
    if not texts:
        return None
    best: FileMetadata | None = None
    known = Texts(texts)
    for read in READERS:
        try:
            found = read(known)
            made = None if found is None else FileMetadata.cleaned(*found)
        except Exception:
            # A text that no parser expects must not make an upload fail.
            logger.warning("A generator's text could not be read.", exc_info=True)
            continue
        if made is not None and made.prompt is not None:
            return made
        best = best or made
    return best
