"""Classifier: criteria, and what people said of their labels, looked up once for many pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from mirada.classify.criteria import Criteria, Question, Seen
from mirada.classify.label_verdict import Classification
from mirada.config import Settings
from mirada.embedding import label_vectors
from mirada.feedback.evidence import (
    Learned,
    Vocabulary,
    adapted,
    remembered_evidence,
    remembered_vectors,
    shown_labels,
)
from mirada.feedback.tilt import ShownLabels
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, Vector
from mirada.kernel.labels import Label
from mirada.kernel.similarity import Floats
from mirada.kernel.zero_shot import probabilities
from mirada.ports import CalibratedEncoder
from mirada.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Classifier:
    """A question with everything looked up and encoded that judging a picture needs.

    Prepared once for a request or a whole job; judging encodes nothing and asks nobody.
    """

    criteria: Criteria
    vocabulary: Vocabulary
    learned: Learned
    shown: ShownLabels | None
    settings: Settings = field(repr=False)
    theme: str | None

    @classmethod
    def prepare(
        cls,
        runtime: Runtime,
        encoder: CalibratedEncoder,
        question: Question,
        *,
        within_s: float | None = label_vectors.PATIENCE_S,
    ) -> Self:
        """Look up and encode what the question needs. Raises Unavailable as `vectors_of` does."""
        criteria = Criteria.prepare(runtime, encoder, question, within_s=within_s)
        return cls.learned_by(runtime, criteria, question.theme)

    @classmethod
    def learned_by(cls, runtime: Runtime, criteria: Criteria, theme: str | None = None) -> Self:
        """Add to criteria what people said of the labels, and of a theme where one is asked about."""
        settings = runtime.settings
        vocabulary = Vocabulary(
            criteria.space_id,
            criteria.space.dimension,
            criteria.concepts,
            remembered_vectors(runtime),
        )
        names = [label.name for label in criteria.labels] + ([] if theme is None else [theme])
        learned = Learned(vocabulary, {}, {})
        if settings.enable_adaptive_scoring:
            with runtime.reading() as session:
                learned = remembered_evidence(runtime).of(session, names, vocabulary)
        shown = _shown(theme, learned, criteria)
        return cls(criteria, vocabulary, learned, shown, settings, theme)

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, in their order."""
        return self.criteria.labels

    @property
    def space_id(self) -> int:
        """The row of `space`."""
        return self.criteria.space_id

    @property
    def space(self) -> EmbeddingSpace:
        """The space of the pictures that it can judge."""
        return self.criteria.space

    def judge(self, picture: Vector) -> Classification:
        """Return what a picture shows: (d,) float32, unit norm, in the space."""
        return self.in_force(self.criteria.seen(picture), picture)

    def in_force(self, seen: Seen, picture: Vector) -> Classification:
        """Return what a picture shows, from what the model saw of it by the same criteria."""
        by_feedback = adapted(
            [label.name for label in self.labels],
            seen.zero_shot.probabilities,
            picture,
            self.learned,
            self.settings.adaptive_alpha,
            theme=self.theme,
            shown=self.shown,
        )
        return Classification.of(
            self.labels,
            seen.zero_shot,
            by_feedback.scores,
            entropy_threshold=self.settings.entropy_threshold,
            is_far=seen.is_far,
            nsfw_score=seen.nsfw_score,
            theme_affinity=by_feedback.theme_affinity,
            theme_verdicts=by_feedback.theme_verdicts,
        )

    def summary(self, found: Classification) -> dict[str, Any]:
        """Return what is shown and remembered of a judgement."""
        return found.summary(self.settings.clip_top_k, self.criteria.nsfw_threshold)


def _shown(theme: str | None, learned: Learned, criteria: Criteria) -> ShownLabels | None:
    def see(pictures: Matrix) -> Floats:
        return probabilities(
            pictures, criteria.label_matrix, criteria.logit_scale, criteria.logit_bias
        )

    return shown_labels(learned, theme, [label.name for label in criteria.labels], see)
