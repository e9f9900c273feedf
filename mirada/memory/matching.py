"""Listed styles found in prompts: by words, by vectors, and by what the same writer does elsewhere."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix
from mirada.memory.plain_language import COMMON_STEMS, COMMON_WORDS
from mirada.memory.rates import RARE_RATE, plain_rate
from mirada.memory.styles import Style
from mirada.memory.words import (
    Found,
    Segment,
    Stems,
    folded_of,
    is_aside,
    is_quality,
    phrases_of,
    read,
)

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Prompt = tuple[Segment, ...]
PhraseRate = Callable[[Stems], float]

PHRASE_SHARE, WORD_SHARE = 0.3, 0.05
"""Of the prompts that show a style: how many say a given phrase of the list, and a given word of it."""
WHOLE = 6.5
"""The least that a segment says which is nothing but a phrase of the list."""
WORD_WEIGHT, VECTOR_WEIGHT, BIAS = 1.5, 0.4, -8.3
"""Of words, of vectors, and how unlikely any listed style is before either; chosen on pool a of
benchmarks.styles."""
LEAST_LEAD, LEAST_TELLING = 0.1, 2
"""For a style to be kin of a phrase: how much more of it than the next style, and uncommon words."""
SHRINKAGE = 0.5
"""Of the plain prompts' covariance towards a multiple of one."""
MOST_Z = 12.0
"""Deviations above which a vector says no more."""
CERTAIN = 0.5
ROUNDS = 8
"""In which prompts and their writer vouch for each other; it settles after about five."""
WAY_WEIGHT = 5.0
"""How far one certain way of saying a style raises the odds of the others of the same person."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence for s styles in the words of n prompts.

    Attributes:
        words: (n, s) log likelihood ratios.
        named: (n, s) whether a whole phrase of the list was found.
        signs: by prompt and style, the stems that spoke for it.
    """

    words: Floats
    named: Flags
    signs: Sequence[dict[int, frozenset[str]]]


class StyleWords:
    """The phrases and words that speak for each style of a list."""

    def __init__(self, styles: Sequence[Style]) -> None:
        """Read every name and description."""
        self._count = len(styles)
        self._phrases: dict[Stems, set[int]] = defaultdict(set)
        self._words: dict[str, set[int]] = defaultdict(set)
        self._names: set[Stems] = set()
        self._exact: set[tuple[str, ...]] = set()
        for place, style in enumerate(styles):
            for text in (style.name, *style.descriptions):
                for number, segment in enumerate(read(text)):
                    key = tuple(word.stem for word in segment if word.stem)
                    if number == 0:
                        self._names.add(key)
                    self._phrases[key].add(place)
                    exact = tuple(word.folded for word in segment if word.stem)
                    if not set(exact) <= COMMON_WORDS:
                        self._exact.add(exact)
                    for part in key:
                        self._words[part].add(place)

    def is_name(self, key: Stems) -> bool:
        """Return whether a style is called so, in any language."""
        return key in self._names

    def kin(self, key: Stems) -> tuple[int, float] | None:
        """Return the style whose words make up most of a phrase, and how much, in (0, 1]; None for none.

        Words count by how rare they are, and common ones not alone. Where two styles have as much of
        it, neither is kin.
        """
        weights = {part: max(0.0, math.log(WORD_SHARE / plain_rate((part,)))) for part in key}
        rare = [part for part in key if part not in COMMON_STEMS and not is_quality((part,))]
        total = sum(weights.values())
        shares: dict[int, float] = defaultdict(float)
        telling: Counter[int] = Counter()
        for part, weight in weights.items():
            for style in self._words.get(part, ()):
                shares[style] += weight / max(total, 1e-9)
                telling[style] += part in rare
        for style in list(shares):
            if telling[style] < LEAST_TELLING and key not in self._phrases:
                del shares[style]
        if not shares:
            return None
        first, *others = sorted(shares, key=lambda style: (-shares[style], style))
        if others and shares[first] - shares[others[0]] < LEAST_LEAD:
            return None
        return first, shares[first]

    def evidence(self, prompts: Sequence[Prompt], rate: PhraseRate) -> Evidence:
        """Return the evidence in n prompts; a word that everybody uses counts for less."""
        words = np.zeros((len(prompts), self._count))
        named = np.zeros((len(prompts), self._count), dtype=bool)
        signs: list[dict[int, frozenset[str]]] = []
        for row, prompt in enumerate(prompts):
            said: dict[int, set[str]] = defaultdict(set)
            found = list(phrases_of(prompt))
            for key, weight in self._phrases_said(prompt, found):
                for style in self._phrases[key]:
                    if not set(key) <= said[style]:
                        words[row, style] += weight
                        named[row, style] = True
                        said[style] |= set(key)
            for (stem,) in {one.key for one in found if len(one.key) == 1}:
                styles = self._words.get(stem, ())
                usual = max(rate((stem,)), plain_rate((stem,)))
                gain = math.log(WORD_SHARE / usual) - 0.5 * math.log(max(1, len(styles)))
                for style in styles:
                    if gain > 0 and stem not in said[style]:
                        words[row, style] += gain
                        said[style].add(stem)
            signs.append({style: frozenset(by) for style, by in said.items() if by})
        return Evidence(words, named, signs)

    def _phrases_said(
        self, prompt: Prompt, found: Sequence[Found]
    ) -> Iterator[tuple[Stems, float]]:
        """Yield the phrases of the list in a prompt, the longest first, and how much each says."""
        whole = {tuple(word.stem for word in segment if word.stem) for segment in prompt}
        exact = {one.key for one in found if folded_of(prompt, one) in self._exact}
        covered: set[tuple[int, int]] = set()
        for one in sorted(found, key=lambda one: -len(one.key)):
            span = {(one.segment, place) for place in range(one.start, one.end)}
            # A phrase within a longer one that was found says nothing of its own.
            if one.key not in self._phrases or span <= covered or is_quality(one.key):
                continue
            # One word within a sentence is a phrase only where it is what a style is called.
            if (
                len(one.key) > 1
                or one.key in self._names
                or one.key in whole
                or is_aside(prompt, one)
            ):
                covered |= span
                usual = RARE_RATE if one.key in exact else plain_rate(one.key)
                weight = max(0.0, math.log(PHRASE_SHARE / usual))
                yield one.key, max(WHOLE, weight) if one.key in whole else weight


