"""The scores of many pictures for one theme, by two states of what people say of it; arithmetic alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.classify.classifier import Classifier
from mirada.feedback.adaptive import NO_OPINION, Evidence, affinities, fitted_threshold
from mirada.kernel.embeddings import Matrix
from mirada.kernel.similarity import Floats
from mirada.kernel.themes import theme_key
from mirada.kernel.zero_shot import NONE_SPREADS, probabilities

MOST_FITTED = 1_000
"""Verdicts that a threshold is fitted from while somebody waits: 30 ms."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """Pictures and one theme, by one state of the verdicts.

    Attributes:
        scores: (n,) float64 in [0, 1]: of a label its score in force, of another theme the affinity.
        applies: (n,) bool, whether the theme applies; None where nobody can say.
    """

    scores: Floats
    applies: Flags | None


@dataclass(frozen=True, slots=True)
class ThemeScorer:
    """Scores n pictures for a theme by the evidence on it; what is the same for all is computed once.

    Attributes:
        profiles: (n, e) float32, theme vectors.
        place: of the label of that name; None for a theme that is no label.
        priors: (n,) float64, the model's own.
        others: (n,) float64, the sum of all other labels' moved scores before the division.
        best_other: (n,) float64, the largest of them.
        is_far: (n,) bool, no label applies by the model.
        alpha: how much feedback weighs.
        threshold: least score of a label that applies; None where it has none.
    """

    profiles: Matrix
    place: int | None
    priors: Floats
    others: Floats
    best_other: Floats
    is_far: Flags
    alpha: float
    threshold: float | None

    @classmethod
    def of(cls, classifier: Classifier, theme: str, pictures: Matrix) -> ThemeScorer:
        """Prepare for (n, d) float32 unit pictures and a `theme_key`."""
        profiles = classifier.vocabulary.theme_vectors(pictures)
        keys = [theme_key(label.name) for label in classifier.labels]
        count, alpha = len(pictures), classifier.settings.adaptive_alpha
        nothing = np.zeros(count)
        if theme not in keys:
            none = np.full(count, NO_OPINION)
            return cls(profiles, None, none, nothing, nothing, nothing > 0, 1.0, None)
        place, criteria = keys.index(theme), classifier.criteria
        moved = probabilities(
            pictures, criteria.label_matrix, criteria.logit_scale, criteria.logit_bias
        )
        priors = np.minimum(1.0, moved[:, place])
        for at, key in enumerate(keys):
            said = classifier.learned.evidence.get(key)
            if said is not None and at != place:
                column = np.minimum(1.0, moved[:, at])
                moved[:, at] = (1 - alpha) * column + alpha * affinities(profiles, said, column)
        rest = np.delete(moved, place, axis=1)
        return cls(
            profiles,
            place,
            priors,
            rest.sum(axis=1),
            rest.max(axis=1, initial=0.0),
            _far(pictures, criteria.label_matrix, criteria.concepts),
            alpha,
            classifier.labels[place].threshold,
        )

    def affinities(self, evidence: Evidence | None) -> Floats:
        """Return (n,) what people alone say, in [0, 1]; 0.5 where nobody does."""
        if evidence is None:
            return np.full(len(self.profiles), NO_OPINION)
        return affinities(self.profiles, evidence, NO_OPINION)

    def scored(self, evidence: Evidence | None) -> Scored:
        """Return the scores of all pictures by this evidence on the theme."""
        if self.place is None:
            found = self.affinities(evidence)
            threshold = None
            if evidence is not None and len(evidence) <= MOST_FITTED:
                threshold = fitted_threshold(evidence)
            return Scored(found, None if threshold is None else found >= threshold)
        own = self.priors
        if evidence is not None:
            own = (1 - self.alpha) * own + self.alpha * affinities(self.profiles, evidence, own)
        total = own + self.others
        scores = np.divide(own, total, out=self.priors.copy(), where=total > 0)
        if self.threshold is not None:
            return Scored(scores, scores >= self.threshold)
        return Scored(scores, (own > self.best_other) & ~self.is_far)


def _far(pictures: Matrix, labels: Matrix, concepts: Matrix) -> Flags:
    """Return (n,) whether no label applies, as `kernel.zero_shot.none_of_these` says it of each."""
    best = (pictures @ labels.T).max(axis=1)
    background = pictures @ concepts.T
    far = best < background.mean(axis=1) + NONE_SPREADS * background.std(axis=1)
    return np.asarray(far, dtype=bool)
