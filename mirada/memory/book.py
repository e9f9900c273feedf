"""The list of styles made ready, what everybody's prompts say beside it, and one person's prompts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mirada.kernel.embeddings import Matrix, Vector
from mirada.memory.groups import LEAST_ROWS, Surroundings
from mirada.memory.known import Style
from mirada.memory.matching import Floats, StyleVectors, StyleWords, shown
from mirada.memory.plain import PLAIN_PROMPTS
from mirada.memory.rates import PhraseRates, StyleRates, Writer, language_mix
from mirada.memory.words import Segment, Stems, read


@dataclass(frozen=True)
class Diary:
    """One person's distinct prompts, oldest first.

    Attributes:
        owner_id: whose they are.
        texts: n prompts, no two the same.
        vectors: (n, d) float32 unit rows of the prompts, a row of NaN where there is none; None where
            there are none at all.
        pictures: (n, p) float32 unit rows, the mean of each prompt's pictures, in the same form.
    """

    owner_id: int
    texts: Sequence[str]
    vectors: Matrix | None = None
    pictures: Matrix | None = None

    @cached_property
    def prompts(self) -> list[tuple[Segment, ...]]:
        """The prompts as segments of words."""
        return [read(text) for text in self.texts]

    @cached_property
    def languages(self) -> Mapping[str, float]:
        """The share of each language."""
        return language_mix(self.prompts)


class StyleBook:
    """A list of styles, as words and as vectors of one space."""

    def __init__(self, styles: Sequence[Style], vectors: Mapping[str, Vector] | None) -> None:
        """Make it ready.

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
    """Return every text whose vector a StyleBook needs, each once."""
    described = [text for style in styles for text in style.descriptions]
    return list(dict.fromkeys([*PLAIN_PROMPTS, *described]))


def version_of(styles: Sequence[Style]) -> str:
    """Return 64 hex digits that two lists share only when they are the same."""
    content = [[style.name, *style.descriptions] for style in styles]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


class Background:
    """How often everybody uses phrases and shows styles: rates, no texts and no ids."""

    def __init__(self, diaries: Sequence[Diary], book: StyleBook) -> None:
        """Count; nothing of the texts is kept but stems that several people use."""
        self._phrases = PhraseRates(
            Writer(diary.owner_id, diary.prompts) for diary in diaries if diary.texts
        )
        shares = np.zeros((len(diaries), len(book.styles)))
        for row, diary in enumerate(diaries):
            if diary.texts and book.styles:
                evidence = book.words.evidence(diary.prompts, self.rate_for(diary))
                seen = shown(evidence, book.standing(diary.vectors)).is_shown
                shares[row] = seen.mean(axis=0)
        self._styles = StyleRates([diary.owner_id for diary in diaries], shares)
        self.prompt_space = _surroundings(diaries, [diary.vectors for diary in diaries])
        self.picture_space = _surroundings(diaries, [diary.pictures for diary in diaries])

    def rate_for(self, diary: Diary) -> Callable[[Stems], float]:
        """Return a function from a phrase to its rate among everybody but the diary's owner."""
        return lambda key: self._phrases.rate(key, diary.owner_id, diary.languages)

    def style_rates(self, owner_id: int) -> Floats:
        """Return (s,) shares of prompts that show each style, over everybody but one person."""
        return np.asarray(self._styles.rates(owner_id))


def _surroundings(
    diaries: Sequence[Diary], matrices: Sequence[Matrix | None]
) -> Surroundings | None:
    """Return everybody's vectors of a space; None where there are too few to compare with."""
    owners, rows = [], []
    for diary, matrix in zip(diaries, matrices, strict=True):
        if matrix is not None:
            known = matrix[~np.isnan(matrix[:, 0])]
            owners += [diary.owner_id] * len(known)
            rows.append(known)
    if len(owners) < LEAST_ROWS:
        return None
    return Surroundings(np.array(owners), np.concatenate(rows))
