"""The labels of an image as somebody is shown them: what the model sees, moved by what people said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.classify.classifier import Classifier
from mirada.classify.criteria import Criteria, Seen, default_question
from mirada.classify.label_verdict import Classification
from mirada.classify.labelling import judged_by
from mirada.db import image_labels
from mirada.db.classifier_models import Feedback
from mirada.db.models import Image
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import PICTURE_VECTORS
from mirada.db.visibility import visible_images
from mirada.embedding.interactive import interactive_encoder, require_embeddings
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import Vector
from mirada.kernel.errors import Conflict, NotFound
from mirada.kernel.images import ImageStatus
from mirada.kernel.zero_shot import of_logits
from mirada.runtime import Runtime

MOST_JUDGED = 100
"""Verdicts of one person on one picture that are told, the newest."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image with its labels.

    Attributes:
        image_id: of the image.
        found: the labels with the scores in force.
        classifier: what they were judged by.
        model: the encoder with its weights.
        computed_at: when the model looked at it; UTC.
        verdicts: the viewer's own on this picture, newest first.
    """

    image_id: int
    found: Classification
    classifier: Classifier
    model: str
    computed_at: datetime
    verdicts: Sequence[Feedback]


@dataclass(frozen=True, slots=True)
class _Read:
    """What is stored of an image: what the model saw of it and when, and its (d,) vector."""

    seen: Seen
    vector: Vector
    computed_at: datetime
    verdicts: Sequence[Feedback]


def labels_of_image(runtime: Runtime, image_id: int, audience: Audience) -> LabelledImage | None:
    """Return an image's labels, None while they have still to be judged; nothing is written.

    Raises:
        NotFound: there is no such image for this audience.
        Conflict: it could not be embedded, or embeddings are switched off.
        Unavailable: the encoder or the database cannot be had.
    """
    with runtime.reading() as session:
        # Before anything else: who may not see it is not told what the server can do.
        image = _visible(session, image_id, audience)
    if image.status == ImageStatus.FAILED:
        raise Conflict(
            f"Image {image_id} could not be embedded, so nothing is known of its labels."
        )
    require_embeddings(runtime)
    criteria = Criteria.known(
        runtime, lambda: interactive_encoder(runtime), default_question(runtime)
    )
    if criteria is None:
        return None
    with runtime.reading() as session:
        read = _read(session, image_id, audience, criteria)
    if read is None:
        return None
    classifier = Classifier.learned_by(runtime, criteria)
    return LabelledImage(
        image_id,
        classifier.in_force(read.seen, read.vector),
        classifier,
        criteria.space.model,
        read.computed_at,
        read.verdicts,
    )


def _visible(session: Session, image_id: int, audience: Audience) -> Image:
    image = session.execute(
        visible_images(audience).where(Image.id == image_id)
    ).scalar_one_or_none()
    if image is None:
        raise NotFound(f"There is no image {image_id}.")
    return image


def _read(session: Session, image_id: int, audience: Audience, criteria: Criteria) -> _Read | None:
    image = _visible(session, image_id, audience)
    if image.status != ImageStatus.READY:
        return None
    row = image_labels.of_image(session, image_id, judged_by(criteria))
    if row is None:
        return None
    subject, dimension = image.content_id, criteria.space.dimension
    vectors = vectors_of(session, PICTURE_VECTORS, criteria.space_id, [subject], dimension)
    logits = image_labels.logits_of(row)
    if not logits.size or subject not in vectors:
        raise Conflict(
            f"The vector of image {image_id} is damaged, so its labels cannot be told. Embed it again, "
            "or delete the image and upload it again."
        )
    seen = of_logits(logits, criteria.logit_scale, criteria.logit_bias)
    return _Read(
        Seen(seen, row.is_far, row.nsfw_score),
        vectors[subject],
        row.computed_at,
        _own_verdicts(session, subject, audience.viewer_id),
    )


def _own_verdicts(session: Session, content_id: int, viewer_id: int | None) -> Sequence[Feedback]:
    own = select(Feedback).where(Feedback.content_id == content_id, Feedback.user_id == viewer_id)
    return session.execute(own.order_by(Feedback.id.desc()).limit(MOST_JUDGED)).scalars().all()
