"""Classifier: the labels and everything else that pictures are judged by, encoded once for many pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from mirada.classify.expansions import expansions_are_on, look_up_all
from mirada.classify.label_set import LABELS
from mirada.classify.label_verdict import Classification
from mirada.config import Settings
from mirada.embedding import label_vectors
from mirada.feedback.concepts import CONCEPTS
from mirada.feedback.evidence import (
    Learned,
    Vocabulary,
    adapted,
    evidence_for,
    remembered_vectors,
    shown_labels,
)
from mirada.feedback.tilt import ShownLabels
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, Vector
from mirada.kernel.labels import Label
from mirada.kernel.nsfw import SAFE_PROMPTS, UNSAFE_PROMPTS, NsfwPolicy
from mirada.kernel.similarity import Floats, cosines
from mirada.kernel.zero_shot import none_of_these, probabilities, zero_shot
from mirada.ports import CalibratedEncoder
from mirada.runtime import Runtime
from mirada.search.safety import Safety


@dataclass(frozen=True, slots=True)
class Question:
    """The labels and thresholds that a picture is to be judged by.

    Attributes:
        labels: None for the default set.
        templates: prompt templates instead of the labels' own; None for those.
        with_descriptions: the labels' descriptions join their prompts.
        nsfw_threshold: least NSFW score that is called so; None for the setting.
        theme: its affinity is told as well; None for none.
    """

    labels: tuple[Label, ...] | None = None
    templates: tuple[str, ...] | None = None
    with_descriptions: bool = False
    nsfw_threshold: float | None = None
    theme: str | None = None


@dataclass(frozen=True, slots=True)
class Classifier:
    """A question with everything looked up and encoded that judging a picture needs.

    Prepared once for a request or a whole job; judging encodes nothing and asks nobody.
    """

    space_id: int
    space: EmbeddingSpace
    labels: tuple[Label, ...]
    label_matrix: Matrix = field(repr=False)
    vocabulary: Vocabulary
    learned: Learned
    shown: ShownLabels | None
    settings: Settings = field(repr=False)
    theme: str | None
    safety: Safety | None
    logit_scale: float
    logit_bias: float
    nsfw_threshold: float

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
        settings = runtime.settings
        space_id, space = runtime.space()
        chosen = question.labels or _default_labels(runtime)
        label_matrix, concepts, unsafe, safe = _encoded(
            runtime, encoder, question, chosen, within_s
        )
        vocabulary = Vocabulary(space_id, space.dimension, concepts, remembered_vectors(runtime))
        names = [label.name for label in chosen]
        names += [] if question.theme is None else [question.theme]
        with runtime.reading() as session:
            learned = evidence_for(
                session, names if settings.enable_adaptive_scoring else (), vocabulary
            )
        threshold, scale = question.nsfw_threshold, encoder.logit_scale
        threshold = settings.nsfw_threshold if threshold is None else threshold
        return cls(
            space_id=space_id,
            space=space,
            labels=chosen,
            label_matrix=label_matrix,
            vocabulary=vocabulary,
            learned=learned,
            shown=_shown(question, learned, chosen, label_matrix, encoder),
            settings=settings,
            theme=question.theme,
            safety=Safety(unsafe, safe, scale, threshold, space_id) if len(unsafe) else None,
            logit_scale=scale,
            logit_bias=encoder.logit_bias,
            nsfw_threshold=threshold,
        )

    def judge(self, picture: Vector) -> Classification:
        """Return what a picture shows: (d,) float32, unit norm, in the space."""
        seen = zero_shot(picture, self.label_matrix, self.logit_scale, self.logit_bias)
        by_feedback = adapted(
            [label.name for label in self.labels],
            seen.probabilities,
            picture,
            self.learned,
            self.settings.adaptive_alpha,
            theme=self.theme,
            shown=self.shown,
        )
        return Classification.of(
            self.labels,
            seen,
            by_feedback.scores,
            entropy_threshold=self.settings.entropy_threshold,
            is_far=none_of_these(
                float(seen.cosines.max()), cosines(self.vocabulary.concepts, picture)
            ),
            nsfw_score=None if self.safety is None else self.safety.score(picture),
            theme_affinity=by_feedback.theme_affinity,
            theme_verdicts=by_feedback.theme_verdicts,
        )

    def summary(self, found: Classification) -> dict[str, Any]:
        """Return what is shown and remembered of a judgement."""
        return found.summary(self.settings.clip_top_k, self.nsfw_threshold)


def _default_labels(runtime: Runtime) -> tuple[Label, ...]:
    with runtime.reading() as session:
        return tuple(LABELS.in_force(session))


def _shown(
    question: Question,
    learned: Learned,
    chosen: tuple[Label, ...],
    label_matrix: Matrix,
    encoder: CalibratedEncoder,
) -> ShownLabels | None:
    def see(pictures: Matrix) -> Floats:
        return probabilities(pictures, label_matrix, encoder.logit_scale, encoder.logit_bias)

    return shown_labels(learned, question.theme, [label.name for label in chosen], see)


def _encoded(
    runtime: Runtime,
    encoder: CalibratedEncoder,
    question: Question,
    chosen: tuple[Label, ...],
    within_s: float | None,
) -> list[Matrix]:
    """Return the vectors of the labels, the concepts, and the unsafe and safe prompts if judged by."""
    descriptions = _descriptions(runtime, chosen) if question.with_descriptions else {}
    ensembles = [
        label_vectors.of_label(
            label, templates=question.templates, descriptions=descriptions.get(label.name, ())
        )
        for label in chosen
    ]
    parts = [CONCEPTS, UNSAFE_PROMPTS, SAFE_PROMPTS]
    if runtime.settings.nsfw_policy is NsfwPolicy.OFF:
        parts = [CONCEPTS, (), ()]
    ensembles += [label_vectors.of_prompt(prompt) for part in parts for prompt in part]
    matrix = label_vectors.vectors_of(runtime, encoder, ensembles, within_s=within_s)
    return np.split(matrix, np.cumsum([len(chosen), *map(len, parts)])[:-1])


def _descriptions(runtime: Runtime, chosen: tuple[Label, ...]) -> dict[str, tuple[str, ...]]:
    """Return what labels are described by: their own sentence, and what the language model said."""
    told: dict[str, tuple[str, ...]] = {
        label.name: (label.description,) if label.description else () for label in chosen
    }
    if not expansions_are_on(runtime):
        return told
    model = runtime.settings.llm_label_expansion_model
    with runtime.reading() as session:
        known = look_up_all(session, told, model)
    return {
        name: (*told[name], *(looked_up.expansion.descriptions if looked_up.expansion else ()))
        for name, looked_up in known.items()
    }
