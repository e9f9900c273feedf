"""Holds the texts of one file by their place in it, and decodes the JSON in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mirada.file_metadata import xmp

MAX_READ_CHARS = 2 * 1024 * 1024
"""Characters of one text that are read. A workflow of some hundred nodes takes about 500 KB."""

Found = tuple[str, dict[str, Any]]
"""(generator, values under the names of `FileMetadata`), not yet cleaned."""


class Texts:
    """The texts of one file by name: PNG keyword, `exif:TAG`, `xmp:ELEMENT`, or `comment`.

    The XMP packet, named `xmp`, is parsed into its elements. Long texts are cut.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Keep the texts of a file, without values that are not text."""
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
        """Return whether the file has a text of this name."""
        return name in self._texts

    def get(self, name: str) -> str:
        """Return the text of this name; "" when the file has none."""
        return self._texts.get(name, "")

    def all(self) -> Mapping[str, str]:
        """Return all texts by name."""
        return self._texts

    def of(self, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) of the named texts that the file has, in the order of `names`."""
        for name in names:
            if name in self._texts:
                yield name, self._texts[name]

    def json_object(self, name: str) -> dict[str, Any] | None:
        """Return a named text decoded as a JSON object; None when the whole text is not one."""
        if name not in self._objects:
            self._objects[name] = json_object(self.get(name))
        return self._objects[name]


def json_object(text: object) -> dict[str, Any] | None:
    """Return a text decoded as a JSON object, NaN permitted; None when the whole text is not one."""
    if isinstance(text, dict):
        return text
    if not isinstance(text, str) or len(text) > MAX_READ_CHARS:
        return None
    # Some programs end their text with a NUL character, as C does.
    text = text.strip().rstrip("\x00")
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        # Objects nested too deep, and numbers of thousands of digits, raise here.
        return None
    return found if isinstance(found, dict) else None
