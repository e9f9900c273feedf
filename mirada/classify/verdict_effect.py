"""The effect of a verdict: what it does to its picture and to others that its giver may see.

Everybody's verdicts count in it, as in every score. What is counted and shown are pictures that the giver
may see, so no number tells of others' private ones.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.classify.classifier import Classifier
from mirada.classify.criteria import Criteria, default_question
from mirada.classify.verdict_scores import Scored, ThemeScorer
from mirada.db.classifier_models import Feedback
from mirada.db.models import Embedding
from mirada.db.stored_vectors import intact
from mirada.db.verdicts import vectors_of_embeddings, waiting_copies
from mirada.db.visibility import may_see_content
from mirada.embedding.interactive import interactive_encoder
from mirada.feedback.opinions import Change, Ground
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Vector
from mirada.kernel.errors import MiradaError
from mirada.pictures.shown_images import ShownImage, shown_images
from mirada.runtime import Runtime
from mirada.search.by_vector import Showing, ranked
from mirada.search.queries import Query, QueryKind
from mirada.search.safety import safety_in_force

logger = logging.getLogger(__name__)

MOST_LOOKED_AT, FEWEST_LOOKED_AT = 200, 50
"""Pictures nearest to the judged one; a verdict moves hardly anything that is farther away."""
MOST_COMPARED = 100_000
"""Pairs of a picture and a verdict on a label: 20 ms. Where labels have many verdicts, fewer pictures are
looked at."""
LEAST_MOVED = 0.02
"""A score that changes by less has not moved: one verdict moves the affinity of anything by 0.013."""
MOST_EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class MovedImage:
    """An image whose score a verdict moves: as the viewer is shown it, with both scores."""

    image: ShownImage
    score_before: float
    score_after: float


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of a verdict.

    Attributes:
        affinity_before: of the judged picture, by people alone, in [0, 1]; 0.5 is nothing said.
        affinity_after: the same with the verdict.
        score_before: of the judged picture: of a label its score in force, else the affinity.
        score_after: the same with the verdict.
        looked_at: how many other pictures were looked at, the nearest that the viewer may see.
        moved: how many of these the verdict moves, by LEAST_MOVED or more.
        would_now_apply: to how many of these the theme applies with the verdict and not without it;
            None where nobody can say to which it applies.
        would_no_longer_apply: the other way round.
        examples: the most moved of these, at most MOST_EXAMPLES.
    """

    affinity_before: float
    affinity_after: float
    score_before: float
    score_after: float
    looked_at: int
    moved: int
    would_now_apply: int | None
    would_no_longer_apply: int | None
    examples: Sequence[MovedImage]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The judged picture's vector, and the images near it with theirs, the nearest first."""

    picture: Vector
    image_ids: Sequence[int]
    vectors: Sequence[Vector]


def effect_of(runtime: Runtime, change: Change, audience: Audience) -> Effect | None:
    """Return what a change of opinion does, whether or not it is written already.

    Args:
        runtime: with the database, settings and index. Call it outside any transaction.
        change: of the viewer's own opinion.
        audience: the viewer.

    Returns:
        None where nothing is learned: adaptive scoring or embeddings are off. Also while the picture
        has no vector, or what is needed is being loaded or encoded.
    """
    settings = runtime.settings
    if not (settings.embeddings_enabled and settings.enable_adaptive_scoring):
        return None
    try:
        criteria = Criteria.known(
            runtime, lambda: interactive_encoder(runtime), default_question(runtime)
        )
        if criteria is None:
            return None
        classifier = Classifier.learned_by(runtime, criteria, change.theme)
        seen = _look(runtime, classifier, change, audience)
    except MiradaError as error:
        # The verdict stands, whether or not its effect can be told.
        logger.info("The effect of a verdict is not told: %s", error)
        return None
    if seen is None:
        return None
    return _compared(runtime, classifier, change, audience, seen)


