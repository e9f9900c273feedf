"""Two quick models on one database, and processes that use them: for tests of a change of the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from mirada.adapters.encoders.naming import NamedModel
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, l2_normalise
from mirada.kernel.errors import InvalidInput
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder

DIMENSIONS = {"first": 32, "second": 24}
"""Vectors of one model cannot be compared with the other's by accident."""


class NamedEncoder(CountingEncoder):
    """A model by its name; equal inputs give equal vectors, and each model gives others."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @property
    def space(self) -> EmbeddingSpace:
        return EmbeddingSpace(SpaceKind.IMAGE, self.name, "v1", "none", DIMENSIONS[self.name])

    def encode_images(self, images: Any) -> Matrix:
        return self._own(super().encode_images(images))

    def encode_texts(self, texts: Any) -> Matrix:
        return self._own(super().encode_texts(texts))

    def _own(self, vectors: Matrix) -> Matrix:
        """Return the vectors as this model gives them: of its length, turned its way."""
        turned = np.roll(vectors, len(self.name), axis=1)[:, : DIMENSIONS[self.name]]
        return l2_normalise(turned) if len(turned) else turned.reshape(0, DIMENSIONS[self.name])


def with_two_models(runtime: Runtime) -> dict[str, NamedEncoder]:
    """Let a runtime load "first" and "second" instead of weights, and return both."""
    models = {name: NamedEncoder(name) for name in DIMENSIONS}

    def load_model(name: str, tag: str | None, pinned: Any = None) -> NamedEncoder:
        return models["first" if name in ("auto", "bundled") else name]

    def named_model(name: str, tag: str | None) -> NamedModel:
        if name not in models:
            raise InvalidInput(f"There is no model {name}.")
        return NamedModel(name, None, name, "v1")

    runtime.load_model = load_model  # type: ignore[method-assign,assignment]
    runtime.named_model = named_model  # type: ignore[method-assign]
    return models
