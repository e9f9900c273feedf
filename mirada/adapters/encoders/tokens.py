"""From texts to the tokens of a text tower, without PyTorch: OpenCLIP's own tokenizer, and the hub's."""

from __future__ import annotations

import gzip
import html
import itertools
import math
import string
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mirada.kernel.errors import EncoderUnavailable

MERGES_FILE = Path(__file__).with_name("clip_merges.txt.gz")
"""The byte pair merges of OpenAI's CLIP (MIT licence, NOTICE), which OpenCLIP's tokenizer uses."""
MERGE_COUNT = 49_152 - 256 - 2
START, END = "<start_of_text>", "<end_of_text>"
KNOWN_WORDS = 20_000
"""Words whose tokens are remembered."""
Tokens = npt.NDArray[np.int64]


class Tokenizer(Protocol):
    """Texts to tokens. Thread-safe."""

    @property
    def context_length(self) -> int:
        """The most tokens of a text; longer texts are cut."""

    @property
    def pad_id(self) -> int:
        """The token that fills a row behind the text's own."""

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text, at most `context_length`, without padding."""


class ClipTokenizer:
    """OpenCLIP's own tokenizer, which cuts lower-case words into byte pairs.

    Attributes:
        context_length: the most tokens of a text.
        pad_id: 0.
    """

    pad_id = 0

    def __init__(self, context_length: int, clean: str = "lower") -> None:
        """Keep the length and how a text is cleaned: "lower", "whitespace" or "canonicalize"."""
        self.context_length = context_length
        self._clean = cleaning(clean)
        self._pairs = _byte_pairs()

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """See `Tokenizer`; the last token of every text is END, of a cut one too."""
        pairs = self._pairs
        rows = []
        for text in texts:
            row = [pairs.start_id]
            for word in pairs.words_of(self._clean(text)):
                row += pairs.tokens_of(word)
                if len(row) >= self.context_length:
                    break
            del row[self.context_length - 1 :]
            rows.append([*row, pairs.end_id])
        return rows


class HubTokenizer:
    """A tokenizer of the hub, from its file `tokenizer.json`.

    Attributes:
        context_length: the most tokens of a text.
        pad_id: the token that fills a row behind the text's own.
    """

    def __init__(self, path: Path, context_length: int, pad_id: int, clean: str) -> None:
        """Read the file.

        Raises:
            EncoderUnavailable: it cannot be read.
        """
        from tokenizers import Tokenizer as Loaded

        self.context_length, self.pad_id = context_length, pad_id
        self._clean = cleaning(clean)
        self._lock = threading.Lock()
        try:
            self._loaded = Loaded.from_file(str(path))
        except Exception as error:  # The library raises plain Exception.
            raise EncoderUnavailable(f"The tokenizer {path} cannot be read: {error}") from error
        self._loaded.no_padding()
        self._loaded.enable_truncation(max_length=context_length)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """See `Tokenizer`."""
        with self._lock:
            encoded = self._loaded.encode_batch([self._clean(text) for text in texts])
        return [row.ids for row in encoded]


def in_rows(tokens: Sequence[Sequence[int]], length: int, pad_id: int) -> Tokens:
    """Return the (n, length) tokens of n texts, padded behind."""
    rows = np.full((len(tokens), length), pad_id, dtype=np.int64)
    for row, own in zip(rows, tokens, strict=True):
        row[: len(own)] = own
    return rows


def tokenizer_of(described: Mapping[str, Any], folder: Path) -> Tokenizer:
    """Return the tokenizer that a manifest describes; its file lies in `folder`.

    Raises:
        EncoderUnavailable: there is no such tokenizer, or its file cannot be read.
    """
    length, clean = int(described["context_length"]), str(described["clean"])
    if described["kind"] == "clip":
        return ClipTokenizer(length, clean)
    return HubTokenizer(folder / described["file"], length, int(described["pad_id"]), clean)


def cleaning(name: str) -> Callable[[str], str]:
    """Return OpenCLIP's cleaning of that name.

    Raises:
        EncoderUnavailable: OpenCLIP has none of that name.
    """
    known = {"lower": _lower, "whitespace": _plain, "canonicalize": _canonical}
    if name not in known:
        raise EncoderUnavailable(
            f"The model's tokenizer cleans texts by {name!r}, which is unknown."
        )
    return known[name]


def _fixed(text: str) -> str:
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text)))


def _plain(text: str) -> str:
    return " ".join(_fixed(text).split())


def _lower(text: str) -> str:
    return _plain(text).lower()


def _canonical(text: str) -> str:
    bare = _fixed(text).strip().replace("_", " ").translate(_NO_PUNCTUATION)
    return " ".join(bare.lower().split())


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class _BytePairs:
    """The words of a text and the numbers of their byte pairs."""

    def __init__(self, merges: list[tuple[str, str]]) -> None:
        import regex

        letters = list(_letters().values())
        vocabulary = letters + [f"{letter}</w>" for letter in letters]
        vocabulary += ["".join(merge) for merge in merges]
        vocabulary += [START, END]
        self._numbers = {entry: number for number, entry in enumerate(vocabulary)}
        self._ranks = {merge: rank for rank, merge in enumerate(merges)}
        self._pattern = regex.compile(
            START + "|" + END + r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
            regex.IGNORECASE,
        )
        self.start_id, self.end_id = self._numbers[START], self._numbers[END]
        self.tokens_of = lru_cache(maxsize=KNOWN_WORDS)(self._tokens_of)

    def words_of(self, text: str) -> Iterator[str]:
        """Yield the words of a cleaned text, one after the other."""
        return (found.group() for found in self._pattern.finditer(text))

    def _tokens_of(self, word: str) -> tuple[int, ...]:
        """Return the numbers of a word's byte pairs."""
        if word in (START, END):
            return (self._numbers[word],)
        letters = _letters()
        parts = [letters[byte] for byte in word.encode("utf-8")]
        parts[-1] += "</w>"
        while len(parts) > 1:
            pairs = itertools.pairwise(parts)
            first = min(pairs, key=lambda pair: self._ranks.get(pair, math.inf))
            if first not in self._ranks:
                break
            parts = _merged(parts, first)
        return tuple(self._numbers[part] for part in parts)


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """Return the parts with every occurrence of the pair as one."""
    merged: list[str] = []
    at = 0
    while at < len(parts):
        if at + 1 < len(parts) and (parts[at], parts[at + 1]) == pair:
            merged.append(parts[at] + parts[at + 1])
            at += 2
        else:
            merged.append(parts[at])
            at += 1
    return merged


@cache
def _byte_pairs() -> _BytePairs:
    lines = gzip.decompress(MERGES_FILE.read_bytes()).decode("utf-8").split("\n")
    # The first line says what the file is.
    merges = [line.split() for line in lines[1 : MERGE_COUNT + 1]]
    return _BytePairs([(first, second) for first, second in merges])


@cache
def _letters() -> dict[int, str]:
    """Return a printable letter for each byte: its own where it has one, else one above all of them."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = [byte for byte in range(256) if byte not in own]
    return {byte: chr(byte) for byte in own} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }
