"""Batches of stored images: queue the job that classifies them, and work on it page by page.

It encodes nothing but labels that are new.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from mirada.classify.classifier import Classifier
from mirada.classify.criteria import Question
from mirada.classify.remembered import KnownPicture, Remark, known_pictures, remember_known
from mirada.db.chunks import rows_in
from mirada.db.idempotency import Requested, once
from mirada.db.models import Content, Image
from mirada.db.visibility import visible_images
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import EmbeddingSpace
from mirada.kernel.errors import Conflict, NotFound, Unavailable
from mirada.kernel.images import ImageStatus
from mirada.kernel.labels import Label
from mirada.runtime import Runtime

CLASSIFY_IMAGES = "classify_images_task"
PAGE_ROWS = 50
"""Images of one transaction: it locks their contents."""


@dataclass(frozen=True, slots=True)
class BatchPage:
    """The next images of a batch.

    Attributes:
        pictures: their contents, each once, by ascending content id.
        seen: how many images the page had.
        waiting: how many of them will have a vector later.
    """

    pictures: list[KnownPicture]
    seen: int
    waiting: int


def request_batch(
    session: Session,
    *,
    owner_id: int,
    image_ids: Sequence[int] | None,
    question: dict[str, Any],
    request_id: str | None = None,
    idempotency_key: str | None = None,
) -> Requested:
    """Queue a job that classifies images; ring after the commit.

    Args:
        session: a transaction.
        owner_id: the one who asks, for whom the results are remembered.
        image_ids: images they may see; None for all of their own.
        question: small JSON values that the worker understands.
        request_id: follows the work into the worker's log.
        idempotency_key: the request's; one key queues one job.

    Raises:
        NotFound: one of the images is not there, or not theirs to see; nothing is queued.
        Conflict: they have no image at all, or the key's first request is still under way.
        InvalidInput: the key cannot be one, or belongs to another request.
    """
    wanted = None if image_ids is None else sorted(set(image_ids))
    arguments = {"image_ids": wanted, "question": question}
    request = once(owner_id, idempotency_key, CLASSIFY_IMAGES, arguments)
    earlier = request.earlier(session)
    if earlier is not None:
        return Requested(earlier, was_replayed=True)
    if image_ids is None:
        if count_images(session, owner_id, None) == 0:
            raise Conflict("You have no image that could be classified; upload some first.")
    elif missing := sorted(set(image_ids) - _seen(session, owner_id, image_ids)):
        raise NotFound(f"There is no image {missing[0]}, or it is not yours to see.")
    job = ledger.enqueue(
        session,
        CLASSIFY_IMAGES,
        arguments=arguments,
        owner_id=owner_id,
        request_id=request_id,
        # Each request has results of its own, so none is the same work as another.
        same_work=f"{CLASSIFY_IMAGES}:{secrets.token_hex(16)}",
    )
    request.keep(session, job.id)
    return Requested(job.id)


def count_images(session: Session, owner_id: int, image_ids: Sequence[int] | None) -> int:
    """Return how many images of a batch its owner may see now."""
    if image_ids is None:
        mine = _of_batch(owner_id).subquery()
        return session.execute(select(func.count()).select_from(mine)).scalar_one()
    return len(_seen(session, owner_id, image_ids))


def pages(
    runtime: Runtime,
    owner_id: int,
    image_ids: Sequence[int] | None,
    space_id: int,
    space: EmbeddingSpace,
) -> Iterator[BatchPage]:
    """Yield the images of a batch by ascending id, each page read when the iteration reaches it.

    Images that are gone by then are left out.

    Args:
        runtime: with the database.
        owner_id: of the batch.
        image_ids: ascending; None for all of their own.
        space_id: the row of `space`.
        space: of the vectors to read.
    """
    if image_ids is None:
        after: int | None = 0
        while after is not None:
            query = _of_batch(owner_id).where(Image.id > after)
            page, after = _page(runtime, query.limit(PAGE_ROWS), space_id, space)
            if after is not None:
                yield page
        return
    for start in range(0, len(image_ids), PAGE_ROWS):
        some = image_ids[start : start + PAGE_ROWS]
        query = visible_images(Audience(owner_id)).where(Image.id.in_(some))
        yield _page(runtime, query, space_id, space)[0]


def _page(
    runtime: Runtime, query: Select[Image], space_id: int, space: EmbeddingSpace
) -> tuple[BatchPage, int | None]:
    """Return a page and the id of its last image, None when there was nothing left."""
    with runtime.reading() as session:
        images = list(session.execute(query.order_by(Image.id)).scalars())
        ready = {image.content_id for image in images if image.status == ImageStatus.READY}
        pictures = known_pictures(session, Content.id.in_(ready), space_id, space)
    known = {picture.content_id for picture in pictures}
    later = (ImageStatus.PENDING, ImageStatus.PROCESSING)
    waiting = sum(1 for each in images if each.content_id not in known and each.status in later)
    last_id = images[-1].id if images else None
    return BatchPage(pictures, len(images), waiting), last_id


def _of_batch(owner_id: int) -> Select[Image]:
    return visible_images(Audience(owner_id).own_alone())


def _seen(session: Session, owner_id: int, image_ids: Sequence[int]) -> set[int]:
    query = visible_images(Audience(owner_id)).with_only_columns(Image.id)
    return {row.id for row in rows_in(session, query, Image.id, image_ids)}


def question_to_json(question: Question) -> dict[str, Any]:
    """Return a question as a job's row holds it."""
    names = None if question.labels is None else [label.name for label in question.labels]
    return {
        "labels": names,
        "templates": None if question.templates is None else list(question.templates),
        "with_descriptions": question.with_descriptions,
        "nsfw_threshold": question.nsfw_threshold,
    }


