"""The image encoder's text tower as the encoder of prompts, in a space of its own kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind
from mirada.ports import PromptEncoder, TextEncoder

if TYPE_CHECKING:
    from mirada.adapters.encoders.batching import BatchingEncoder


class PromptTower:
    """Embeds prompts where no TEXT_MODEL is named: the same vectors as for queries of pictures."""

    def __init__(self, encoder: BatchingEncoder) -> None:
        """Keep the encoder; whoever made it closes it."""
        self._encoder = encoder
        self._space = replace(encoder.space, kind=SpaceKind.PROMPT)

    @property
    def space(self) -> EmbeddingSpace:
        """The image space's model, as a space of prompts."""
        return self._space

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        return self._encoder.encode_texts(texts)

    def interactive(self) -> TextEncoder:
        """Return the same encoder for calls a person waits for: they pass all bulk work."""
        return _Urgent(self._encoder, self._space)


class _Urgent:
    def __init__(self, encoder: BatchingEncoder, space: EmbeddingSpace) -> None:
        self._encoder = encoder.interactive()
        self._space = space

    @property
    def space(self) -> EmbeddingSpace:
        """The image space's model, as a space of prompts."""
        return self._space

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        return self._encoder.encode_texts(texts)


class CaptionTower:
    """Embeds captions by what embeds prompts, in a space of their own."""

    def __init__(self, encoder: PromptEncoder) -> None:
        """Keep the encoder; whoever made it closes it."""
        self._encoder = encoder
        self._space = replace(encoder.space, kind=SpaceKind.CAPTION)

    @property
    def space(self) -> EmbeddingSpace:
        """The prompt space's model, as a space of captions."""
        return self._space

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`. A person may wait: it hurries."""
        return self._encoder.interactive().encode_texts(texts)
