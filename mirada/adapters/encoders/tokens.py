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
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mirada.kernel.errors import EncoderUnavailable

MERGES_FILE = Path(__file__).with_name("clip_merges.txt.gz")
"""The byte pair merges of OpenAI's CLIP (MIT licence, NOTICE), which OpenCLIP's tokenizer uses."""
BYTES = 256
MERGE_COUNT = 49_152 - BYTES - 2
START, END = "<start_of_text>", "<end_of_text>"
MOST_TOKENS = 8_192
"""Of a text; a number beyond is a mistake, and would take all memory."""
KNOWN_WORDS = 20_000
"""Words whose tokens are remembered."""
Tokens = npt.NDArray[np.int64]
Part = tuple[str, int]
"""Some letters of a word, and their number among the tokens."""


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
        self.context_length, self.pad_id = context_length, pad_id
        self._clean = cleaning(clean)
        self._lock = threading.Lock()
        self._loaded = _loaded(path)
        self._loaded.no_padding()
        self._loaded.enable_truncation(max_length=context_length)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """See `Tokenizer`."""
        with self._lock:
            encoded = self._loaded.encode_batch([self._clean(text) for text in texts])
        return [row.ids for row in encoded]


def token_id(path: Path, token: str) -> int:
    """Return the number of a token in a tokenizer's file.

    Raises:
        EncoderUnavailable: the file cannot be read.
        ValueError: it has no such token.
    """
    found: int | None = _loaded(path).token_to_id(token)
    if found is None:
        raise ValueError(f"no token {token!r}")
    return found


def _loaded(path: Path) -> Any:
    from tokenizers import Tokenizer as Loaded

    try:
        return Loaded.from_file(str(path))
    except Exception as error:  # The library raises plain Exception.
        raise EncoderUnavailable(f"The tokenizer {path} cannot be read: {error}") from error


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
    try:
        length, clean = int(described["context_length"]), str(described["clean"])
        kind = described["kind"]
        file, pad_id = (
            ("", 0) if kind == "clip" else (str(described["file"]), int(described["pad_id"]))
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderUnavailable(f"The model's tokenizer is not described: {error!r}.") from error
    if kind not in ("clip", "file") or not 2 < length <= MOST_TOKENS or pad_id < 0:
        raise EncoderUnavailable(
            f"The model's tokenizer is {kind!r} with {length} tokens; it is 'clip' or 'file' with at "
            f"most {MOST_TOKENS:,}."
        )
    if kind == "clip":
        return ClipTokenizer(length, clean)
    return HubTokenizer(folder / file, length, pad_id, clean)


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
    """The words of a text and the numbers of their byte pairs.

    There are 49,000 merges, in every process: each is kept as one string, and a part's number follows
    from the merge that made it.
    """

    def __init__(self, merges: list[str]) -> None:
        """Keep the merges, the first one first, each as its two parts with a space between."""
        import regex

        self._ranks = {merge: rank for rank, merge in enumerate(merges)}
        self.start_id = 2 * BYTES + len(merges)
        self.end_id = self.start_id + 1
        self._pattern = regex.compile(
            START + "|" + END + r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
            regex.IGNORECASE,
        )
        self.tokens_of = lru_cache(maxsize=KNOWN_WORDS)(self._tokens_of)

    def words_of(self, text: str) -> Iterator[str]:
        """Yield the words of a cleaned text, one after the other."""
        return (found.group() for found in self._pattern.finditer(text))

    def _tokens_of(self, word: str) -> tuple[int, ...]:
        """Return the numbers of a word's byte pairs."""
        if word in (START, END):
            return (self.start_id if word == START else self.end_id,)
        letters = _letters()
        parts = [(letters[byte].text, letters[byte].number) for byte in word.encode("utf-8")]
        text, number = parts[-1]
        parts[-1] = f"{text}</w>", number + BYTES
        while len(parts) > 1:
            pairs = [f"{first} {second}" for (first, _), (second, _) in itertools.pairwise(parts)]
            merge = min(pairs, key=lambda pair: self._ranks.get(pair, math.inf))
            if merge not in self._ranks:
                break
            parts = _merged(parts, pairs, merge, 2 * BYTES + self._ranks[merge])
        return tuple(number for _, number in parts)


def _merged(parts: list[Part], pairs: list[str], merge: str, number: int) -> list[Part]:
    """Return the parts with every occurrence of a merge as one part of that number."""
    merged: list[Part] = []
    at = 0
    while at < len(parts):
        if at < len(pairs) and pairs[at] == merge:
            merged.append((parts[at][0] + parts[at + 1][0], number))
            at += 2
        else:
            merged.append(parts[at])
            at += 1
    return merged


@cache
def _byte_pairs() -> _BytePairs:
    text = gzip.decompress(MERGES_FILE.read_bytes()).decode("utf-8")
    # The first line says what the file is; behind the last merge that is used come 200,000 others.
    return _BytePairs(text.split("\n", MERGE_COUNT + 1)[1:-1])


class _Letter(NamedTuple):
    """What stands for a byte, and its number among the tokens."""

    text: str
    number: int


@cache
def _letters() -> dict[int, _Letter]:
    """Return a printable letter for each byte: its own where it has one, else one above all of them."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = [byte for byte in range(BYTES) if byte not in own]
    texts = [chr(byte) for byte in own] + [chr(BYTES + place) for place in range(len(others))]
    return {
        byte: _Letter(text, number)
        for number, (byte, text) in enumerate(zip([*own, *others], texts, strict=True))
    }
