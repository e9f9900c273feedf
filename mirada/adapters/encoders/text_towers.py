"""The encoder of pictures or prompts as an encoder of texts of another kind, in a space of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mirada.adapters.encoders.batching import BatchingEncoder
from mirada.kernel.embeddings import Matrix, SpaceKind
from mirada.ports import TextEncoder


class TextTower:
    """A text encoder whose vectors belong to a space of another kind with the same model.

    Attributes:
        space: the space of every vector.
    """

    def __init__(self, encoder: TextEncoder, kind: SpaceKind) -> None:
        """Keep the encoder; its owner closes it. `kind` is the kind of the new space."""
        self._encoder = encoder
        self.space = replace(encoder.space, kind=kind)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        return self._encoder.encode_texts(texts)


class PromptTower(TextTower):
    """The encoder of prompts where TEXT_MODEL is not set; its vectors equal those of text queries."""

    def __init__(self, encoder: BatchingEncoder) -> None:
        """Keep the encoder; its owner closes it."""
        super().__init__(encoder, SpaceKind.PROMPT)
        self._batching = encoder

    def interactive(self) -> TextEncoder:
        """Return this encoder for calls that a person waits for; they precede all bulk work."""
        return TextTower(self._batching.interactive(), SpaceKind.PROMPT)
