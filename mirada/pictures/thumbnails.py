"""Thumbnails and moving copies: made by workers, and asked for by requests.

The smallest thumbnail is made with the picture's vector, from the same decoding. A job makes the others
as soon as no picture waits for its vector. A request that finds one missing queues a job for its
picture and waits for it a moment: no request decodes anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import bindparam, func, select, update

from mirada.db.models import Content
from mirada.db.session import count_changed
from mirada.embedding.embed import keep_look
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.embedding.looks import look_of
from mirada.jobs import attempts, batches, ledger
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.copies import ALL_MADE, MOVING, NONE, STILL, fitting, sides_for, tail_of
from mirada.kernel.errors import (
    CorruptImage,
    ImageTooLarge,
    NotFound,
    StorageFull,
    Unavailable,
    UnsupportedImage,
)
from mirada.kernel.images import AnimatedCopy
from mirada.pictures.derivatives import keep
from mirada.runtime import Runtime

MAKE_THUMBNAILS = "make_thumbnails_task"
WAIT_S = 2.0
"""How long a request waits for the copy that it asked a worker for: most take far less."""
LOOK_EVERY_S = 0.03
BEING_MADE = "Moving copies are being made just now; ask for this one again in a few seconds."
NOT_MADE = "A worker makes this thumbnail; ask for it again in a few seconds."
LOOK_SIDE_PX = 64
"""Pixels of the shorter side that a look is made of, where the encoder's are not at hand."""
PAGE = 16
"""Pictures between two looks at whether others wait for their vectors."""
Copy = TypeVar("Copy")

_LACKING = (Content.storage_key != "", Content.thumbnails_edition < ALL_MADE)
_MADE = (
    update(Content.__table__)  # type: ignore[arg-type]
    .where(Content.__table__.c.id.in_(bindparam("contents", expanding=True)))
    .values(thumbnails_edition=ALL_MADE)
)


def thumbnail(runtime: Runtime, content: Content, side_px: int) -> bytes:
    """Return a still WebP of a picture, at most `side_px` on its longer side.

    Raises:
        NotFound: the original's bytes are gone.
        Unavailable: no worker has made it yet; ask again.
        CorruptImage: it has none, because its pixels cannot be read any more.
    """
    key = content.storage_key
    tail = tail_of(fitting(side_px, content.width, content.height))
    kept = runtime.copies.read(key, tail)
    if kept is None:
        kept = _asked_for(runtime, content, lambda: runtime.copies.read(key, tail))
    if kept is None:
        reason = runtime.copies.read(key, NONE)
        if reason is not None:
            raise CorruptImage(reason.decode("utf-8", "replace"))
        raise Unavailable(NOT_MADE, retry_after_s=3)
    return kept


def moving(runtime: Runtime, content: Content) -> AnimatedCopy:
    """Return the moving copy of an animation, or why there is none (yet: BEING_MADE).

    Raises:
        NotFound: the original's bytes are gone.
    """
    found = _kept_moving(runtime, content.storage_key)
    if found is None:
        found = _asked_for(runtime, content, lambda: _kept_moving(runtime, content.storage_key))
    return found or AnimatedCopy(None, BEING_MADE)


def queue_backlog(runtime: Runtime) -> None:
    """Queue the job that makes what is lacking, unless nothing is or pictures wait for their vectors."""
    with runtime.reading() as session:
        lacking = session.execute(select(Content.id).where(*_LACKING).limit(1)).first()
        if lacking is None or batches.due(session, CREATE_EMBEDDINGS, 1):
            return
    with runtime.transaction() as session:
        job = ledger.enqueue(session, MAKE_THUMBNAILS, same_work=MAKE_THUMBNAILS)
    runtime.doorbell.ring(job.id, job.kind)


def make_thumbnails(runtime: Runtime, attempt: Attempt) -> None:
    """Make the copies of the job's picture; without one, of all that lack some, until others wait."""
    content_id = attempt.job.subject_id
    if content_id is None:
        _make_backlog(runtime, attempt)
        attempts.finish_alone(runtime, attempt)
        return
    with runtime.reading() as session:
        content = session.get(Content, content_id)
    if content is not None and content.storage_key:
        _make(runtime, content)
    with runtime.transaction() as session:
        count_changed(session, _MADE, {"contents": [content_id]})
        attempts.finish(session, attempt.job.id, attempt.token)


