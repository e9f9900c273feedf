"""Classify a picture, from its bytes or a stored image to a result that is remembered.

Encoding happens between transactions, and what was encoded is kept: no picture and no label is ever
encoded twice.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from mirada.classify import remembered
from mirada.classify.classifier import Classifier
from mirada.classify.criteria import Question
from mirada.classify.label_verdict import Classification
from mirada.classify.remembered import KnownPicture, Remark
from mirada.db import changes
from mirada.db.classifier_models import ClassifiedPicture
from mirada.embedding.interactive import picture_turn
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import Vector
from mirada.kernel.errors import Conflict, NotFound
from mirada.pictures.intake import receive, require_declared_type
from mirada.pictures.register import NewPicture
from mirada.ports import CalibratedEncoder, StagedFile
from mirada.runtime import Runtime


class _PictureLocks:
    """One lock for each picture that is being encoded: a second request waits and finds its vector."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def lock_of(self, sha256: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(sha256, threading.Lock())


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of classifying a picture.

    Attributes:
        sha256: of its bytes.
        vector: (d,) float32, unit norm.
        classification: the labels, and what else was judged.
        summary: the remembered part.
        asset_id: the caller's own name for it, given now or before.
        theme: given by the caller now or before.
        change_seq: the number of the change that remembering it was, None when it was known.
    """

    sha256: str
    vector: Vector
    classification: Classification
    summary: dict[str, Any]
    asset_id: str | None
    theme: str | None
    change_seq: int | None


def classify_sent(
    runtime: Runtime,
    encoder: CalibratedEncoder,
    staged: StagedFile,
    *,
    declared_media_type: str | None,
    owner_id: int,
    question: Question,
    asset_id: str | None = None,
) -> Answer:
    """Classify received bytes and remember the picture; nothing is kept when anything is refused.

    Args:
        runtime: with the database and the decoder.
        encoder: of the pinned space, for calls that somebody waits for.
        staged: the bytes, completely written. They are not kept.
        declared_media_type: as the client sent it; None for no claim.
        owner_id: the sender.
        question: the labels and thresholds to judge by.
        asset_id: the caller's own name for the picture.

    Raises:
        UnsupportedImage, CorruptImage, ImageTooLarge: as `ingest.receive` does.
        Unavailable: the encoder or the database cannot be had, or new labels take too long.
    """
    classifier = Classifier.prepare(runtime, encoder, question)
    space_id, space = classifier.space_id, classifier.space
    with runtime.remembered("picture_locks", _PictureLocks).lock_of(staged.sha256):
        with runtime.reading() as session:
            known = remembered.known_picture(session, staged.sha256, space_id, space)
        if known is not None:
            require_declared_type(declared_media_type, known.format)
            remark = Remark(asset_id, question.theme)
            # One that is deleted this very moment is classified from these bytes.
            with suppress(NotFound):
                return _of_known(runtime, classifier, known, owner_id, remark, True)
        with picture_turn(runtime):
            facts = receive(staged, declared_media_type, runtime.decoder)
            pixels = runtime.decoder.decode(staged.path, 2 * encoder.input_side_px)
            vector = encoder.encode_images([pixels])[0]
        found = classifier.judge(vector)
        with runtime.transaction() as session:
            row = remembered.remember_sent(
                session,
                NewPicture(staged.sha256, staged.byte_size, facts),
                owner_id=owner_id,
                space_id=space_id,
                space=space,
                vector=vector,
                is_encoded_now=True,
                remark=Remark(asset_id, question.theme, classifier.summary(found)),
            )
    return _answer(staged.sha256, vector, found, row, changes.committed_seq(session))


def classify_stored(
    runtime: Runtime,
    classifier: Classifier,
    image_id: int,
    *,
    owner_id: int,
    asset_id: str | None = None,
) -> Answer:
    """Classify an image that the caller may see, by its stored vector.

    Raises:
        NotFound: there is no such image for this caller.
        Conflict: it has no vector (yet).
    """
    with runtime.reading() as session:
        known = remembered.picture_of_image(
            session, image_id, Audience(owner_id), classifier.space_id, classifier.space
        )
    if known is None:
        raise Conflict(
            f"Image {image_id} has no vector, or none yet: its status says which. Try again when it "
            "is READY."
        )
    remark = Remark(asset_id, classifier.theme)
    return _of_known(runtime, classifier, known, owner_id, remark, False)


def _of_known(
    runtime: Runtime,
    classifier: Classifier,
    known: KnownPicture,
    owner_id: int,
    remark: Remark,
    sent_bytes: bool,
) -> Answer:
    """Judge and remember a picture by its stored vector. Raises NotFound when it was deleted."""
    found = classifier.judge(known.vector)
    remark = replace(remark, result=classifier.summary(found))
    with runtime.transaction() as session:
        row = remembered.remember_known(
            session, known, owner_id=owner_id, remark=remark, sent_bytes=sent_bytes
        )
    return _answer(known.sha256, known.vector, found, row, changes.committed_seq(session))


def _answer(
    sha256: str,
    vector: Vector,
    found: Classification,
    row: ClassifiedPicture,
    change_seq: int | None,
) -> Answer:
    return Answer(sha256, vector, found, row.result or {}, row.asset_id, row.theme, change_seq)