def _look(
    runtime: Runtime, classifier: Classifier, change: Change, audience: Audience
) -> _Seen | None:
    """Return the pictures to look at; None while the viewer's picture has no vector that counts."""
    space_id, space = classifier.space_id, classifier.space
    index, safety = runtime.index(space_id), safety_in_force(runtime)
    said = sum(len(each) for each in classifier.learned.evidence.values())
    most = max(FEWEST_LOOKED_AT, min(MOST_LOOKED_AT, MOST_COMPARED // max(said, 1)))
    with runtime.reading() as session:
        row = session.execute(
            select(Embedding.id, Embedding.vector, Embedding.crc32).where(
                Embedding.content_id == change.content_id,
                Embedding.space_id == space_id,
                Embedding.is_deleted.is_(False),
                may_see_content(audience, Embedding.content_id, has_vector=True),
            )
        ).one_or_none()
        picture = None if row is None else intact(row.vector, row.crc32, space.dimension)
        waits = (change.user_id, change.content_id) in waiting_copies(session, space_id)
        if row is None or picture is None or waits:
            return None
        pairs, _ = ranked(
            session,
            index,
            Query(picture, space_id, space, QueryKind.PICTURE),
            Scope(audience.whole()),
            # The judged picture is the nearest to itself.
            k=most + 1,
            threshold=None,
            showing=Showing(safety, is_once_each=True),
        )
        near = [(image_id, match.id) for image_id, match in pairs if match.id != row.id][:most]
        vectors = vectors_of_embeddings(session, [each for _, each in near], space.dimension)
    kept = [(image_id, vectors[each]) for image_id, each in near if each in vectors]
    return _Seen(picture, [image_id for image_id, _ in kept], [vector for _, vector in kept])


def _compared(
    runtime: Runtime, classifier: Classifier, change: Change, audience: Audience, seen: _Seen
) -> Effect:
    scorer = ThemeScorer.of(classifier, change.theme, np.stack([seen.picture, *seen.vectors]))
    with runtime.reading() as session:
        row = _row_of(session, classifier, change)
    ground = Ground.without(
        classifier.learned.evidence.get(change.theme), row, scorer.profiles[0], change.user_id
    )
    states = [ground.with_opinion(opinion) for opinion in (change.before, change.after)]
    before, after = (scorer.scored(state) for state in states)
    affinity = [float(scorer.affinities(state)[0]) for state in states]
    shift = np.abs(after.scores - before.scores)[1:]
    moved = np.flatnonzero(shift >= LEAST_MOVED)
    most_moved = moved[np.argsort(-shift[moved], kind="stable")][:MOST_EXAMPLES].tolist()
    now, no_longer = _crossings(before, after)
    with runtime.reading() as session:
        images = shown_images(
            session, [seen.image_ids[at] for at in most_moved], Scope(audience.whole())
        )
    return Effect(
        affinity_before=affinity[0],
        affinity_after=affinity[1],
        score_before=float(before.scores[0]),
        score_after=float(after.scores[0]),
        looked_at=len(seen.image_ids),
        moved=len(moved),
        would_now_apply=now,
        would_no_longer_apply=no_longer,
        examples=[
            MovedImage(
                images[seen.image_ids[at]],
                float(before.scores[at + 1]),
                float(after.scores[at + 1]),
            )
            for at in most_moved
            # One that was hidden or deleted meanwhile is left out.
            if seen.image_ids[at] in images
        ],
    )


def _row_of(session: Session, classifier: Classifier, change: Change) -> int | None:
    """Return in which row of the evidence the viewer's verdict on the picture is; None: in none."""
    own = session.execute(
        select(Feedback.id).where(
            Feedback.user_id == change.user_id,
            Feedback.content_id == change.content_id,
            Feedback.theme == change.theme,
        )
    ).scalar_one_or_none()
    rows = classifier.learned.verdict_ids.get(change.theme, ())
    return None if own is None or own not in rows else list(rows).index(own)


def _crossings(before: Scored, after: Scored) -> tuple[int | None, int | None]:
    """Return to how many others the theme applies only after, and only before."""
    if before.applies is None and after.applies is None:
        return None, None
    nothing = np.zeros(len(before.scores), dtype=bool)
    was = (nothing if before.applies is None else before.applies)[1:]
    is_now = (nothing if after.applies is None else after.applies)[1:]
    return int((is_now & ~was).sum()), int((was & ~is_now).sum())
