"""What may not be told: unmistakable texts, numbers that nothing else has, pictures, vectors."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

MARK = "zq"
"""Begins every planted text; no word of the product, of a header or of a hash does."""
LEAST_NUMBER = 1_000_000
"""Planted ids are at least this large, which no size, count or time in a reply is."""
SAME_PICTURE = 8.0
"""Mean difference of two thumbnails' colours, of 255, below which they show the same picture. WebP of
the test pictures stays below 3, two different ones lie above 30."""
SAME_VECTOR = 0.99
SIDE = 16

_TEXT = re.compile(rf"{MARK}[0-9a-z]+")
_HEX = re.compile(r"[0-9a-f]{16,}")
_NUMBER = re.compile(r"\d{7,}")
_CURSOR = re.compile(r"cursor=([\w-]+)")
_NUMBERS = re.compile(r"-?\d\.\d+(?:e-?\d+)?(?:,\s*-?\d\.\d+(?:e-?\d+)?){7}")
COMMON_BYTES, LEAST_PART = 64, 8
"""How all pictures of one size begin, and how long a part is that is no accident."""
HEX_CHARS = 16
"""So much of a SHA-256 names a picture: tags and file names carry parts of it."""

Pixels = npt.NDArray[np.float32]


class Kind(StrEnum):
    """In which form a secret would be told."""

    TEXT = "text"
    NUMBER = "number"
    SHA256 = "sha256"
    BYTES = "bytes"
    PIXELS = "pixels"
    VECTOR = "vector"


@dataclass(frozen=True)
class Secret:
    """One thing, and who may be told it.

    Attributes:
        name: says what it is, for people: "prompt of the private picture".
        kind: how it is recognised.
        about: the picture or other thing it belongs to.
        holders: names of people who may know it.
    """

    name: str
    kind: Kind
    about: str
    holders: frozenset[str]


def marked(what: str) -> str:
    """Return the unmistakable word of a thing: always the same one, letters and digits only."""
    return MARK + what.replace(" ", "") + hashlib.sha256(what.encode()).hexdigest()[:6] + "x"


def colours(picture: Image.Image) -> Pixels:
    """Return (SIDE, SIDE, 3): a picture in small, by which it is recognised."""
    small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


class Vault:
    """Every secret of a world, and what of it a piece of text, a picture or numbers give away."""

    def __init__(self) -> None:
        self.secrets: dict[str, Secret] = {}
        self._texts: dict[str, str] = {}
        self._hex: dict[str, str] = {}
        self._numbers: dict[int, str] = {}
        self._bytes: dict[str, bytes] = {}
        self._pixels: dict[str, Pixels] = {}
        self._vectors: dict[str, npt.NDArray[np.float32]] = {}

    def _add(self, name: str, kind: Kind, about: str, holders: Iterable[str]) -> str:
        assert name not in self.secrets, f"two secrets are called {name}"
        self.secrets[name] = Secret(name, kind, about, frozenset(holders))
        return name

    def text(self, what: str, about: str, holders: Iterable[str]) -> str:
        """Plant a text and return its word."""
        word = marked(f"{what} {about}")
        self._texts[word] = self._add(f"{what} of {about}", Kind.TEXT, about, holders)
        return word

    def word(self, word: str, what: str, about: str, holders: Iterable[str]) -> None:
        """Guard a word that begins with MARK and was not made here."""
        assert _TEXT.fullmatch(word), word
        self._texts[word] = self._add(f"{what} of {about}", Kind.TEXT, about, holders)

    def number(self, number: int, what: str, about: str, holders: Iterable[str]) -> None:
        """Guard an id."""
        assert number >= LEAST_NUMBER, f"{what} of {about} is {number}: too common to be found"
        self._numbers[number] = self._add(f"{what} of {about}", Kind.NUMBER, about, holders)

    def content(
        self, content: bytes, about: str, holders: Iterable[str], judges: Iterable[str] = ()
    ) -> None:
        """Guard a picture: its bytes, what it looks like, and their hash.

        `judges` gave a verdict while they could see it, and sent its hash with it.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        holders = tuple(holders)
        name = self._add(f"sha256 of {about}", Kind.SHA256, about, (*holders, *judges))
        self._hex[sha256[:HEX_CHARS]] = name
        self._bytes[self._add(f"bytes of {about}", Kind.BYTES, about, holders)] = content
        with Image.open(io.BytesIO(content)) as picture:
            self._pixels[self._add(f"pixels of {about}", Kind.PIXELS, about, holders)] = colours(
                picture
            )

    def original(self, content: bytes, about: str, holders: Iterable[str]) -> None:
        """Guard the bytes alone, of a picture that others see a copy of."""
        self._bytes[self._add(f"original of {about}", Kind.BYTES, about, holders)] = content

    def vector(self, vector: npt.NDArray[np.float32], about: str, holders: Iterable[str]) -> None:
        """Guard a vector."""
        self._vectors[self._add(f"vector of {about}", Kind.VECTOR, about, holders)] = vector

    def hidden_from(self, holders: Iterable[str]) -> frozenset[str]:
        """Return the names of the secrets that none of these may be told."""
        told = frozenset(holders)
        return frozenset(n for n, secret in self.secrets.items() if not told & secret.holders)

    def in_text(self, text: str) -> Iterator[str]:
        """Yield the secrets that a text names, also inside the cursors of pages."""
        text = text.casefold() + "".join(_cursors(text))
        for word in _TEXT.findall(text):
            if word in self._texts:
                yield self._texts[word]
            else:
                # A word that runs on into the next, as in a file name without its dot.
                yield from (name for known, name in self._texts.items() if known in word)
        for digits in _HEX.findall(text):
            for known, name in self._hex.items():
                if known in digits:
                    yield name
        for digits in _NUMBER.findall(text):
            name = self._numbers.get(int(digits[:19]))
            if name is not None:
                yield name
        if self._vectors and _NUMBERS.search(text):
            yield from self._in_json(text)

    def in_bytes(self, content: bytes) -> Iterator[str]:
        """Yield the secrets that bytes hold: a part of an original, a mark in a picture, vectors."""
        for name, original in self._bytes.items():
            if original in content or (
                len(content) >= LEAST_PART and content in original[COMMON_BYTES:]
            ):
                yield name
        yield from self.in_text_of_bytes(content)
        yield from self._in_picture(content)
        for name, vector in self._vectors.items():
            width = vector.size * 4
            if len(content) >= width and len(content) % width == 0:
                rows = np.frombuffer(content, "<f4").reshape(-1, vector.size)
                if _is_among(rows, vector):
                    yield name

    def in_text_of_bytes(self, content: bytes) -> Iterator[str]:
        """Yield planted texts that stand in bytes as they are."""
        for word in _TEXT.findall(content.decode("latin-1").casefold()):
            if word in self._texts:
                yield self._texts[word]

    def _in_picture(self, content: bytes) -> Iterator[str]:
        try:
            with Image.open(io.BytesIO(content)) as picture:
                notes, seen = str(picture.info), colours(picture)
        except (OSError, SyntaxError, ValueError):
            return
        yield from self.in_text(notes)
        for name, known in self._pixels.items():
            if float(np.abs(known - seen).mean()) < SAME_PICTURE:
                yield name

    def _in_json(self, text: str) -> Iterator[str]:
        try:
            found = list(_rows(json.loads(text)))
        except ValueError:
            return
        for name, vector in self._vectors.items():
            if any(len(row) == vector.size and _is_among(np.array([row]), vector) for row in found):
                yield name


def _cursors(text: str) -> Iterator[str]:
    for cursor in _CURSOR.findall(text):
        plain = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        yield " " + plain.decode("latin-1").casefold()


def _rows(value: Any) -> Iterator[list[float]]:
    """Yield every list of numbers in a JSON value."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _rows(inner)
    elif isinstance(value, list):
        if value and all(isinstance(each, float | int) for each in value):
            yield value
        else:
            for inner in value:
                yield from _rows(inner)


def _is_among(rows: npt.NDArray[Any], vector: npt.NDArray[np.float32]) -> bool:
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
        return bool(np.nanmax((rows @ vector) / norms, initial=-1.0) > SAME_VECTOR)
