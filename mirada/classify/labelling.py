"""The labels of images: judged when a picture comes in, by a job where they are lacking, and read.

What is kept is what the model alone sees. What people said is added when labels are read, so a verdict
shows at once and nothing is judged again for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.classify.criteria import Criteria, default_digest, default_question
from mirada.classify.label_verdict import applies
from mirada.db import image_labels
from mirada.db.image_labels import Judged, JudgedBy
from mirada.db.models import Embedding, Image, Job
from mirada.db.stored_vectors import intact
from mirada.embedding.job import CREATE_EMBEDDINGS, embedding_kind
from mirada.embedding.labelled import Keep, Vectors
from mirada.jobs import attempts, batches, ledger
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy
from mirada.kernel.embeddings import Vector
from mirada.kernel.errors import Unavailable
from mirada.kernel.images import ImageStatus
from mirada.runtime import Runtime

LABEL_IMAGES = "label_images_task"
PAGE_ROWS = 500
"""Images of one transaction: 1 MB of vectors."""
LOOK_AGAIN_S = 3_600.0
"""After a look that found nothing lacking, by the same criteria. New images are judged as they come."""
DAMAGED = Judged(None, 0.0, np.empty(0), is_far=True, nsfw_score=None)


def judge(criteria: Criteria, picture: Vector) -> Judged:
    """Return what the model alone sees of a picture: (d,) float32, unit norm, in the criteria's space."""
    seen = criteria.seen(picture)
    scores = seen.zero_shot.probabilities
    best = int(np.argmax(scores))
    label, score = criteria.labels[best], min(1.0, float(scores[best]))
    is_none = seen.is_far or applies(label, score) is False
    return Judged(
        None if is_none else label.name, score, seen.zero_shot.logits, seen.is_far, seen.nsfw_score
    )


def judged_by(criteria: Criteria) -> JudgedBy:
    """Return the name of the criteria under which labels are kept."""
    return JudgedBy(criteria.space_id, criteria.digest)


def judge_new(runtime: Runtime) -> Keep | None:
    """Return what writes the labels of new pictures; None while the labels themselves are not encoded.

    Encoding those takes seconds, for which no picture waits: the job for all that lack labels does it.
    """
    criteria = Criteria.known(runtime, lambda: runtime.encoder, default_question(runtime))
    return None if criteria is None else partial(_keep_new, criteria)


def _keep_new(criteria: Criteria, session: Session, vectors: Vectors) -> None:
    """Judge contents by these vectors, or by the stored one where it is None; keep what is lacking."""
    unknown = [content_id for content_id, vector in vectors.items() if vector is None]
    found = _stored(session, criteria, unknown) if unknown else {}
    found |= {
        content_id: judge(criteria, vector)
        for content_id, vector in vectors.items()
        if vector is not None
    }
    image_labels.keep(session, judged_by(criteria), found)


def _stored(session: Session, criteria: Criteria, contents: Iterable[int]) -> dict[int, Judged]:
    """Return what contents show, by their stored vectors; those without any are left out."""
    query = select(Embedding.content_id, Embedding.vector, Embedding.crc32).where(
        Embedding.content_id.in_(sorted(set(contents))),
        Embedding.space_id == criteria.space_id,
        Embedding.is_deleted.is_(False),
    )
    found = {}
    for row in session.execute(query):
        vector = intact(row.vector, row.crc32, criteria.space.dimension)
        found[row.content_id] = DAMAGED if vector is None else judge(criteria, vector)
    return found


def queue_labels(
    session: Session,
    image_id: int,
    *,
    owner_id: int | None,
    request_id: str | None = None,
) -> Job:
    """Return the queued job that judges one image for whoever asks; ring after the commit.

    It is one job of each who asks: its age would tell one of them that there was another.
    """
    return ledger.enqueue(
        session,
        LABEL_IMAGES,
        arguments={"image_id": image_id},
        owner_id=owner_id,
        request_id=request_id,
        same_work=f"{LABEL_IMAGES}:{image_id}:{owner_id or 'all'}",
    )


