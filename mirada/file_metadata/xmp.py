"""Reads the few elements of an XMP packet that generators use. No entity is ever expanded."""

from __future__ import annotations

from xml.parsers import expat

ELEMENTS = frozenset(
    {"UserComment", "ImageDescription", "description", "CreatorTool", "parameters"}
)
"""Names without namespaces. They come from exif, tiff, dc and xmp; `parameters` has none."""
MARKS = ("UserComment", "Steps:", "Job ID", "parameters")
"""A packet without any of these words is not parsed: no generator wrote it."""
MAX_DEPTH = 100
"""A bound against hostile packets; real ones are about six elements deep."""
MAX_PACKET_CHARS = 1024 * 1024
"""A bound against hostile packets, chosen here: a hundred times MAX_TEXT_CHARS."""


class _Refused(Exception):
    """The packet holds something that no generator writes."""


class _Reader:
    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._depth = 0
        self._inside: str | None = None
        self._inside_depth = 0
        self._parts: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Refused
        for attribute, value in attributes.items():
            self._keep(_local(attribute), value)
        if self._inside is None and _local(name) in ELEMENTS:
            self._inside, self._inside_depth = _local(name), self._depth

    def end(self, _name: str) -> None:
        if self._inside is not None and self._depth == self._inside_depth:
            self._keep(self._inside, "".join(self._parts))
            self._inside = None
            self._parts.clear()
        self._depth -= 1

    def text(self, data: str) -> None:
        if self._inside is not None:
            self._parts.append(data)

    def _keep(self, name: str, value: str) -> None:
        if name in ELEMENTS and value.strip():
            self.found.setdefault(name, value.strip())


def read(packet: str) -> dict[str, str]:
    """Return the texts of ELEMENTS by name, written as elements or as attributes.

    A broken packet gives what precedes the damage. A packet with a DOCTYPE gives nothing: XMP has no
    use for one (XMP specification part 1, 7.3), but entity bombs have.
    """
    if not any(mark in packet for mark in MARKS):
        return {}
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    # Python accepts half a surrogate pair as a character; XML does not.
    data = packet[:MAX_PACKET_CHARS].strip("\x00 \r\n\t\ufeff").encode("utf-8", "replace")
    try:
        parser.Parse(data, True)
    except _Refused:
        return {}
    except (expat.ExpatError, ValueError):
        pass
    return reader.found


def _refuse(*_declaration: object) -> None:
    raise _Refused


def _local(name: str) -> str:
    return name.rpartition(":")[2]
