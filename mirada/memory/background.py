"""Everybody's rates of phrases and styles, which one person is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mirada.kernel.embeddings import Matrix
from mirada.memory.groups import LEAST_ROWS, Surroundings
from mirada.memory.history import PromptHistory
from mirada.memory.matching import Floats, shown
from mirada.memory.rates import PhraseRates, StyleRates, Writer
from mirada.memory.style_matcher import StyleMatcher
from mirada.memory.words import Stems


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
