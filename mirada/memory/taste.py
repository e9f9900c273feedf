"""A person's taste, cached until anything it depends on changes; and the warm-up of the list of styles."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mirada.background import Loop
from mirada.db import spaces
from mirada.embedding.label_vectors import LabelVector, known_vectors, store_vectors
from mirada.kernel.embeddings import SpaceKind, Vector
from mirada.kernel.errors import EmbeddingSpaceMismatch, Unavailable
from mirada.memory import history
from mirada.memory.background import Background
from mirada.memory.style_matcher import StyleMatcher, texts_of, version_of
from mirada.memory.styles import STYLES, Style
from mirada.memory.summary import Taste, taste_of
from mirada.ports import TextEncoder
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

LOADING_WAIT_S = 20.0
PATIENCE_S = 60.0
TEXTS_AT_ONCE = 64
"""Encoded, then stored: what a request that gives up has done is not done again."""
REMEMBERED = 1_000
"""People whose taste one process remembers: about 30 kB each."""
BACKGROUND_S = 300.0
"""How long everybody's rates are taken for unchanged before they are read again."""
LOOK_EVERY_S = 2.0
"""Until prompts are embedded there is no space that the texts could be encoded in."""
RETRY_S = 30.0
"""After trouble: a database that is down, or weights that cannot be had, which it costs to look for."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """Everybody's rates, the sample they are of, and the time it was last read."""

    key: tuple[object, ...]
    version: str
    background: Background
    read_at: float


class TasteCache:
    """The tastes that one process has computed, by person and fingerprint. Thread-safe."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._lock = threading.Lock()
        self._computing = threading.Lock()
        self.matcher: tuple[tuple[object, ...], StyleMatcher] | None = None
        self.compared: _Compared | None = None
        self._tastes: OrderedDict[int, tuple[tuple[object, ...], Taste]] = OrderedDict()

    def get(self, user_id: int, key: tuple[object, ...]) -> Taste | None:
        """Return a person's taste if it was computed from this very key."""
        with self._lock:
            known = self._tastes.get(user_id)
            if known is None or known[0] != key:
                return None
            self._tastes.move_to_end(user_id)
            return known[1]

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Let one thread compute at a time, since the rates are computed once for everybody.

        Raises:
            Unavailable: it took others too long.
        """
        if not self._computing.acquire(timeout=LOADING_WAIT_S):
            raise Unavailable("Styles are being reckoned for others; try again shortly.")
        try:
            yield
        finally:
            self._computing.release()

    def put(self, user_id: int, key: tuple[object, ...], taste: Taste) -> None:
        """Keep a taste, and drop the one that was not asked for longest where there is no room."""
        with self._lock:
            self._tastes[user_id] = (key, taste)
            self._tastes.move_to_end(user_id)
            while len(self._tastes) > REMEMBERED:
                self._tastes.popitem(last=False)


def taste(runtime: Runtime, user_id: int) -> Taste:
    """Return a person's taste as of now; an empty one without EMBEDDINGS_ENABLED.

    Raises:
        Unavailable: the list's vectors are not computed yet, and the text encoder is not ready.
    """
    if not runtime.settings.embeddings_enabled:
        return Taste()
    cache = runtime.remembered("tastes", TasteCache)
    with runtime.reading() as session:
        prompt_space_id = spaces.pinned_space_id(session, SpaceKind.PROMPT)
        image_space_id = spaces.pinned_space_id(session)
        in_force = STYLES.in_force(session)
        theirs = history.outline(session, user_id, prompt_space_id, image_space_id)
        mark = history.watermark(session)
    if not theirs.images:
        return Taste()
    listed = (prompt_space_id, version_of(in_force))
    # Pictures count too, and their vectors may change while those of prompts stay.
    everybody = (*listed, mark, image_space_id)
    compared = cache.compared
    if compared is not None and _is_current(compared, everybody):
        known = cache.get(user_id, (theirs.fingerprint, *listed, compared.version))
        if known is not None:
            return known
    with cache.computing():
        # Others may have computed the list, the rates or even this very taste by now.
        matcher = _matcher(runtime, cache, listed, in_force)
        compared = _compared(runtime, cache, matcher, everybody)
        key = (theirs.fingerprint, *listed, compared.version)
        known = cache.get(user_id, key)
        if known is not None:
            return known
        with runtime.reading() as session:
            kept = history.read_history(
                session, user_id, theirs.images, prompt_space_id, image_space_id
            )
            found = taste_of(session, kept, matcher, compared.background)
        cache.put(user_id, key, found)
    return found


def _is_current(compared: _Compared, key: tuple[object, ...]) -> bool:
    return compared.key == key and time.monotonic() - compared.read_at < BACKGROUND_S


def _compared(
    runtime: Runtime,
    cache: TasteCache,
    matcher: StyleMatcher,
    key: tuple[Any, ...],
) -> _Compared:
    prompt_space_id, _version, mark, image_space_id = key
    known = cache.compared
    if known is not None and _is_current(known, key):
        return known
    with runtime.reading() as session:
        sample, digest = history.sampled_histories(session, mark, prompt_space_id, image_space_id)
    version = hashlib.sha256(repr((key, digest)).encode()).hexdigest()
    if known is not None and known.version == version:
        background = known.background
    else:
        background = Background(sample, matcher)
    cache.compared = _Compared(key, version, background, time.monotonic())
    return cache.compared


def _matcher(
    runtime: Runtime, cache: TasteCache, key: tuple[int | None, str], in_force: Sequence[Style]
) -> StyleMatcher:
    if cache.matcher is None or cache.matcher[0] != key:
        vectors = None if key[0] is None else _vectors_of(runtime, key[0], texts_of(in_force))
        cache.matcher = (key, StyleMatcher(in_force, vectors))
    return cache.matcher[1]


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
        in_force = STYLES.in_force(session)
    if space_id is None:
        return False
    texts = texts_of(in_force)
    while missing := _missing(texts, _stored(runtime, space_id, texts)):
        if not may_encode or is_stopping():
            return False
        # From the end, and looked up again each time: whoever asks meanwhile begins at the beginning.
        _encode(runtime, runtime.text_encoder, space_id, missing[-TEXTS_AT_ONCE:])
    cache = runtime.remembered("tastes", TasteCache)
    with cache.computing():
        _matcher(runtime, cache, (space_id, version_of(in_force)), in_force)
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


class StyleWarmUp(Loop):
    """A loop that waits until prompts are embedded, encodes the list of styles, and ends."""

    def __init__(self, runtime: Runtime, *, may_encode: bool) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            runtime: the process's own.
            may_encode: false where workers encode: then it waits for what they store.
        """
        super().__init__(
            "styles",
            self._make_ready,
            LOOK_EVERY_S,
            "The list of styles is not ready yet",
            retry_s=RETRY_S,
        )
        self._runtime = runtime
        self._may_encode = may_encode

    def start(self) -> None:
        """Begin in the background; without EMBEDDINGS_ENABLED there is nothing to do."""
        if self._runtime.settings.embeddings_enabled:
            super().start()

    def _make_ready(self) -> bool:
        try:
            with self._runtime.keeping_view():
                return make_ready(
                    self._runtime, may_encode=self._may_encode, is_stopping=self.is_stopping
                )
        except EmbeddingSpaceMismatch as error:
            logger.warning("The list of styles is not made ready: %s", error)
            return True
