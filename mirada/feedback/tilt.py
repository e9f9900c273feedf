"""Labels moved by verdicts on a theme that is no label.

Towards the labels that accepted pictures show, and away from those of rejected ones. Voices are those of
`adaptive`; the reasons are in docs/decisions/0038.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mirada.feedback.adaptive import Evidence, loudness, require_alpha
from mirada.kernel.embeddings import Vector
from mirada.kernel.similarity import Floats

SHARPNESS = 4
"""Power of a judged picture's probabilities: it stands for the labels that it shows, and hardly for those
that the encoder merely does not rule out. So accepting a picture raises its likeliest label."""


@dataclass(frozen=True, slots=True)
class ShownLabels:
    """The verdicts on a theme that is no label, and which labels their pictures show.

    Attributes:
        evidence: on the theme, m verdicts.
        shares: (m, n) float64, how much each judged picture shows each label, in the labels' order:
            rows that sum to 1, of `shown_shares`.
    """

    evidence: Evidence
    shares: Floats


def shown_shares(probabilities: Floats) -> Floats:
    """Return (m, n) how much pictures show labels, rows that sum to 1: the likeliest have more of it.

    Args:
        probabilities: (m, n) of the encoder, each row summing to 1.
    """
    sharpened = (probabilities / probabilities.max(axis=1, keepdims=True)) ** SHARPNESS
    return np.asarray(sharpened / sharpened.sum(axis=1, keepdims=True))


def tilted_scores(scores: Floats, picture: Vector, shown: ShownLabels, alpha: float) -> Floats:
    """Return (n,) scores that sum to 1, moved by what people said of a theme that is no label.

    Args:
        scores: (n,) that sum to 1: the encoder's, or as moved by verdicts on the labels.
        picture: (e,) float32, its theme vector.
        shown: of the theme.
        alpha: how much feedback weighs, in [0, 1] (ADAPTIVE_ALPHA).

    Returns:
        `scores`, digit for digit, where nobody judged the theme.
    """
    require_alpha(alpha)
    said = shown.evidence
    if not len(said) or alpha == 0:
        return scores
    each, mass = loudness(picture, said)
    towards = each[said.accepted] @ shown.shares[said.accepted] / mass
    away = each[~said.accepted] @ shown.shares[~said.accepted] / mass
    moved = scores * (1 - alpha * towards.sum()) + alpha * towards
    moved *= 1 - alpha * away
    left = moved.sum()
    return np.asarray(moved / left) if left > 0 else scores
