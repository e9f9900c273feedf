"""The encoder of captions: a language model's server where there is a key, else the prompts' encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirada.config import Settings
from mirada.db import spaces
from mirada.kernel.commands import command_line
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind
from mirada.kernel.errors import Conflict, EmbeddingSpaceMismatch
from mirada.kernel.model_requests import TIMEOUT_S, EmbeddedTexts, TextsToEmbed
from mirada.language_model import spending
from mirada.language_model.paying import paid_call
from mirada.language_model.spending import Order
from mirada.ports import TextEncoder
from mirada.runtime import Runtime

LOCAL = "local"
"""TEXT_EMBEDDING_MODEL=local: captions are embedded by a local model although there is a key."""
SERVER = "server"
"""The name of the weights in a space whose vectors are paid for."""
SETTING = "TEXT_EMBEDDING_MODEL"
READ_CHARACTERS = 8_000
"""OpenAI's models read 8,191 tokens, none of which is shorter than a character of any language."""
KNOWN_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
PROBE = "a picture"
"""Embedded once to learn the dimension of a model that is not known."""
TEXTS_AT_ONCE = 128
NOBODYS = Order(spending.CAPTION_EMBEDDING)
"""The order of a vector outside any job. Vectors belong to no user but to the installation: whether one
had to be paid for tells whether somebody else has said, or asked, the same."""


@dataclass(frozen=True, slots=True)
class PaidEncoder:
    """A `TextEncoder` of the caption space whose every call is paid for. Thread-safe.

    It also raises BudgetReached, and what `LanguageModel.call` raises.

    Attributes:
        runtime: whose model and budget it uses.
        space: of every vector it returns.
        timeout_s: of one call.
    """

    runtime: Runtime
    space: EmbeddingSpace
    timeout_s: float

    def request(self, texts: Sequence[str]) -> TextsToEmbed:
        """Return the request for the vectors of 1 to TEXTS_AT_ONCE normalised texts."""
        return TextsToEmbed(
            self.space.encoder,
            [text[:READ_CHARACTERS] for text in texts],
            setting=SETTING,
            timeout_s=self.timeout_s,
        )

    def checked(self, reply: EmbeddedTexts) -> Matrix:
        """Return a reply's vectors. Raises EmbeddingSpaceMismatch for another dimension."""
        found = reply.vectors.shape[1]
        if found != self.space.dimension:
            raise EmbeddingSpaceMismatch(
                f"{self.space.encoder} gives vectors of {found} numbers now, and captions are "
                f"embedded with {self.space.dimension}."
            )
        return reply.vectors

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows. Raises EmbeddingSpaceMismatch for another dimension."""
        rows = [np.empty((0, self.space.dimension), np.float32)]
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            request = self.request(texts[start : start + TEXTS_AT_ONCE])
            with paid_call(self.runtime, NOBODYS, request) as reply:
                rows.append(self.checked(reply))
        return np.concatenate(rows)


def is_paid(runtime: Runtime) -> bool:
    """Return whether embedding a caption, or a question to captions, costs money.

    Raises:
        Conflict: a server embeds them, and there is no key.
    """
    return _is_paid(runtime.settings, _pinned(runtime))


def caption_encoder(runtime: Runtime, timeout_s: float = TIMEOUT_S) -> PaidEncoder | TextEncoder:
    """Return the encoder of captions, in the pinned space where there is one.

    A local model's space is pinned by this, a server's with the first vector that came from there:
    a name that no server knows must bind nobody.

    Args:
        runtime: its settings choose the encoder.
        timeout_s: of one call to a server.

    Raises:
        Conflict: they were embedded by a server, and there is no key.
        EncoderUnavailable: the weights cannot be had.
        EmbeddingSpaceMismatch: the captions of the database were embedded by another model.
        Unavailable: a server has to be asked for a dimension, and does not tell.
    """
    return encoder_in(runtime, _pinned(runtime), timeout_s)


def encoder_in(
    runtime: Runtime, pinned: EmbeddingSpace | None, timeout_s: float
) -> PaidEncoder | TextEncoder:
    """Return the encoder of captions where the pinned space was just read; as `caption_encoder`."""
    encoder: PaidEncoder | TextEncoder
    if _is_paid(runtime.settings, pinned):
        encoder = PaidEncoder(runtime, _paid_space(runtime), timeout_s)
        if pinned is None:
            return encoder
    else:
        encoder = runtime.caption_tower
    if pinned != encoder.space:
        # Only then: a question that wrote would wait for other writers.
        with runtime.transaction() as session:
            spaces.pin_space(session, encoder.space)
    return encoder


def _is_paid(settings: Settings, pinned: EmbeddingSpace | None) -> bool:
    """Once captions have a space it stays: a key that is set later changes nothing by itself."""
    if pinned is None:
        return settings.openai_api_key is not None and settings.text_embedding_model != LOCAL
    if pinned.pretrained != SERVER:
        return False
    if settings.openai_api_key is None:
        raise Conflict(
            "Captions are embedded by a language model's server, and OPENAI_API_KEY is not set. Set it, "
            "or embed every caption anew by the local model: "
            + command_line("captions switch-model")
        )
    return True


def _pinned(runtime: Runtime) -> EmbeddingSpace | None:
    with runtime.reading() as session:
        row = spaces.pinned_space(session, SpaceKind.CAPTION)
    return None if row is None else row.to_space()


def _paid_space(runtime: Runtime) -> EmbeddingSpace:
    name = runtime.settings.text_embedding_model
    dimension = KNOWN_DIMENSIONS.get(name)
    if dimension is None:
        with runtime.reading() as session:
            known = spaces.caption_space_of(session, name)
        if known is not None:
            return known.to_space()
        with paid_call(runtime, NOBODYS, TextsToEmbed(name, [PROBE], setting=SETTING)) as reply:
            dimension = int(reply.vectors.shape[1])
    return EmbeddingSpace(SpaceKind.CAPTION, name, SERVER, "first-8000-v1", dimension)
