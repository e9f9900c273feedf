"""Finding which contents are the same picture: a job, for what came in and for the whole library.

Hashes are made when pictures come in, from the pixels that the encoder gets. The job compares those of new
images with all others, and writes the pairs down. An image of bytes that somebody else had before waits for
the job as one of new bytes does: else its owner would learn of the other.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Row, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.duplicate_models import SamePicture
from mirada.db.inserts import inserting_unless_there
from mirada.db.models import Content, Image
from mirada.db.visibility import DUPLICATES_EDITION
from mirada.embedding.embed import keep_look
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.embedding.looks import look_of
from mirada.jobs import attempts, batches, ledger
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.errors import CorruptImage, ImageTooLarge, NotFound, UnsupportedImage
from mirada.kernel.images import ImageStatus
from mirada.kernel.picture_hash import HASH_BYTES, hashes_of
from mirada.kernel.same_picture import same_pictures
from mirada.pictures.thumbnails import LOOK_SIDE_PX
from mirada.runtime import Runtime

FIND_DUPLICATES = "find_duplicates_task"
PAGE = 500
"""Images that are compared with all others, and written down in one transaction."""
NEAREST = 200
"""Pairs that are kept of a content, those with the fewest bits apart. A thousand copies of one picture are
one group by far fewer pairs than all half a million."""

logger = logging.getLogger(__name__)
_IMAGES = Image.__table__
_WAITING = (Image.status == ImageStatus.READY, Image.duplicates_edition < DUPLICATES_EDITION)
# `updated_at` is set to itself, because it would otherwise take the clock: the image has not changed.
_LOOKED_AT = (
    update(_IMAGES)  # type: ignore[arg-type]
    .where(_IMAGES.c.id.in_(bindparam("images", expanding=True)))
    .values(duplicates_edition=DUPLICATES_EDITION, updated_at=_IMAGES.c.updated_at)
)


def queue_waiting(runtime: Runtime) -> None:
    """Queue the job, unless no image waits for it, or pictures wait for their vectors."""
    with runtime.reading() as session:
        waits = session.execute(select(Image.id).where(*_WAITING).limit(1)).first()
        if waits is None or batches.due(session, CREATE_EMBEDDINGS, 1):
            return
    with runtime.transaction() as session:
        job = ledger.enqueue(session, FIND_DUPLICATES, same_work=FIND_DUPLICATES)
    runtime.doorbell.ring(job.id, job.kind)


def find_duplicates(runtime: Runtime, attempt: Attempt) -> None:
    """Compare every image that waits with all pictures; running it twice changes nothing."""
    with runtime.reading() as session:
        total = session.execute(select(func.count(Image.id)).where(*_WAITING)).scalar_one()
    known = _Known()
    done = last = 0
    while True:
        attempt.check_long()
        with runtime.reading() as session:
            page = _page(session, last)
        if not page:
            break
        _hash_older(runtime, attempt, [row.content_id for row in page])
        with runtime.reading() as session:
            known.read_more(session)
            pairs = known.pairs_of([row.content_id for row in page])
        attempt.check_long()
        compared_before = [row.content_id for row in page if row.duplicates_edition]
        with runtime.transaction() as session:
            _keep(session, pairs, [row.id for row in page], compared_before)
        last, done = page[-1].id, done + len(page)
        attempt.report(done, max(total, done))
    logger.info("%s images were compared with all others", done)
    attempts.finish_alone(runtime, attempt)


def _page(session: Session, last: int) -> Sequence[Row[int, int, int]]:
    query = select(Image.id, Image.content_id, Image.duplicates_edition).where(
        *_WAITING, Image.id > last
    )
    return session.execute(query.order_by(Image.id).limit(PAGE)).all()


def _hash_older(runtime: Runtime, attempt: Attempt, content_ids: Sequence[int]) -> None:
    """Make the hashes of pictures without one of this edition; what cannot be read has none."""
    is_older = func.coalesce(func.length(Content.picture_hash), 0) != HASH_BYTES
    query = select(Content.id, Content.storage_key).where(is_older, Content.storage_key != "")
    with runtime.reading() as session:
        lacking = list(rows_in(session, query, Content.id, content_ids))
    for content_id, key in lacking:
        attempt.check_long()
        try:
            look = look_of(runtime.decoder.see(runtime.image_store.path(key), LOOK_SIDE_PX))
        except (CorruptImage, ImageTooLarge, UnsupportedImage, NotFound):
            continue
        with runtime.transaction() as session:
            keep_look(session, content_id, look)


class _Known:
    """The hashes of all contents, read once and added to while the job runs. 9 MB for 100,000."""

    def __init__(self) -> None:
        self._ids = np.empty(0, np.int64)
        self._hashes = hashes_of([])

    def read_more(self, session: Session) -> None:
        """Read the hashes of contents that are not known yet."""
        query = select(Content.id, Content.picture_hash).where(Content.picture_hash.is_not(None))
        # Older contents get their hashes while the job runs, so ids do not come in their order.
        missing = query.where(Content.id.in_(self._lacking(session)))
        rows = session.execute(query if not len(self._ids) else missing).all()
        rows = [row for row in rows if len(row.picture_hash) == HASH_BYTES]
        self._ids = np.append(self._ids, np.array([row.id for row in rows], np.int64))
        self._hashes = self._hashes.with_more(hashes_of([row.picture_hash for row in rows]))

    def _lacking(self, session: Session) -> list[int]:
        every = session.execute(select(Content.id).where(Content.picture_hash.is_not(None)))
        return sorted(set(every.scalars()) - set(self._ids.tolist()))

    def pairs_of(self, content_ids: Sequence[int]) -> list[dict[str, Any]]:
        """Return the rows of the pairs of some contents with any others."""
        places = np.flatnonzero(np.isin(self._ids, np.array(content_ids, np.int64)))
        best: dict[tuple[int, int], tuple[int, bool]] = {}
        for found in same_pictures(self._hashes[places], self._hashes):
            columns = (found.some, found.others, found.bits, found.mirrored)
            for some, other, bits, mirrored in zip(*(c.tolist() for c in columns), strict=True):
                pair = sorted((int(self._ids[places[some]]), int(self._ids[other])))
                if pair[0] != pair[1]:
                    key = (pair[0], pair[1])
                    best[key] = min(best.get(key, (bits, mirrored)), (bits, mirrored))
        return _nearest(best)


def _nearest(best: dict[tuple[int, int], tuple[int, bool]]) -> list[dict[str, Any]]:
    """Return the rows of the pairs that are among the NEAREST of one of their contents."""
    kept: list[dict[str, Any]] = []
    counts: dict[int, int] = {}
    for (one, other), (bits, mirrored) in sorted(best.items(), key=lambda item: (item[1], item[0])):
        if min(counts.get(one, 0), counts.get(other, 0)) < NEAREST:
            kept.append({"one_id": one, "other_id": other, "bits": bits, "is_mirrored": mirrored})
            for each in (one, other):
                counts[each] = counts.get(each, 0) + 1
    return kept


def _keep(
    session: Session, pairs: list[dict[str, Any]], image_ids: list[int], compared_before: list[int]
) -> None:
    """Write pairs of contents that are there, and that these images were compared.

    Pairs of contents that an earlier edition compared are taken out: they may not be the same by this one.
    """
    locking = select(Content.id).order_by(Content.id).with_for_update(read=True)
    named = {each for pair in pairs for each in (pair["one_id"], pair["other_id"])}
    there = {row.id for row in rows_in(session, locking, Content.id, named)}
    rows = [pair for pair in pairs if {pair["one_id"], pair["other_id"]} <= there]
    for side in (SamePicture.one_id, SamePicture.other_id):
        session.execute(delete(SamePicture).where(side.in_(compared_before)))
    if rows:
        session.execute(inserting_unless_there(session, SamePicture), rows)
    session.execute(_LOOKED_AT, {"images": image_ids})


KIND = Kind(FIND_DUPLICATES, find_duplicates, title="Find duplicates")