def question_from_json(stored: dict[str, Any]) -> Question:
    """Return the question that `question_to_json` wrote."""
    names, templates = stored["labels"], stored["templates"]
    return Question(
        labels=None if names is None else tuple(Label(name) for name in names),
        templates=None if templates is None else tuple(templates),
        with_descriptions=stored["with_descriptions"],
        nsfw_threshold=stored["nsfw_threshold"],
    )


def classify_images(runtime: Runtime, attempt: Attempt) -> None:
    """Classify the job's images and remember the results under the job's id.

    Images that were deleted or hidden since are left out, and so are those that could not be
    embedded. Running it twice writes the same results again.

    Raises:
        Unavailable: some images still wait for their vectors; all others have their results, and
            the next attempt looks again.
    """
    job = attempt.job
    owner_id, image_ids = job.owner_id, job.arguments["image_ids"]
    if owner_id is None:
        raise NotFound("The job names nobody to classify for.")
    question = question_from_json(job.arguments["question"])
    # Nobody waits for this: however many labels are new, they are encoded in one go.
    classifier = Classifier.prepare(runtime, runtime.encoder, question, within_s=None)
    with runtime.reading() as session:
        total = count_images(session, owner_id, image_ids)
    done = waiting = 0
    attempt.report(done, total)
    for page in pages(runtime, owner_id, image_ids, classifier.space_id, classifier.space):
        results = [
            (picture, classifier.summary(classifier.judge(picture.vector)))
            for picture in page.pictures
        ]
        with runtime.transaction() as session:
            attempts.report_progress(session, job.id, attempt.token, done, max(total, done))
            for picture, result in results:
                remark = Remark(result=result, job_id=job.id)
                # One that was deleted since the page was read has no result.
                with suppress(NotFound):
                    remember_known(
                        session, picture, owner_id=owner_id, remark=remark, sent_bytes=False
                    )
        done += page.seen - page.waiting
        waiting += page.waiting
        attempt.report(done, max(total, done))
    if waiting:
        raise Unavailable(f"{waiting} of the images still wait for their vectors.")
    with runtime.transaction() as session:
        attempts.report_progress(session, job.id, attempt.token, done, done)
        attempts.finish(session, job.id, attempt.token)


KIND = Kind(
    CLASSIFY_IMAGES,
    classify_images,
    # Images that were uploaded a moment ago may still wait for their vectors, ten minutes in all.
    RetryPolicy(max_attempts=8, first_delay_s=5.0),
    title="Classify pictures",
)
