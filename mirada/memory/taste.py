"""A person's taste, remembered while nothing it depends on changes; the list's vectors are kept for ever."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mirada.db import spaces
from mirada.embedding.label_vectors import LabelVector, known_vectors, store_vectors
from mirada.kernel.embeddings import SpaceKind, Vector
from mirada.kernel.errors import Unavailable
from mirada.memory import diaries, style_list
from mirada.memory.book import Background, StyleBook, texts_of, version_of
from mirada.memory.known import Style
from mirada.memory.summary import Taste, taste_of
from mirada.ports import TextEncoder
from mirada.runtime import Runtime

LOADING_WAIT_S = 20.0
PATIENCE_S = 60.0
TEXTS_AT_ONCE = 64
"""Encoded, then stored: what a request that gives up has done is not done again."""
REMEMBERED = 1_000
"""People whose taste one process remembers: about 10 kB each."""
BACKGROUND_S = 300.0
"""How long everybody's rates are taken for unchanged before they are read again."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """Everybody's rates, by which sample they are, and when it was last read."""

    key: tuple[object, ...]
    version: str
    background: Background
    read_at: float


class TasteMemory:
    """What one process remembers of tastes; thread-safe, and never asked without a fingerprint."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._lock = threading.Lock()
        self._reckoning = threading.Lock()
        self.book: tuple[tuple[object, ...], StyleBook] | None = None
        self.compared: _Compared | None = None
        self._tastes: OrderedDict[int, tuple[tuple[object, ...], Taste]] = OrderedDict()

    def get(self, user_id: int, key: tuple[object, ...]) -> Taste | None:
        """Return a person's taste if it was reckoned from exactly this."""
        with self._lock:
            known = self._tastes.get(user_id)
            if known is None or known[0] != key:
                return None
            self._tastes.move_to_end(user_id)
            return known[1]

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Reckon one at a time: it is arithmetic, and the rates are reckoned once for everybody.

        Raises:
            Unavailable: it took others too long.
        """
        if not self._reckoning.acquire(timeout=LOADING_WAIT_S):
            raise Unavailable("Styles are being reckoned for others; try again shortly.")
        try:
            yield
        finally:
            self._reckoning.release()

    def put(self, user_id: int, key: tuple[object, ...], taste: Taste) -> None:
        """Remember it, and forget whoever was not asked about for longest where there is no room."""
        with self._lock:
            self._tastes[user_id] = (key, taste)
            self._tastes.move_to_end(user_id)
            while len(self._tastes) > REMEMBERED:
                self._tastes.popitem(last=False)


def taste(runtime: Runtime, user_id: int) -> Taste:
    """Return what is true of a person's images now; nothing without EMBEDDINGS_ENABLED.

    Raises:
        Unavailable: the list's vectors are not computed yet, and the text encoder is not ready.
    """
    if not runtime.settings.embeddings_enabled:
        return Taste()
    memory = runtime.remembered("tastes", TasteMemory)
    with runtime.reading() as session:
        prompt_space_id = spaces.pinned_space_id(session, SpaceKind.PROMPT)
        image_space_id = spaces.pinned_space_id(session)
        in_force = style_list.styles_in_force(session)
        theirs = diaries.outline(session, user_id, prompt_space_id, image_space_id)
        mark = diaries.watermark(session)
    if not theirs.images:
        return Taste()
    listed = (prompt_space_id, version_of(in_force))
    compared = memory.compared
    if compared is not None and _is_current(compared, (*listed, mark)):
        known = memory.get(user_id, (theirs.fingerprint, *listed, compared.version))
        if known is not None:
            return known
    with memory.turn():
        # Others may have reckoned the list, the rates or even this very taste by now.
        book = _book(runtime, memory, listed, in_force)
        compared = _compared(runtime, memory, book, (*listed, mark), image_space_id)
        key = (theirs.fingerprint, *listed, compared.version)
        known = memory.get(user_id, key)
        if known is not None:
            return known
        with runtime.reading() as session:
            kept = diaries.read_diary(
                session, user_id, theirs.images, prompt_space_id, image_space_id
            )
            found = taste_of(session, kept, book, compared.background)
        memory.put(user_id, key, found)
    return found


def _is_current(compared: _Compared, key: tuple[object, ...]) -> bool:
    return compared.key == key and time.monotonic() - compared.read_at < BACKGROUND_S


def _compared(
    runtime: Runtime,
    memory: TasteMemory,
    book: StyleBook,
    key: tuple[Any, ...],
    image_space_id: int | None,
) -> _Compared:
    prompt_space_id, _version, mark = key
    known = memory.compared
    if known is not None and _is_current(known, key):
        return known
    with runtime.reading() as session:
        sample, digest = diaries.everybody(session, mark, prompt_space_id, image_space_id)
    version = hashlib.sha256(repr((key, digest)).encode()).hexdigest()
    if known is not None and known.version == version:
        background = known.background
    else:
        background = Background(sample, book)
    memory.compared = _Compared(key, version, background, time.monotonic())
    return memory.compared


def _book(
    runtime: Runtime, memory: TasteMemory, key: tuple[int | None, str], in_force: Sequence[Style]
) -> StyleBook:
    if memory.book is None or memory.book[0] != key:
        vectors = None if key[0] is None else _vectors_of(runtime, key[0], texts_of(in_force))
        memory.book = (key, StyleBook(in_force, vectors))
    return memory.book[1]


def make_ready(
    runtime: Runtime, *, may_encode: bool, is_stopping: Callable[[], bool] = lambda: False
) -> bool:
    """Encode the list as bulk work and keep it ready; False as long as that has to wait.

    It waits for the first prompt that is embedded, for only then is the texts' space known, and, in
    a process that may not encode, for another one that does.

    Raises:
        Unavailable, EmbeddingSpaceMismatch: as `Runtime.text_encoder` does.
    """
    with runtime.reading() as session:
        space_id = spaces.pinned_space_id(session, SpaceKind.PROMPT)
        in_force = style_list.styles_in_force(session)
    if space_id is None:
        return False
    texts = texts_of(in_force)
    while missing := _missing(texts, _stored(runtime, space_id, texts)):
        if not may_encode or is_stopping():
            return False
        # From the end, and looked up again each time: whoever asks meanwhile begins at the beginning.
        _encode(runtime, runtime.text_encoder, space_id, missing[-TEXTS_AT_ONCE:])
    memory = runtime.remembered("tastes", TasteMemory)
    with memory.turn():
        _book(runtime, memory, (space_id, version_of(in_force)), in_force)
    return True


def _vectors_of(runtime: Runtime, space_id: int, texts: Sequence[str]) -> dict[str, Vector]:
    """Return the prompt space's vectors by text; what was encoded once never is again."""
    found = _stored(runtime, space_id, texts)
    began = time.monotonic()
    done = 0
    while missing := _missing(texts, found):
        if done and time.monotonic() - began > PATIENCE_S:
            raise Unavailable(
                f"Of the {len(texts)} texts of the list of styles {len(missing)} are not encoded "
                "yet; send the request again for the rest.",
                retry_after_s=1,
            )
        encoder = runtime.text_encoder_within(LOADING_WAIT_S).interactive()
        found |= _encode(runtime, encoder, space_id, missing[:TEXTS_AT_ONCE])
        done += TEXTS_AT_ONCE
        # Bulk work may be coming from the other end of the list.
        found |= _stored(runtime, space_id, missing[TEXTS_AT_ONCE:])
    return found