def queue_lacking(runtime: Runtime) -> int | None:
    """Queue the job that judges all images that lack labels, unless none does or pictures wait.

    The sweeper calls it. After a start, an edit of the labels or another model it looks at once, and else
    once in an hour.

    Returns:
        The id of the job; None where nothing is to be done.
    """
    if not runtime.settings.embeddings_enabled or not runtime.space_is_known():
        return None
    by = JudgedBy(runtime.space()[0], default_digest(runtime))
    complete: dict[JudgedBy, float] = runtime.remembered("labelled_through", dict)
    if time.monotonic() < complete.get(by, -1.0):
        return None
    with runtime.reading() as session:
        if batches.due(session, CREATE_EMBEDDINGS, 1):
            return None
        is_lacking = session.execute(image_labels.lacking(by).limit(1)).first() is not None
    if not is_lacking:
        complete.clear()
        complete[by] = time.monotonic() + LOOK_AGAIN_S
        return None
    with runtime.transaction() as session:
        job = ledger.enqueue(session, LABEL_IMAGES, same_work=LABEL_IMAGES)
    runtime.doorbell.ring(job.id, job.kind)
    return job.id


def label_images(runtime: Runtime, attempt: Attempt) -> None:
    """Judge the job's image; without one, all images that lack labels.

    Raises:
        Unavailable: the image still waits for its vector; the next attempt looks again.
    """
    if not runtime.settings.embeddings_enabled:
        attempts.finish_alone(runtime, attempt)
        return
    image_id = attempt.job.arguments.get("image_id")
    if image_id is None:
        label_library(runtime, attempt)
    else:
        _label_one(runtime, attempt, image_id)
    attempts.finish_alone(runtime, attempt)


def _label_one(runtime: Runtime, attempt: Attempt, image_id: int) -> None:
    with runtime.reading() as session:
        image = session.get(Image, image_id)
    if image is None or image.status == ImageStatus.FAILED:
        return
    if image.status != ImageStatus.READY:
        raise Unavailable("The image still waits for its vector.")
    criteria = _prepared(runtime)
    attempt.check()
    _label_page(runtime, criteria, [(image_id, image.content_id)])


def label_library(runtime: Runtime, attempt: Attempt) -> None:
    """Judge every image that lacks labels, in the space of this thread's view."""
    criteria = _prepared(runtime)
    by = judged_by(criteria)
    with runtime.reading() as session:
        total = image_labels.count_lacking(session, by)
    done = after = 0
    while True:
        attempt.check_long()
        query = image_labels.lacking(by).where(Image.id > after).order_by(Image.id)
        with runtime.reading() as session:
            page = [(row.id, row.content_id) for row in session.execute(query.limit(PAGE_ROWS))]
        if not page:
            return
        _label_page(runtime, criteria, page)
        after, done = page[-1][0], done + len(page)
        if attempt.job.kind == LABEL_IMAGES:
            attempt.report(done, max(total, done))


def _prepared(runtime: Runtime) -> Criteria:
    # Nobody waits for this: however many labels are new, they are encoded in one go.
    return Criteria.prepare(runtime, runtime.encoder, default_question(runtime), within_s=None)


def _label_page(runtime: Runtime, criteria: Criteria, page: Sequence[tuple[int, int]]) -> None:
    with runtime.reading() as session:
        found = _stored(session, criteria, [content_id for _, content_id in page])
    kept = {image_id: found[content_id] for image_id, content_id in page if content_id in found}
    with runtime.transaction() as session:
        image_labels.keep_each(session, judged_by(criteria), kept)


KIND = Kind(
    LABEL_IMAGES,
    label_images,
    # An image that was uploaded a moment ago may still wait for its vector, ten minutes in all.
    RetryPolicy(max_attempts=8, first_delay_s=5.0),
    title="Judge which labels images show",
)
EMBEDDING_KIND = embedding_kind(judge_new)
"""The job that gives a picture its vector, and with it its labels."""
