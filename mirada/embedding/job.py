"""The job that embeds one content and its prompts: queue it, and do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import spaces
from mirada.db.contents import lock_content
from mirada.db.models import Job
from mirada.embedding import embed, mirroring, reading
from mirada.embedding.labelled import Judge, Keep
from mirada.embedding.looks import Look, look_of
from mirada.embedding.together import create_embeddings_together
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy, SubjectRules, TimeLimit
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector
from mirada.kernel.errors import MiradaError, NotFound
from mirada.runtime import Runtime

CREATE_EMBEDDINGS = "create_embeddings_task"


def queue_embedding(
    session: Session,
    content_id: int,
    space_id: int | None,
    *,
    owner_id: int | None = None,
    request_id: str | None = None,
    replace: bool = False,
) -> Job:
    """Return the queued job that embeds a content; ring after the commit.

    It is one job of each uploader, whatever the space: its age and number would tell the second
    uploader that there was a first. The job that runs second finds the vector.

    Args:
        session: the transaction that also writes what the job is about.
        content_id: what is embedded.
        space_id: the image space; None while none is pinned.
        owner_id: who may see the job. None: nobody's upload asks for it, so a job that is there is
            queued again, a given up one first.
        request_id: follows the work into the worker's log.
        replace: write over a vector that exists.
    """
    fresh = embedding_job(content_id, space_id, owner_id, request_id)
    if owner_id is None:
        fresh.same_work = _earlier_work(session, content_id) or fresh.same_work
    if replace:
        fresh.arguments = {"replace": True}
    return ledger.enqueue_job(session, fresh)


def embedding_job(
    content_id: int, space_id: int | None, owner_id: int | None, request_id: str | None
) -> Job:
    """Return the job that embeds a content, which is no row yet; see `queue_embedding`."""
    return Job(
        kind=CREATE_EMBEDDINGS,
        subject_id=content_id,
        space_id=space_id,
        same_work=f"{CREATE_EMBEDDINGS}:{content_id}:{owner_id or 'all'}",
        arguments={},
        owner_id=owner_id,
        request_id=request_id,
    )


def _earlier_work(session: Session, content_id: int) -> str | None:
    return session.execute(
        select(Job.same_work)
        .where(Job.kind == CREATE_EMBEDDINGS, Job.subject_id == content_id)
        .order_by(Job.state.not_in(ledger.GIVEN_UP), Job.id)
        .limit(1)
    ).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture as the encoder sees it; both None where nothing had to be read.

    Attributes:
        vector: (d,) float32; None where the content has one.
        look: how it looks.
        unread: why its bytes could not be read, where only the look is lacking.
        mirrored: its vector by the other model, while the image model is being changed.
    """

    vector: Vector | None = None
    look: Look | None = None
    unread: MiradaError | None = None
    mirrored: mirroring.Mirrored | None = None


@dataclass(frozen=True, slots=True)
class _Prompts:
    """The vectors of prompts by text id, with their space; or why there are none."""

    space: tuple[int, EmbeddingSpace] | None
    vectors: Mapping[int, Vector]
    trouble: MiradaError | None = None


def create_embeddings(runtime: Runtime, attempt: Attempt, judge: Judge) -> None:
    """Embed one content, judge its labels, and make its images READY."""
    job = attempt.job
    if not runtime.settings.embeddings_enabled:
        # CONTRACT A: tasks return at once without work. A later backfill finds these images.
        attempts.finish_alone(runtime, attempt)
        return
    if job.subject_id is None:
        raise NotFound("The job names no content.")
    # Whatever space was in use when it was queued: the picture is embedded for the one of today.
    replace = bool(job.arguments.get("replace", False))
    is_complete = False
    while not is_complete:
        subject = _begin(runtime, attempt, job.subject_id, judge, replace=replace)
        if subject is None:
            return
        picture = _read_picture(runtime, attempt, subject)
        if picture is None:
            continue
        prompts = _embed_prompts(runtime, subject)
        keep = judge(runtime)
        attempt.check()
        is_complete = _store(runtime, attempt, subject, picture, prompts, keep, replace=replace)
        replace = False


