"""Criteria: the labels and prompts that pictures are judged by, encoded, and what the model alone sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from mirada.classify.expansions import expansions_are_on, look_up_all
from mirada.classify.label_set import LABELS
from mirada.embedding import label_vectors
from mirada.embedding.label_vectors import Ensemble
from mirada.feedback.concepts import CONCEPTS
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, Vector
from mirada.kernel.labels import Label
from mirada.kernel.nsfw import SAFE_PROMPTS, UNSAFE_PROMPTS, NsfwPolicy
from mirada.kernel.similarity import cosines
from mirada.kernel.zero_shot import ZeroShot, none_of_these, zero_shot
from mirada.ports import CalibratedEncoder
from mirada.runtime import Runtime
from mirada.search.safety import Safety

KEPT_CRITERIA = 4
"""Of a default set, 1 MB each: of two spaces, and of what an edit has replaced."""
ARITHMETIC = 1
"""To be raised when scores are computed in another way, so that stored ones are judged again."""


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
class Seen:
    """The model's own view of one picture; nobody's feedback is in it.

    Attributes:
        zero_shot: by the labels, in their order.
        is_far: no label is nearer than texts that have nothing to do with the picture.
        nsfw_score: in [0, 1]; None where that is switched off.
    """

    zero_shot: ZeroShot
    is_far: bool
    nsfw_score: float | None


@dataclass(frozen=True, slots=True)
class Criteria:
    """The labels of a question in one space, with everything encoded. Judging by them encodes nothing.

    Attributes:
        space_id: the row of `space`.
        space: of the pictures.
        labels: n of them.
        label_matrix: (n, d) float32, unit rows.
        concepts: (w, d) float32, unit rows: `feedback.concepts.CONCEPTS`.
        safety: None where unsafe pictures are not judged.
        logit_scale: the model's own.
        logit_bias: the model's own.
        nsfw_threshold: least NSFW score that is called so.
        digest: 32 hex digits; the same digest in the same space gives the same scores.
    """

    space_id: int
    space: EmbeddingSpace
    labels: tuple[Label, ...]
    label_matrix: Matrix = field(repr=False)
    concepts: Matrix = field(repr=False)
    safety: Safety | None
    logit_scale: float
    logit_bias: float
    nsfw_threshold: float
    digest: str

    @classmethod
    def prepare(
        cls,
        runtime: Runtime,
        encoder: CalibratedEncoder,
        question: Question,
        *,
        within_s: float | None = label_vectors.PATIENCE_S,
    ) -> Self:
        """Look up and encode what a question needs. Raises Unavailable as `vectors_of` does."""
        wanted = _Wanted.of(runtime, question)
        matrix = label_vectors.vectors_of(runtime, encoder, wanted.ensembles, within_s=within_s)
        return cls._of(runtime, encoder, question, wanted, matrix)

    @classmethod
    def known(
        cls, runtime: Runtime, encoder: Callable[[], CalibratedEncoder], question: Question
    ) -> Self | None:
        """Return the criteria of a question where all is encoded already, else None.

        `encoder` is asked for then alone, and only for the model's scale and bias.
        """
        wanted = _Wanted.of(runtime, question)
        # Kept whole, because putting a thousand vectors together takes longer than judging by them.
        kept: dict[tuple[int, str, float | None], Self] = runtime.remembered("criteria", dict)
        key = (runtime.space()[0], wanted.digest, question.nsfw_threshold)
        found = kept.get(key)
        if found is not None:
            return found
        matrix = label_vectors.known_matrix(runtime, wanted.ensembles)
        if matrix is None:
            return None
        if len(kept) >= KEPT_CRITERIA:
            kept.clear()
        found = kept[key] = cls._of(runtime, encoder(), question, wanted, matrix)
        return found

    @classmethod
    def _of(
        cls,
        runtime: Runtime,
        encoder: CalibratedEncoder,
        question: Question,
        wanted: _Wanted,
        matrix: Matrix,
    ) -> Self:
        space_id, space = runtime.space()
        ends = np.cumsum([len(wanted.labels), *wanted.sizes])[:-1]
        label_matrix, concepts, unsafe, safe = np.split(matrix, ends)
        threshold, scale = question.nsfw_threshold, encoder.logit_scale
        threshold = runtime.settings.nsfw_threshold if threshold is None else threshold
        return cls(
            space_id=space_id,
            space=space,
            labels=wanted.labels,
            label_matrix=label_matrix,
            concepts=concepts,
            safety=Safety(unsafe, safe, scale, threshold, space_id) if len(unsafe) else None,
            logit_scale=scale,
            logit_bias=encoder.logit_bias,
            nsfw_threshold=threshold,
            digest=wanted.digest,
        )

    def seen(self, picture: Vector) -> Seen:
        """Return what the model sees of a picture: (d,) float32, unit norm, in the space."""
        found = zero_shot(picture, self.label_matrix, self.logit_scale, self.logit_bias)
        is_far = none_of_these(float(found.cosines.max()), cosines(self.concepts, picture))
        return Seen(found, is_far, None if self.safety is None else self.safety.score(picture))


def default_question(runtime: Runtime) -> Question:
    """Return what is asked of a picture where nobody says: the default set, as the settings have it."""
    return Question(with_descriptions=runtime.settings.label_descriptions)


def default_digest(runtime: Runtime) -> str:
    """Return the digest of the criteria that the default question has now; it encodes nothing."""
    return _Wanted.of(runtime, default_question(runtime)).digest


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What has to be encoded for a question: first the labels, then three parts of these sizes."""

    labels: tuple[Label, ...]
    ensembles: Sequence[Ensemble]
    sizes: Sequence[int]

    @classmethod
    def of(cls, runtime: Runtime, question: Question) -> Self:
        chosen = question.labels or _default_labels(runtime)
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
        return cls(chosen, ensembles, [len(part) for part in parts])

    @property
    def digest(self) -> str:
        """Of everything but the space that scores, and which labels apply, follow from."""
        told = [
            ARITHMETIC,
            [[label.name, label.threshold] for label in self.labels],
            [entry.key for entry in self.ensembles],
        ]
        return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()[:32]


def _default_labels(runtime: Runtime) -> tuple[Label, ...]:
    with runtime.reading() as session:
        return tuple(LABELS.in_force(session))


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