def _stored(runtime: Runtime, space_id: int, texts: Sequence[str]) -> dict[str, Vector]:
    own_id, space = runtime.space(SpaceKind.PROMPT)
    if own_id != space_id:
        raise Unavailable(
            "The text model was changed; this process serves the old one till restart."
        )
    keys = {vector_key(text): text for text in texts}
    with runtime.reading() as session:
        stored = known_vectors(session, own_id, space.dimension, keys)
    return {keys[key]: vector for key, vector in stored.items()}


def _missing(texts: Sequence[str], found: dict[str, Vector]) -> list[str]:
    return [text for text in texts if text not in found]


def _encode(
    runtime: Runtime, encoder: TextEncoder, space_id: int, texts: Sequence[str]
) -> dict[str, Vector]:
    """Encode texts and keep their vectors."""
    encoded = np.asarray(encoder.encode_texts(texts), dtype=np.float32)
    found = dict(zip(texts, encoded, strict=True))
    rows = [LabelVector(vector_key(text), text[:100], vector) for text, vector in found.items()]
    with runtime.transaction() as session:
        store_vectors(session, space_id, rows)
    return found


def vector_key(text: str) -> str:
    """Return what a text of the list is kept under among the vectors of label texts."""
    return hashlib.sha256(f"style\n{text}".encode()).hexdigest()
