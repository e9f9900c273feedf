"""A list of styles prepared for matching with prompts: as words, and as vectors of one space."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from mirada.kernel.embeddings import Matrix, Vector
from mirada.memory.matching import Floats, StyleVectors, StyleWords
from mirada.memory.plain_language import PLAIN_PROMPTS
from mirada.memory.styles import Style


class StyleMatcher:
    """A list of styles, as words and as vectors of one space."""

    def __init__(self, styles: Sequence[Style], vectors: Mapping[str, Vector] | None) -> None:
        """Prepare the words and the vectors.

        Args:
            styles: the list in force.
            vectors: (d,) unit vectors by text, of every `texts_of(styles)`; None: words alone.
        """
        self.styles = tuple(styles)
        self.names = [style.name for style in styles]
        self.words = StyleWords(styles)
        self.vectors: StyleVectors | None = None
        if vectors is not None and styles:
            owners = [place for place, style in enumerate(styles) for _ in style.descriptions]
            described = [text for style in styles for text in style.descriptions]
            self.vectors = StyleVectors(
                np.stack([vectors[text] for text in PLAIN_PROMPTS]),
                owners,
                np.stack([vectors[text] for text in described]),
                len(styles),
            )

    def standing(self, vectors: Matrix | None) -> Floats | None:
        """Return (n, s) how far each prompt's vector stands out for each style; None without any."""
        if self.vectors is None or vectors is None:
            return None
        return self.vectors.standing(self.vectors.whitened(vectors))


def texts_of(styles: Sequence[Style]) -> list[str]:
    """Return every text whose vector a StyleMatcher needs, each once."""
    described = [text for style in styles for text in style.descriptions]
    return list(dict.fromkeys([*PLAIN_PROMPTS, *described]))


def version_of(styles: Sequence[Style]) -> str:
    """Return 64 hex digits that two lists share only when they are the same."""
    content = [[style.name, *style.descriptions] for style in styles]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()
