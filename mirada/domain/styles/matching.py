"""Which prompts show which listed styles: by their words, by their vectors, and by whose they are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.domain.embeddings import Matrix
from mirada.domain.styles.everyday import EVERYDAY_WORDS
from mirada.domain.styles.known import Style
from mirada.domain.styles.rates import RARE_RATE, plain_rate
from mirada.domain.styles.words import Segment, Stems, folded_of, phrases_of, read

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Prompt = tuple[Segment, ...]
PhraseRate = Callable[[Stems], float]

PHRASE_SHARE = 0.3
WHOLE = 6.5
"""The least that a segment says which is nothing but a phrase of the list."""
WORD_SHARE = 0.05
WORD_WEIGHT, VECTOR_WEIGHT, BIAS = 1.5, 0.4, -8.3
SHRINKAGE = 0.5
MOST_Z = 12.0
CERTAIN = 0.5
ROUNDS = 8
WAY_WEIGHT = 5.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the words of n prompts say about s styles.

    Attributes:
        words: (n, s) log likelihood ratios.
        named: (n, s) whether a whole phrase of the list was found.
        signs: by prompt and style, the stems that spoke for it.
    """

    words: Floats
    named: Flags
    signs: Sequence[dict[int, frozenset[str]]]


class StyleWords:
    """The list as words: which phrases and which words speak for which style."""

    def __init__(self, styles: Sequence[Style]) -> None:
        """Read every name and description."""
        self._count = len(styles)
        self._phrases: dict[Stems, set[int]] = defaultdict(set)
        self._words: dict[str, set[int]] = defaultdict(set)
        self._exact: set[tuple[str, ...]] = set()
        for place, style in enumerate(styles):
            for text in (style.name, *style.descriptions):
                for segment in read(text):
                    key = tuple(word.stem for word in segment if word.stem)
                    self._phrases[key].add(place)
                    exact = tuple(word.folded for word in segment if word.stem)
                    if not set(exact) <= EVERYDAY_WORDS:
                        self._exact.add(exact)
                    for part in key:
                        self._words[part].add(place)

    def evidence(self, prompts: Sequence[Prompt], rate: PhraseRate) -> Evidence:
        """Return what n prompts say; a word counts for the less, the more everybody uses it."""
        words = np.zeros((len(prompts), self._count))
        named = np.zeros((len(prompts), self._count), dtype=bool)
        signs: list[dict[int, frozenset[str]]] = []
        for row, prompt in enumerate(prompts):
            said: dict[int, set[str]] = defaultdict(set)
            whole = {tuple(word.stem for word in segment if word.stem) for segment in prompt}
            found_at = list(phrases_of(prompt))
            keys = {found.key for found in found_at}
            exact = {found.key for found in found_at if folded_of(prompt, found) in self._exact}
            for key in sorted(keys, key=len, reverse=True):
                for style in self._phrases.get(key, ()):
                    # A phrase within a longer one that was found adds nothing.
                    if not set(key) <= said[style]:
                        usual = RARE_RATE if key in exact else plain_rate(key)
                        weight = max(0.0, math.log(PHRASE_SHARE / usual))
                        words[row, style] += max(WHOLE, weight) if key in whole else weight
                        named[row, style] = True
                        said[style] |= set(key)
            for key in keys:
                if len(key) > 1:
                    continue
                styles = self._words.get(key[0], ())
                gain = math.log(WORD_SHARE / max(rate(key), plain_rate(key))) - 0.5 * math.log(
                    max(1, len(styles))
                )
                for style in styles:
                    if gain > 0 and key[0] not in said[style]:
                        words[row, style] += gain
                        said[style].add(key[0])
            signs.append({style: frozenset(by) for style, by in said.items() if by})
        return Evidence(words, named, signs)


class StyleVectors:
    """The list as vectors, and the space's own zero and unit."""

    def __init__(self, plain: Matrix, owners: Sequence[int], vectors: Matrix, count: int) -> None:
        """Measure the space by (n, d) unit vectors of prompts without a style.

        Args:
            plain: those prompts.
            owners: by description, the number of its style.
            vectors: (m, d) unit vectors of the descriptions.
            count: how many styles there are.
        """
        wide = plain.astype(np.float64)
        self._mean = wide.mean(axis=0)
        centred = wide - self._mean
        covariance = centred.T @ centred / len(wide)
        size = covariance.shape[0]
        shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / size * np.eye(
            size
        )
        values, axes = np.linalg.eigh(shrunk)
        self._whitening = axes / np.sqrt(values)
        self._descriptions = self.whitened(vectors)
        self._owners = np.asarray(owners)
        self._count = count
        self.plain = self.whitened(plain)
        near = self._near(self.plain)
        self._zero, self._unit = near.mean(axis=0), near.std(axis=0)

    def whitened(self, vectors: Matrix) -> Floats:
        """Return (n, d) unit rows with what all prompts share taken out."""
        rows = (vectors.astype(np.float64) - self._mean) @ self._whitening
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))

    def _near(self, rows: Floats) -> Floats:
        near = rows @ self._descriptions.T
        out = np.full((len(rows), self._count), -np.inf)
        for column, owner in enumerate(self._owners):
            out[:, owner] = np.maximum(out[:, owner], near[:, column])
        return out

    def standing(self, rows: Floats) -> Floats:
        """Return (n, s) how far whitened rows stand out for each style, in deviations of plain prompts."""
        return np.asarray((self._near(rows) - self._zero) / self._unit)


@dataclass(frozen=True, slots=True)
class Shown:
    """Which of n prompts show which of s styles.

    Attributes:
        probability: (n, s).
        is_shown: (n, s).
        ways: (s,) in how many different ways the person says each for certain.
    """

    probability: Floats
    logits: Floats
    is_shown: Flags
    ways: Floats


def shown(evidence: Evidence, standing: Floats | None) -> Shown:
    """Return it; standing is (n, s), NaN rows where a prompt has no vector."""
    logits = WORD_WEIGHT * evidence.words + BIAS
    if standing is not None:
        logits = logits + VECTOR_WEIGHT * np.clip(np.nan_to_num(standing), 0.0, MOST_Z)
    _n, s = logits.shape
    units: list[dict[frozenset[str], list[int]]] = [defaultdict(list) for _ in range(s)]
    for row, signs in enumerate(evidence.signs):
        for style, sign in signs.items():
            units[style][sign].append(row)
    boosted, post = logits, _posterior(logits)
    ways = np.zeros(s)
    for _ in range(ROUNDS):
        for style in range(s):
            column = post[:, style]
            ways[style] = sum(float(column[rows].max()) for rows in units[style].values())
        boosted = logits + np.log1p(WAY_WEIGHT * ways)
        post = _posterior(boosted)
    return Shown(post, boosted, (post > CERTAIN) | ((boosted > 0) & evidence.named), ways)


def _posterior(logits: Floats) -> Floats:
    top = np.maximum(logits.max(axis=1, initial=0.0), 0.0)
    e = np.exp(logits - top[:, None])
    return np.asarray(e / (e.sum(axis=1) + np.exp(-top))[:, None])
