"""Everybody's rates and vectors, with which one person's are compared.

Where a person's vectors are nearer together than everybody's, they are a style without a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.kernel.clustering import nearest_centres, spread_seeds
from mirada.kernel.embeddings import Matrix
from mirada.memory.history import PromptHistory
from mirada.memory.matching import Floats, shown, shrunk_covariance
from mirada.memory.rates import PhraseRates, StyleRates, Writer
from mirada.memory.style_matcher import StyleMatcher
from mirada.memory.words import Stems

LEAST_ROWS = 200
"""Of everybody else's that a space is measured by; with fewer there is nothing to be unusual against."""
SHRINKAGE = 0.3
"""Of the covariance towards a multiple of one, which few rows in many dimensions need."""
GROUP_RATE = 0.01
"""Share of everybody else's rows that may be as near to a group as its members are."""
KS = (2, 3, 4, 5, 6, 8)
ROUNDS = 20
MAX_ROWS = 2_000
"""The newest of a person that are grouped."""
SAME = 0.5


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are alike, ascending, and the one in their middle."""

    members: tuple[int, ...]
    middle: int


class Surroundings:
    """Everybody's rows of one space, whitened: in it, what everybody has is no likeness."""

    def __init__(self, owners: npt.NDArray[np.int64], rows: Matrix) -> None:
        """Measure (n, d) unit rows and whose they are, (n,)."""
        wide = rows.astype(np.float64)
        self._owners = owners
        self._mean = wide.mean(axis=0)
        values, axes = np.linalg.eigh(shrunk_covariance(wide - self._mean, SHRINKAGE))
        self._whitening = axes / np.sqrt(np.maximum(values, 1e-12))
        self._rows = self.whitened(rows)

    def whitened(self, rows: Matrix) -> Matrix:
        """Return (n, d) float32 unit rows."""
        white = (rows.astype(np.float64) - self._mean) @ self._whitening
        white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-12)
        return np.asarray(white, dtype=np.float32)

    def others(self, owner_id: int) -> Matrix | None:
        """Return everybody's whitened rows but one person's; None where they are too few."""
        rows = self._rows[self._owners != owner_id]
        return rows if len(rows) >= LEAST_ROWS else None

    def groups(self, owner_id: int, rows: Matrix, least_count: int) -> list[Group]:
        """Return the groups of a person's rows that are nearer together than everybody's, largest first.

        A row belongs to a group when only GROUP_RATE of everybody else's rows are as near to the
        middle of the group's other members. A group at everybody's rate would have that share of
        the person's rows.

        Args:
            owner_id: whose they are.
            rows: (n, d) unit rows; NaN where there is none.
            least_count: members of a group.
        """
        others = self.others(owner_id)
        known = np.flatnonzero(~np.isnan(rows[:, 0]))[-MAX_ROWS:]
        if others is None or len(known) < least_count:
            return []
        own = self.whitened(rows[known])
        found: list[tuple[int, ...]] = []
        middles: dict[tuple[int, ...], int] = {}
        for k in KS:
            centres = _centres(own, k)
            nearest, _ = nearest_centres(own, centres)
            for cluster in range(len(centres)):
                members, near = _members(own, others, np.flatnonzero(nearest == cluster))
                if len(members) >= least_count:
                    key = tuple(known[members].tolist())
                    found.append(key)
                    middles[key] = int(known[members[int(near.argmax())]])
        kept: list[Group] = []
        for key in sorted(set(found), key=lambda rows: (-len(rows), rows)):
            if all(len(set(key) & set(one.members)) < SAME * len(key) for one in kept):
                kept.append(Group(key, middles[key]))
        return kept


def _centres(rows: Matrix, k: int) -> Matrix:
    """Return the centres of spherical k-means; the same for the same rows."""
    centres = spread_seeds(rows, min(k, len(rows)), seed=k)
    for _ in range(ROUNDS):
        nearest, _near = nearest_centres(rows, centres)
        sums = np.stack([rows[nearest == place].sum(axis=0) for place in range(len(centres))])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
        if np.allclose(moved, centres, atol=1e-6):
            break
        centres = moved.astype(np.float32)
    return centres


def _members(
    rows: Matrix, others: Matrix, start: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return the rows near the middle of a cluster, and how near; the middle follows its members."""
    members, near = start, np.zeros(len(start))
    for _ in range(3):
        if len(members) < 2:
            break
        total = rows[members].astype(np.float64).sum(axis=0)
        # Without a row itself, for every row is near to a middle that it is part of.
        is_in = np.zeros(len(rows), dtype=bool)
        is_in[members] = True
        middles = total[None, :] - np.where(is_in[:, None], rows, 0.0)
        middles /= np.maximum(np.linalg.norm(middles, axis=1, keepdims=True), 1e-12)
        nearness = (rows * middles).sum(axis=1)
        limit = np.quantile(others @ (total / np.linalg.norm(total)), 1 - GROUP_RATE)
        members = np.flatnonzero(nearness > limit)
        near = nearness[members]
    return members, near


class Background:
    """Rates at which everybody uses phrases and shows styles; no texts and no ids."""

    def __init__(self, histories: Sequence[PromptHistory], matcher: StyleMatcher) -> None:
        """Count; nothing of the texts is kept but stems that several people use."""
        self._phrases = PhraseRates(
            Writer(history.owner_id, history.prompts) for history in histories if history.texts
        )
        shares = np.zeros((len(histories), len(matcher.styles)))
        for row, history in enumerate(histories):
            if history.texts and matcher.styles:
                evidence = matcher.words.evidence(history.prompts, self.rate_for(history))
                seen = shown(evidence, matcher.standing(history.vectors)).is_shown
                shares[row] = seen.mean(axis=0)
        self._styles = StyleRates([history.owner_id for history in histories], shares)
        self.prompt_space = _surroundings(histories, [history.vectors for history in histories])
        self.picture_space = _surroundings(histories, [history.pictures for history in histories])

    def rate_for(self, history: PromptHistory) -> Callable[[Stems], float]:
        """Return a function from a phrase to its rate among everybody but the history's owner."""
        return lambda key: self._phrases.rate(key, history.owner_id, history.languages)

    def style_rates(self, owner_id: int) -> Floats:
        """Return (s,) shares of prompts that show each style, over everybody but one person."""
        return np.asarray(self._styles.rates(owner_id))


def _surroundings(
    histories: Sequence[PromptHistory], matrices: Sequence[Matrix | None]
) -> Surroundings | None:
    """Return everybody's vectors of a space; None where there are too few to compare with."""
    owners, rows = [], []
    for history, matrix in zip(histories, matrices, strict=True):
        if matrix is not None:
            known = matrix[~np.isnan(matrix[:, 0])]
            owners += [history.owner_id] * len(known)
            rows.append(known)
    if len(owners) < LEAST_ROWS:
        return None
    return Surroundings(np.array(owners), np.concatenate(rows))
