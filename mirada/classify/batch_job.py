"""The job that classifies many stored images; it encodes nothing but labels that are new."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from mirada.classify import batch, remembered
from mirada.classify.classifier import Classifier, Question
from mirada.classify.remembered import Remark
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy
from mirada.kernel.errors import NotFound, Unavailable
from mirada.kernel.labels import Label
from mirada.runtime import Runtime


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
        total = batch.count_images(session, owner_id, image_ids)
    done = waiting = 0
    attempt.report(done, total)
    for page in batch.pages(runtime, owner_id, image_ids, classifier.space_id, classifier.space):
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
                    remembered.remember_known(
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
    batch.CLASSIFY_IMAGES,
    classify_images,
    # Images that were uploaded a moment ago may still wait for their vectors, ten minutes in all.
    RetryPolicy(max_attempts=8, first_delay_s=5.0),
)