def _make_backlog(runtime: Runtime, attempt: Attempt) -> None:
    """Make what is lacking, until others wait; a picture that cannot be had now holds up no other.

    Raises:
        Unavailable: one could not be had, and the others are done; or a whole page could not.
    """
    with runtime.reading() as session:
        total = session.execute(select(func.count(Content.id)).where(*_LACKING)).scalar_one()
    done = last = 0
    trouble: Unavailable | None = None
    while True:
        with runtime.reading() as session:
            query = select(Content).where(*_LACKING, Content.id > last)
            page = list(session.execute(query.order_by(Content.id).limit(PAGE)).scalars())
            # Whoever embeds the last of them leaves room for the next job of this kind.
            others_wait = bool(batches.due(session, CREATE_EMBEDDINGS, 1))
        if not page or others_wait:
            break
        made, error = _make_page(runtime, attempt, page)
        trouble, last = error or trouble, page[-1].id
        if error is not None and not made and len(page) == PAGE:
            raise error
        if made:
            with runtime.transaction() as session:
                count_changed(session, _MADE, {"contents": made})
        done += len(page)
        attempt.report(done, max(total, done))
    if trouble is not None:
        raise trouble


def _make_page(
    runtime: Runtime, attempt: Attempt, page: Sequence[Content]
) -> tuple[list[int], Unavailable | None]:
    """Return the contents of a page that lack nothing more, and why another could not be had."""
    made, trouble = [], None
    for content in page:
        attempt.check_long()
        try:
            _make(runtime, content)
        except StorageFull:
            raise
        except Unavailable as error:
            # The machine may be short of memory for this one, or its file away for a moment.
            trouble = error
        else:
            made.append(content.id)
    return made, trouble


def _make(runtime: Runtime, content: Content) -> None:
    """Make what a picture lacks, its look too, or keep a sentence in its place.

    One without its file is passed over.

    Raises:
        StorageFull: a copy cannot be kept.
        Unavailable: the store is away, or no decoder can be had.
    """
    key = content.storage_key
    try:
        path = runtime.image_store.path(key)
        sides = [
            side
            for side in sides_for(content.width, content.height)
            if not runtime.copies.has(key, tail_of(side))
        ]
        made = runtime.decoder.thumbnails(path, sides) if sides else []
        for side, webp in zip(sides, made, strict=True):
            _keep(runtime, key, tail_of(side), webp)
        if content.is_animated and _kept_moving(runtime, key) is None:
            copy = runtime.decoder.animation(path)
            if copy.webp is not None:
                _keep(runtime, key, MOVING, copy.webp)
            else:
                _keep(runtime, key, STILL, (copy.why_still or "").encode())
        if content.placeholder is None:
            look = look_of(runtime.decoder.see(path, LOOK_SIDE_PX))
            with runtime.transaction() as session:
                keep_look(session, content.id, look)
    except (CorruptImage, ImageTooLarge, UnsupportedImage) as error:
        _keep(runtime, key, NONE, error.detail.encode())
    except NotFound:
        # Deleted meanwhile, or lost: who asks for its copies is told so.
        return


def _keep(runtime: Runtime, storage_key: str, tail: str, content: bytes) -> None:
    if not keep(runtime, storage_key, tail, content):
        raise StorageFull(
            "A thumbnail could not be kept. Make room in DATA_DIR, then retry the job.",
            retry_after_s=60,
        )


def _kept_moving(runtime: Runtime, storage_key: str) -> AnimatedCopy | None:
    webp = runtime.copies.read(storage_key, MOVING)
    if webp is not None:
        return AnimatedCopy(webp, None)
    reason = runtime.copies.read(storage_key, STILL)
    return None if reason is None else AnimatedCopy(None, reason.decode("utf-8", "replace"))


def _asked_for(runtime: Runtime, content: Content, look: Callable[[], Copy | None]) -> Copy | None:
    """Queue the job that makes a picture's copies, and wait a moment for what `look` finds."""
    runtime.image_store.path(content.storage_key)
    with runtime.transaction() as session:
        job = ledger.enqueue(session, MAKE_THUMBNAILS, subject_id=content.id)
    runtime.doorbell.ring(job.id, job.kind)
    # Two threads stay free for everybody else. A browser asks for six pictures at a time.
    places = max(1, runtime.settings.web_threads - 2)
    waiting = runtime.remembered(
        "requests_that_wait_for_copies", lambda: threading.BoundedSemaphore(places)
    )
    if not waiting.acquire(blocking=False):
        return look()
    try:
        deadline = time.monotonic() + WAIT_S
        while (found := look()) is None and time.monotonic() < deadline:
            if runtime.copies.has(content.storage_key, NONE):
                break
            time.sleep(LOOK_EVERY_S)
        return found
    finally:
        waiting.release()


KIND = Kind(MAKE_THUMBNAILS, make_thumbnails, title="Make thumbnails")
