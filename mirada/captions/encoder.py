"""What embeds captions: a language model's server where there is a key, else what embeds prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mirada.db import spaces
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, Vector
from mirada.kernel.errors import Conflict, EmbeddingSpaceMismatch
from mirada.language_model import spending
from mirada.language_model.paying import paid_language_model
from mirada.language_model.spending import Order
from mirada.ports import LANGUAGE_MODEL_TIMEOUT_S
from mirada.runtime import Runtime

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from mirada.ports import EmbeddedTexts, TextEncoder

LOCAL = "local"
"""TEXT_EMBEDDING_MODEL=local: captions are embedded here although there is a key."""
SERVER = "server"
"""What stands for weights in the name of a space whose vectors are paid for."""
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
NO_KEY = (
    "Captions are embedded by a language model's server, and OPENAI_API_KEY is not set. Set it, or "
    "embed every caption anew by the local model: flask --app wsgi captions switch-model"
)


class PaidEncoder:
    """A TextEncoder of the caption space that is paid for; see `ports.TextEncoder`. Thread-safe.

    It also raises BudgetReached and whatever else `LanguageModel.embed` does.
    """

    def __init__(
        self, runtime: Runtime, space: EmbeddingSpace, timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S
    ) -> None:
        """Keep them; `timeout_s` is that of one call."""
        self._runtime = runtime
        self._space = space
        self._timeout_s = timeout_s

    @property
    def space(self) -> EmbeddingSpace:
        """The space of every vector this encoder returns."""
        return self._space

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows. Raises EmbeddingSpaceMismatch for another dimension."""
        rows = [np.empty((0, self._space.dimension), np.float32)]
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            rows.append(self._embed(order_for(), texts[start : start + TEXTS_AT_ONCE]))
        return np.concatenate(rows)

    def encode_once(
        self,
        text: str,
        order: Order,
        *,
        received: Callable[[Vector], None],
        unless: Callable[[Session], None],
    ) -> None:
        """Have a text embedded and give its vector to `received` before its cost is written.

        Args:
            text: normalised.
            order: what the call is recorded as.
            received: keeps the vector.
            unless: see `spending.reserve`.
        """
        self._embed(order, [text], received=received, unless=unless)

    def _embed(
        self,
        order: Order,
        texts: Sequence[str],
        *,
        received: Callable[[Vector], None] | None = None,
        unless: Callable[[Session], None] | None = None,
    ) -> Matrix:
        def take(embedded: EmbeddedTexts) -> None:
            found = embedded.vectors.shape[1]
            if found != self._space.dimension:
                raise EmbeddingSpaceMismatch(
                    f"{self._space.encoder} gives vectors of {found} numbers now, and captions are "
                    f"embedded with {self._space.dimension}."
                )
            if received is not None:
                received(embedded.vectors[0])

        return (
            paid_language_model(self._runtime, order)
            .embed(
                self._space.encoder,
                [text[:READ_CHARACTERS] for text in texts],
                timeout_s=self._timeout_s,
                received=take,
                unless=unless,
            )
            .vectors
        )


def is_paid(runtime: Runtime) -> bool:
    """Return whether embedding a caption, or a question to captions, costs money.

    Once captions have a space it stays: a key that is set later changes nothing by itself.

    Raises:
        Conflict: it would, and there is no key.
    """
    settings = runtime.settings
    pinned = _pinned(runtime)
    if pinned is None:
        return settings.openai_api_key is not None and settings.text_embedding_model != LOCAL
    if pinned.pretrained != SERVER:
        return False
    if settings.openai_api_key is None:
        raise Conflict(NO_KEY)
    return True


def can_embed(runtime: Runtime) -> bool:
    """Return whether captions are embedded here at all: embeddings are on, and a key where it is due."""
    if not runtime.settings.embeddings_enabled:
        return False
    try:
        is_paid(runtime)
    except Conflict:
        return False
    return True


def caption_encoder(
    runtime: Runtime, timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S
) -> PaidEncoder | TextEncoder:
    """Return what embeds captions, in the pinned space where there is one.

    A local model's space is pinned by this, a server's with the first vector that came from there:
    a name that no server knows must bind nobody.

    Args:
        runtime: whose settings choose it.
        timeout_s: of one call to a server.

    Raises:
        Conflict: they were embedded by a server, and there is no key.
        EncoderUnavailable: the weights cannot be had.
        EmbeddingSpaceMismatch: the captions of the database were embedded by another model.
        Unavailable: a server has to be asked for a dimension, and does not tell.
    """
    encoder: PaidEncoder | TextEncoder
    pinned = _pinned(runtime)
    if is_paid(runtime):
        encoder = PaidEncoder(runtime, _paid_space(runtime), timeout_s)
        if pinned is None:
            return encoder
    else:
        encoder = runtime.caption_tower
    if pinned != encoder.space:
        # Only then: a question that wrote would wait for whoever writes.
        with runtime.transaction() as session:
            spaces.pin_space(session, encoder.space)
    return encoder


def order_for(subject: str | None = None) -> Order:
    """Return the order of a vector outside any job.

    Vectors are nobody's and the installation's: whether one had to be paid for tells whether
    somebody else has said, or asked, the same.
    """
    return Order(spending.CAPTION_EMBEDDING, subject)


def _pinned(runtime: Runtime) -> EmbeddingSpace | None:
    with runtime.reading() as session:
        row = spaces.pinned_space(session, SpaceKind.CAPTION)
    return None if row is None else row.to_domain()


def _paid_space(runtime: Runtime) -> EmbeddingSpace:
    name = runtime.settings.text_embedding_model
    dimension = KNOWN_DIMENSIONS.get(name)
    if dimension is None:
        with runtime.reading() as session:
            known = spaces.caption_space_of(session, name)
        if known is not None:
            return known.to_domain()
        probed = paid_language_model(runtime, order_for()).embed(name, [PROBE])
        dimension = int(probed.vectors.shape[1])
    return EmbeddingSpace(SpaceKind.CAPTION, name, SERVER, "first-8000-v1", dimension)
