"""The result of a classification, from the encoder's view and the scores in force; pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mirada.kernel.labels import Label
from mirada.kernel.similarity import Floats
from mirada.kernel.zero_shot import ZeroShot, entropy_bits, is_ambiguous, margin


@dataclass(frozen=True, slots=True)
class Classification:
    """One picture against n >= 1 labels, in the labels' order.

    Attributes:
        labels: what they are.
        zero_shot: what the encoder alone says.
        scores: (n,) float64 in force, sums to 1; the encoder's probabilities where there is no
            feedback.
        entropy_bits: of the scores.
        margin: first minus second score.
        is_ambiguous: see `zero_shot.is_ambiguous`.
        is_none_of_these: the nearest label is no nearer than texts that have nothing to do with it,
            or the best score is under its label's threshold.
        nsfw_score: in [0, 1]; None where that is switched off.
        theme_affinity: in [0, 1], how well verdicts say it fits the theme asked about; None if none
            was.
        theme_verdicts: how many verdicts that rests on.
    """

    labels: tuple[Label, ...]
    zero_shot: ZeroShot
    scores: Floats
    entropy_bits: float
    margin: float
    is_ambiguous: bool
    is_none_of_these: bool
    nsfw_score: float | None
    theme_affinity: float | None
    theme_verdicts: int

    @classmethod
    def of(
        cls,
        labels: Sequence[Label],
        zero_shot: ZeroShot,
        scores: Floats,
        *,
        entropy_threshold: float,
        is_far: bool,
        nsfw_score: float | None,
        theme_affinity: float | None = None,
        theme_verdicts: int = 0,
    ) -> Self:
        """Derive what follows from the scores.

        Args:
            labels: n of them.
            zero_shot: of the same labels.
            scores: (n,) that sum to 1.
            entropy_threshold: in bits; more than this is ambiguous.
            is_far: what `zero_shot.none_of_these` says.
            nsfw_score: see the attribute.
            theme_affinity: see the attribute.
            theme_verdicts: see the attribute.
        """
        entropy, lead = entropy_bits(scores), margin(scores)
        best = int(np.argmax(scores))
        return cls(
            labels=tuple(labels),
            zero_shot=zero_shot,
            scores=scores,
            entropy_bits=entropy,
            margin=lead,
            is_ambiguous=is_ambiguous(entropy, lead, entropy_threshold),
            is_none_of_these=is_far or applies(labels[best], float(scores[best])) is False,
            nsfw_score=nsfw_score,
            theme_affinity=theme_affinity,
            theme_verdicts=theme_verdicts,
        )

    def order(self) -> list[int]:
        """Return the labels' positions, highest score first, ties in the labels' own order."""
        return [int(position) for position in np.argsort(-self.scores, kind="stable")]

    def summary(self, top_k: int, nsfw_threshold: float) -> dict[str, Any]:
        """Return what replies show and the database keeps, as JSON values.

        Args:
            top_k: how many labels at most.
            nsfw_threshold: least nsfw_score that is called so.
        """
        order = self.order()
        return {
            "category": self.labels[order[0]].name,
            "confidence": float(self.scores[order[0]]),
            "top_labels": [self._label(position) for position in order[:top_k]],
            "entropy": self.entropy_bits,
            "confidence_margin": self.margin,
            "ambiguous": self.is_ambiguous,
            "none_of_these": self.is_none_of_these,
            "nsfw_score": self.nsfw_score,
            "is_nsfw": self.nsfw_score is not None and self.nsfw_score >= nsfw_threshold,
        }

    def raw_logits(self) -> dict[str, float]:
        """Return every label's logit: scale x cosine + bias."""
        return {
            label.name: float(logit)
            for label, logit in zip(self.labels, self.zero_shot.logits, strict=True)
        }

    def _label(self, position: int) -> dict[str, Any]:
        label, score = self.labels[position], float(self.scores[position])
        return {
            "label": label.name,
            "score": score,
            "logit": float(self.zero_shot.logits[position]),
            "clip_score": float(self.zero_shot.probabilities[position]),
            "applies": applies(label, score),
        }


def applies(label: Label, score: float) -> bool | None:
    """Return whether a score reaches the label's threshold; None for a label without one."""
    return None if label.threshold is None else score >= label.threshold
