"""The judging of pictures as unsafe or not, kept for filters: a job that is queued when somebody asks.

`safety` judges the few pictures of a page from their vectors, at once. A filter asks of the whole library,
so the scores are kept with the contents.

A score counts for images that were there when it was made. One that comes later, also of bytes that
somebody else had judged before, waits for the next run: its owner would learn of the other.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Row, Select, bindparam, not_, or_, select, update
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.filters import is_judged_in_use
from mirada.db.models import Content, Embedding, Image, Job, utc_now
from mirada.db.spaces import pinned_space
from mirada.db.stored_vectors import intact
from mirada.db.visibility import may_see
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.errors import InvalidInput, Unavailable
from mirada.kernel.filters import ImageFilter
from mirada.kernel.images import ImageStatus
from mirada.kernel.nsfw import NsfwPolicy
from mirada.runtime import Runtime
from mirada.search.safety import Safety, safety_of

JUDGE_PICTURES = "judge_pictures_task"
PAGE_ROWS = 500
"""Contents judged in one transaction: 1 MB of vectors."""
REMEMBERED_VIEWERS = 1_000
"""Of whom it is known at which change number nothing was lacking."""
DAMAGED = 1.0
"""The score of a picture whose vector is damaged: what cannot be judged is not called safe."""

_KEEP = (
    update(Content.__table__)  # type: ignore[arg-type]
    .where(Content.__table__.c.id == bindparam("content"))
    .values(
        nsfw_score=bindparam("score"),
        judged_at=bindparam("now"),
        judged_space_id=bindparam("space"),
    )
)


def narrowed(
    runtime: Runtime, audience: Audience, asked: ImageFilter, request_id: str | None = None
) -> Scope:
    """Return what a viewer asks to see; where that needs scores, what is lacking is queued.

    Raises:
        InvalidInput: it asks for scores, and pictures are not judged here.
    """
    if asked.nsfw is not None:
        if runtime.settings.nsfw_policy is NsfwPolicy.OFF:
            message = "Pictures are not judged here (NSFW_POLICY=off)."
            raise InvalidInput(message, fields={"nsfw": [message]})
        queue_judging(runtime, audience, request_id)
    return Scope(audience, asked)


def queue_judging(
    runtime: Runtime, audience: Audience, request_id: str | None = None
) -> int | None:
    """Queue the judging of the library where something is lacking that the viewer may see.

    Requests whose filter asks for scores call it. What is lacking of others' private images queues
    nothing: when one's own images are judged would tell of them.

    Returns:
        The id of the job; None where nothing is lacking, or while the database takes no changes.
    """
    if not is_judging(runtime):
        return None
    complete: dict[tuple[int | None, int | None], int] = runtime.remembered("judged_through", dict)
    # A request of the view before a change of the model says nothing of the scores after it.
    whose = (audience.viewer_id, runtime.view.image_space_id)
    job: Job | None = None
    with suppress(Unavailable):
        with runtime.reading() as session:
            change_seq = changes.current_seq(session)
            if complete.get(whose) == change_seq:
                return None
            seen = _unjudged().where(may_see(Audience(audience.viewer_id)))
            if session.execute(seen.limit(1)).first() is None:
                if len(complete) >= REMEMBERED_VIEWERS:
                    complete.clear()
                complete[whose] = change_seq
                return None
        with runtime.transaction() as session:
            job = ledger.enqueue(
                session, JUDGE_PICTURES, same_work=JUDGE_PICTURES, request_id=request_id
            )
        runtime.doorbell.ring(job.id, job.kind)
    return None if job is None else job.id


def is_judging(runtime: Runtime) -> bool:
    """Return whether pictures are judged here at all."""
    settings = runtime.settings
    return settings.embeddings_enabled and settings.nsfw_policy is not NsfwPolicy.OFF


def judge_pictures(runtime: Runtime, attempt: Attempt) -> None:
    """Judge every picture with an image that no score counts for yet."""
    if not is_judging(runtime):
        attempts.finish_alone(runtime, attempt)
        return
    safety = safety_of(runtime, runtime.encoder)
    done, after = 0, 0
    while True:
        attempt.check_long()
        # Before the vectors are read: an image that comes in meanwhile waits for the next run.
        now = utc_now()
        with runtime.reading() as session:
            ids, rows = _page(session, after)
        if not ids:
            break
        # One without a vector is neither safe nor unsafe.
        scores = {row.content_id: _score(safety, row) for row in rows}
        kept = [
            {"content": each, "score": scores.get(each), "now": now, "space": safety.space_id}
            for each in ids
        ]
        with runtime.transaction() as session:
            session.connection().execute(_KEEP, kept)
            changes.note(session)
        after = ids[-1]
        done += len(ids)
        attempt.report(done, None)
    attempts.finish_alone(runtime, attempt)


def _score(safety: Safety, row: Row[Any]) -> float:
    vector = intact(row.vector, row.crc32, safety.unsafe.shape[1])
    return DAMAGED if vector is None else safety.score(vector)


def _page(session: Session, after: int) -> tuple[list[int], list[Any]]:
    """Return the next contents to judge, by ascending id, and the vectors that they have."""
    space = pinned_space(session)
    if space is None:
        return [], []
    wanted = _unjudged().where(Image.content_id > after).order_by(Image.content_id)
    ids = list(session.execute(wanted.distinct().limit(PAGE_ROWS)).scalars())
    vectors = select(Embedding.content_id, Embedding.vector, Embedding.crc32).where(
        Embedding.content_id.in_(ids),
        Embedding.space_id == space.id,
        Embedding.is_deleted.is_(False),
    )
    return ids, list(session.execute(vectors))


def _unjudged() -> Select[int]:
    """Return the query for the contents of READY images that no score counts for."""
    lacks = or_(
        Content.judged_at.is_(None),
        Content.judged_at < Image.created_at,
        Content.judged_space_id.is_(None),
        not_(is_judged_in_use()),
    )
    query = select(Image.content_id).join(Content, Content.id == Image.content_id)
    return query.where(Image.status == ImageStatus.READY, lacks)


KIND = Kind(JUDGE_PICTURES, judge_pictures, title="Judge which pictures are safe")
