"""The texts of one file, by where they stood, and the JSON in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mirada.file_metadata import xmp

MAX_READ_CHARS = 2 * 1024 * 1024
"""Of one text. Workflows of a few hundred nodes come to some 500 KB."""

Found = tuple[str, dict[str, Any]]
"""A generator and its values under the names of `Generation`, not yet cleaned."""


class Texts:
    """Texts by name: PNG keywords as they are, `exif:TAG`, `xmp:ELEMENT`, and `comment`.

    An XMP packet, named `xmp`, is opened into its elements; the longest texts are cut.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Take the texts of a file; what is no text is left out."""
        self._texts = {
            name: text[:MAX_READ_CHARS]
            for name, text in texts.items()
            if isinstance(name, str) and isinstance(text, str)
        }
        self._objects: dict[str, dict[str, Any] | None] = {}
        packet = self._texts.pop("xmp", None)
        if packet is not None:
            for element, text in xmp.read(packet).items():
                self._texts.setdefault(f"xmp:{element}", text)

    def __contains__(self, name: str) -> bool:
        """Return whether there is such a text."""
        return name in self._texts

    def get(self, name: str) -> str:
        """Return a text, empty when there is none."""
        return self._texts.get(name, "")

    def all(self) -> Mapping[str, str]:
        """Return every text by name."""
        return self._texts

    def of(self, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Yield those of the named texts that are there, in the order of the names."""
        for name in names:
            if name in self._texts:
                yield name, self._texts[name]

    def json_object(self, name: str) -> dict[str, Any] | None:
        """Return the JSON object that a text is; None when it is not exactly one."""
        if name not in self._objects:
            self._objects[name] = json_object(self.get(name))
        return self._objects[name]


def json_object(text: object) -> dict[str, Any] | None:
    """Return the JSON object that a text is, NaN and all; None when it is anything else."""
    if isinstance(text, dict):
        return text
    if not isinstance(text, str) or len(text) > MAX_READ_CHARS:
        return None
    # Some programs end their text with NUL, as C does.
    text = text.strip().rstrip("\x00")
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        # Nested without end, or a number of thousands of digits, is no setting of a picture.
        return None
    return found if isinstance(found, dict) else None