def _begin(
    runtime: Runtime, attempt: Attempt, content_id: int, judge: Judge, *, replace: bool
) -> embed.Subject | None:
    """Return what the content lacks; None when that is nothing, and the job is done."""
    space_id, _ = runtime.space()
    with runtime.reading() as session:
        prompt_space_id = spaces.pinned_space_id(session, SpaceKind.PROMPT)
    keep = judge(runtime)
    with runtime.transaction() as session:
        subject = embed.begin_embedding(
            session,
            content_id,
            space_id,
            prompt_space_id=prompt_space_id,
            replace=replace,
        )
        if subject is None:
            if keep is not None:
                keep(session, {content_id: None})
            attempts.finish(session, attempt.job.id, attempt.token)
    return subject


def _read_picture(runtime: Runtime, attempt: Attempt, subject: embed.Subject) -> _Picture | None:
    """Return what the picture lacks; None when its bytes were deleted meanwhile."""
    if subject.storage_key is None:
        return _Picture()
    try:
        seen = reading.seen(runtime, subject.content_id, subject.storage_key)
    except MiradaError as error:
        if not subject.has_vector:
            raise
        # Only its look is missing: what needs no bytes is done first.
        attempt.check()
        return _Picture(unread=error)
    if seen is None:
        return None
    attempt.check()
    pixels, look = seen.pixels, look_of(seen)
    vector = None if subject.has_vector else runtime.encoder.encode_images([pixels])[0]
    return _Picture(vector, look, mirrored=mirroring.vectors_of(runtime, [pixels]))


def _embed_prompts(runtime: Runtime, subject: embed.Subject) -> _Prompts:
    texts = subject.prompts
    if not texts and not subject.has_due_prompts:
        return _Prompts(None, {})
    try:
        space, encoder = runtime.space(SpaceKind.PROMPT), runtime.text_encoder
        vectors = encoder.encode_texts(list(texts.values())) if texts else ()
    except MiradaError as error:
        return _Prompts(None, {}, error)
    return _Prompts(space, dict(zip(texts, vectors, strict=True)))


def _store(
    runtime: Runtime,
    attempt: Attempt,
    subject: embed.Subject,
    picture: _Picture,
    prompts: _Prompts,
    keep: Keep | None,
    *,
    replace: bool,
) -> bool:
    """Write what was computed, and return whether the content lacks nothing any more.

    An image with another prompt may have come in meanwhile: whoever embeds this goes on with that.

    Raises:
        MiradaError: what is still lacking could not be had; what could is written.
    """
    with runtime.transaction() as session:
        is_complete = embed.store_vectors(
            session,
            subject,
            image=None if picture.vector is None else (*runtime.space(), picture.vector),
            look=picture.look,
            prompt_space=prompts.space,
            prompt_vectors=prompts.vectors,
            replace=replace,
        )
        if keep is not None:
            keep(session, {subject.content_id: picture.vector})
        mirroring.store(session, subject.content_id, picture.mirrored)
        if is_complete and picture.unread is None:
            # In the same transaction: an attempt that lost its lease takes its vectors back.
            attempts.finish(session, attempt.job.id, attempt.token)
    trouble = picture.unread if is_complete else prompts.trouble
    if trouble is not None:
        raise trouble
    return is_complete


def embedding_kind(judge: Judge) -> Kind:
    """Return the kind of these jobs; `judge` judges the labels of the pictures that come in."""
    return Kind(
        CREATE_EMBEDDINGS,
        partial(create_embeddings, judge=judge),
        # CONTRACT A: three attempts with exponential backoff.
        RetryPolicy(max_attempts=3, first_delay_s=10.0),
        # CONTRACT A. Threads cannot be interrupted safely in the middle of a step; the steps have
        # limits of their own: 30 s of decoding in a child process, 120 s of waiting for the encoder.
        TimeLimit(soft_s=120.0, hard_s=180.0),
        SubjectRules(
            lock=lock_content,
            give_up=embed.fail_images,
            retry=embed.await_images,
            cancel=embed.fail_images_of,
        ),
        title="Make a picture searchable",
        is_about_content=True,
        together=partial(create_embeddings_together, judge=judge),
    )