def shrunk_covariance(centred: Floats, share: float) -> Floats:
    """Return the covariance of (n, d) centred rows, moved by a share towards a multiple of one."""
    covariance = centred.T @ centred / len(centred)
    size = len(covariance)
    return np.asarray((1 - share) * covariance + share * np.trace(covariance) / size * np.eye(size))


class StyleVectors:
    """The vectors of a list of styles, and the zero and unit to measure others by."""

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
        shrunk = shrunk_covariance(wide - self._mean, SHRINKAGE)
        # Any square root of the inverse will do, for only angles count. This one is the quickest.
        self._whitening = np.linalg.inv(np.linalg.cholesky(shrunk)).T
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
    """The styles, of s, that each of n prompts shows.

    Attributes:
        logits: (n, s), how much speaks for each.
        is_shown: (n, s).
    """

    logits: Floats
    is_shown: Flags


def shown(evidence: Evidence, standing: Floats | None) -> Shown:
    """Return the styles shown; standing is (n, s), NaN rows where a prompt has no vector."""
    logits = WORD_WEIGHT * evidence.words + BIAS
    if standing is not None:
        logits = logits + VECTOR_WEIGHT * np.clip(np.nan_to_num(standing), 0.0, MOST_Z)
    _n, s = logits.shape
    units: list[dict[frozenset[str], list[int]]] = [defaultdict(list) for _ in range(s)]
    for row, signs in enumerate(evidence.signs):
        for style, sign in signs.items():
            units[style][sign].append(row)
    boosted, post = logits, _posterior(logits)
    for _ in range(ROUNDS):
        others = np.zeros_like(logits)
        for style in range(s):
            column = post[:, style]
            best = {sign: float(column[rows].max()) for sign, rows in units[style].items()}
            others[:, style] = sum(best.values())
            for sign, rows in units[style].items():
                # A way to say it vouches for the others; for itself only where it names the style.
                unnamed = [row for row in rows if not evidence.named[row, style]]
                others[unnamed, style] -= best[sign]
        boosted = logits + np.log1p(WAY_WEIGHT * others)
        post = _posterior(boosted)
    return Shown(boosted, (post > CERTAIN) | ((boosted > 0) & evidence.named))


def _posterior(logits: Floats) -> Floats:
    top = np.maximum(logits.max(axis=1, initial=0.0), 0.0)
    e = np.exp(logits - top[:, None])
    return np.asarray(e / (e.sum(axis=1) + np.exp(-top))[:, None])
