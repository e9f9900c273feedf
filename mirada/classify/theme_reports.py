"""Theme reports: the counts, verdicts and scores of a theme that one viewer may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirada.classify import label_set
from mirada.classify.classifier import Classifier
from mirada.classify.criteria import Question
from mirada.classify.label_verdict import Classification
from mirada.db.classifier_models import Feedback
from mirada.feedback import theme_verdicts
from mirada.feedback.adaptive import NO_OPINION, fitted_threshold, theme_shift
from mirada.feedback.theme_verdicts import SeenVerdict, ThemeVerdicts
from mirada.kernel.audience import Audience
from mirada.kernel.themes import theme_key
from mirada.ports import CalibratedEncoder
from mirada.runtime import Runtime

MOST_LABELS = 3
"""Labels of a picture whose shift is told, the likeliest."""


@dataclass(frozen=True, slots=True)
class LabelShift:
    """A label's score of one picture, in [0, 1]: the encoder's, and with the feedback on the theme."""

    label: str
    score_before: float
    score_after: float


@dataclass(frozen=True, slots=True)
class ReportedVerdict:
    """A verdict on a picture that the viewer may see, and what feedback did to that picture.

    Attributes:
        feedback: its content loaded.
        affinity: the picture's affinity to the theme, in [0, 1]; see `evidence.Adapted`.
        score_before: its score without any feedback, in [0, 1]: of a label the encoder's
            probability, of another theme 0.5, no opinion.
        score_after: with everybody's feedback: of a label the score in force, of another theme the
            affinity.
        contribution: how much lower the score would be without this verdict, before labels' scores
            are divided by their sum. All four are None while the verdict does not count: the
            picture has no vector yet, newer verdicts leave no room, or adaptive scoring is off.
        labels: of a theme that is no label: the labels that the picture shows, and how a
            classification with this theme moves them. Empty while the verdict does not count.
    """

    feedback: Feedback
    affinity: float | None = None
    score_before: float | None = None
    score_after: float | None = None
    contribution: float | None = None
    labels: Sequence[LabelShift] = ()


@dataclass(frozen=True, slots=True)
class ThemeReport:
    """A theme as it was learned from verdicts.

    Attributes:
        said: the verdicts that the viewer gave or may see.
        is_label: it is in the default set.
        counted: on how many of them scores rest; 0 where adaptive scoring is off.
        threshold: the affinity from which pictures belong, fitted to everybody's; None where too
            little was said, or nothing that concerns the viewer. See
            `feedback.adaptive.fitted_threshold`.
        verdicts: one page, newest first.
    """

    said: ThemeVerdicts
    is_label: bool
    counted: int
    threshold: float | None
    verdicts: Sequence[ReportedVerdict]


def theme_report(
    runtime: Runtime,
    encoder: CalibratedEncoder | None,
    theme: str,
    audience: Audience,
    *,
    cursor: int | None,
    limit: int,
) -> ThemeReport:
    """Return what was learned of a theme. Call it outside any transaction.

    Args:
        runtime: with the database and settings.
        encoder: of the pinned space; None where embeddings are switched off: nothing is learned.
        theme: any spelling; one that nobody judged has an empty report.
        audience: the viewer.
        cursor: the id of the last verdict of the page before; None for the first page.
        limit: verdicts of a page, >= 1.

    Raises:
        InvalidInput: the theme cannot be one.
        Unavailable: the encoder or the database cannot be had.
    """
    key = theme_key(theme)
    question = Question(theme=key)
    classifier = None if encoder is None else Classifier.prepare(runtime, encoder, question)
    vocabulary = None if classifier is None else classifier.vocabulary
    with runtime.reading() as session:
        names = [label.name for label in label_set.LABELS.in_force(session)]
        said = theme_verdicts.verdicts_on(
            session,
            key,
            audience,
            space_id=None if vocabulary is None else vocabulary.space_id,
            dimension=0 if vocabulary is None else vocabulary.dimension,
            cursor=cursor,
            limit=limit,
        )
        resting_on = () if classifier is None else classifier.learned.verdict_ids.get(key, ())
        counted = theme_verdicts.count_concerning(session, resting_on, audience)
    concerns_viewer = said.counts.accepted + said.counts.rejected > 0
    learned = None if classifier is None else classifier.learned.evidence.get(key)
    return ThemeReport(
        said=said,
        is_label=key in map(theme_key, names),
        counted=counted,
        threshold=fitted_threshold(learned) if learned is not None and concerns_viewer else None,
        verdicts=[_reported(seen, key, classifier) for seen in said.seen],
    )


def _reported(seen: SeenVerdict, theme: str, classifier: Classifier | None) -> ReportedVerdict:
    rows = () if classifier is None else classifier.learned.verdict_ids.get(theme, ())
    if classifier is None or seen.vector is None or seen.feedback.id not in rows:
        return ReportedVerdict(seen.feedback)
    found = classifier.judge(seen.vector)
    assert found.theme_affinity is not None
    before, after, alpha = NO_OPINION, found.theme_affinity, 1.0
    keys = [theme_key(label.name) for label in classifier.labels]
    if theme in keys:
        position = keys.index(theme)
        # min: a softmax of one label may be 1 + 1e-16.
        before = min(1.0, float(found.zero_shot.probabilities[position]))
        after, alpha = float(found.scores[position]), classifier.settings.adaptive_alpha
    profile = classifier.vocabulary.theme_vectors(seen.vector.reshape(1, -1))[0]
    shift = theme_shift(profile, classifier.learned.evidence[theme], alpha, before)
    return ReportedVerdict(
        seen.feedback,
        affinity=found.theme_affinity,
        score_before=before,
        score_after=after,
        contribution=float(shift.contributions[rows.index(seen.feedback.id)]),
        labels=() if theme in keys else _label_shifts(found),
    )


def _label_shifts(found: Classification) -> list[LabelShift]:
    before = found.zero_shot.probabilities
    return [
        LabelShift(
            found.labels[place].name, min(1.0, float(before[place])), float(found.scores[place])
        )
        for place in np.argsort(-before, kind="stable")[:MOST_LABELS].tolist()
    ]
