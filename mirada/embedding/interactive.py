"""Encoders and embedding spaces for calls that somebody waits for: weights are not waited for long."""

from __future__ import annotations

from contextlib import AbstractContextManager

from mirada.db import spaces
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import Conflict
from mirada.kernel.turns import Turns
from mirada.ports import CalibratedEncoder, TextEncoder
from mirada.runtime import EncoderKind, Runtime

LOADING_WAIT_S = 8.0
"""Longest wait of a call for weights that are being loaded; then it is Unavailable. The bundled ones
take less. Every start loads them before the server calls itself healthy."""
PICTURES_AT_ONCE = 2
"""One is decoded, by a child process, while the one before it is encoded."""
THREADS_LEFT = 2
TURN_WITHIN_S = 30.0
"""As long as a request may wait for a thread: its client has given up by then, or tries again."""
MANY_PICTURES = "Many pictures are being looked at just now; try again shortly."
SWITCHED_OFF = "Embeddings are switched off here (EMBEDDINGS_ENABLED=false)."


def require_embeddings(runtime: Runtime) -> None:
    """Raise Conflict where embeddings are switched off."""
    if not runtime.settings.embeddings_enabled:
        raise Conflict(SWITCHED_OFF)


def interactive_encoder(runtime: Runtime, wait_s: float | None = None) -> CalibratedEncoder:
    """Return the encoder of pictures and texts.

    Raises:
        Conflict: embeddings are switched off.
        Unavailable: the weights take longer than `wait_s` to load; None waits LOADING_WAIT_S.
    """
    require_embeddings(runtime)
    return runtime.encoder_within(_patience(wait_s)).interactive()


def interactive_text_encoder(runtime: Runtime, wait_s: float | None = None) -> TextEncoder:
    """Return the encoder of prompts; raises as `interactive_encoder` does."""
    require_embeddings(runtime)
    return runtime.text_encoder_within(_patience(wait_s)).interactive()


def picture_turn(runtime: Runtime) -> AbstractContextManager[None]:
    """Return a block in which a picture that somebody waits for may be decoded and encoded.

    Few are at it at once in a process, whoever came first goes first, and two threads stay free for
    everybody else: pictures that are all begun at once take each other's processor, and none is done.

    Raises:
        Unavailable: too many wait already, or the turn did not come within TURN_WITHIN_S.
    """

    def build() -> Turns:
        waiting = max(1, runtime.settings.web_threads - PICTURES_AT_ONCE - THREADS_LEFT)
        return Turns(PICTURES_AT_ONCE, waiting, TURN_WITHIN_S, MANY_PICTURES)

    return runtime.remembered("picture_turns", build).taken()


def known_space(
    runtime: Runtime, kind: EncoderKind = SpaceKind.IMAGE
) -> tuple[int, EmbeddingSpace]:
    """Return the id and value of the space of pictures or prompts; the first run's encoder decides it.

    Raises:
        Conflict: there is none, and embeddings are switched off.
        Unavailable: there is none yet, and the weights take long to load.
    """
    if kind is SpaceKind.IMAGE:
        if not runtime.space_is_known():
            interactive_encoder(runtime)
        return runtime.space()
    with runtime.reading() as session:
        is_known = spaces.pinned_space(session, kind) is not None
    if not is_known:
        interactive_text_encoder(runtime)
    return runtime.space(kind)


def _patience(wait_s: float | None) -> float:
    return LOADING_WAIT_S if wait_s is None else wait_s
