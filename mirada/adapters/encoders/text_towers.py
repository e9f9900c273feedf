"""The text tower of the image encoder as an encoder of prompts and captions, in their own spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind
from mirada.ports import PromptEncoder, TextEncoder

if TYPE_CHECKING:
    from mirada.adapters.encoders.batching import BatchingEncoder


class PromptTower:
    """The encoder of prompts where TEXT_MODEL is not set; its vectors equal those of text queries."""

    def __init__(self, encoder: BatchingEncoder) -> None:
        """Keep the encoder; its owner closes it."""
        self._encoder = encoder
        self._space = replace(encoder.space, kind=SpaceKind.PROMPT)

    @property
    def space(self) -> EmbeddingSpace:
        """The space of prompts with the image space's model."""
        return self._space

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        return self._encoder.encode_texts(texts)

    def interactive(self) -> TextEncoder:
        """Return this encoder for calls that a person waits for; they precede all bulk work."""
        return _Urgent(self._encoder, self._space)


class _Urgent:
    def __init__(self, encoder: BatchingEncoder, space: EmbeddingSpace) -> None:
        self._encoder = encoder.interactive()
        self._space = space

    @property
    def space(self) -> EmbeddingSpace:
        """The space of prompts with the image space's model."""
        return self._space

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        return self._encoder.encode_texts(texts)


class CaptionTower:
    """The encoder of captions: the encoder of prompts, in a space of captions."""

    def __init__(self, encoder: PromptEncoder) -> None:
        """Keep the encoder; its owner closes it."""
        self._encoder = encoder
        self._space = replace(encoder.space, kind=SpaceKind.CAPTION)

    @property
    def space(self) -> EmbeddingSpace:
        """The space of captions with the prompt space's model."""
        return self._space

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`. Calls precede all bulk work."""
        return self._encoder.interactive().encode_texts(texts)
