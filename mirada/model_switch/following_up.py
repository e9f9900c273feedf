"""What else a space needs before it serves: labels, measures, groups, a threshold, an index."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from sqlalchemy import false, select
from sqlalchemy.orm import Session

from mirada.classify.labelling import label_library
from mirada.db.models import Content, Embedding, Job, Space
from mirada.embedding.index_rebuild import rebuild_space, why_due
from mirada.groups.near_duplicates import DEFAULT_THRESHOLD, LEAST_THRESHOLD
from mirada.groups.runs import CLUSTER_LIBRARY, ClusterKind, newest_run
from mirada.jobs import ledger
from mirada.jobs.kinds import Attempt
from mirada.kernel import model_view
from mirada.kernel.embeddings import Matrix, SpaceKind
from mirada.kernel.errors import MiradaError
from mirada.kernel.images import RgbImage
from mirada.kernel.model_view import ModelView
from mirada.memory.taste import make_ready
from mirada.runtime import Runtime
from mirada.search.calibrating import calibrate

logger = logging.getLogger(__name__)

SAMPLED = 64
"""Pictures whose altered copies set the threshold of near-duplicates."""
SIDE_PX = 320
"""Of the pictures that are altered, at least; more tells nothing more."""


def follow_up(runtime: Runtime, attempt: Attempt, now: ModelView, other: ModelView) -> None:
    """Give a filled space all that the space in use has beside its vectors.

    Args:
        runtime: of a process that works.
        attempt: of the job; its progress stays as it is.
        now: the view in use.
        other: the view that is being made ready.
    """
    set_threshold(runtime, now, other)
    attempt.check_long()
    with model_view.working_in(other):
        label_library(runtime, attempt)
        attempt.check_long()
        make_ready(runtime, may_encode=True)
        for space_id in _own_spaces(now, other):
            calibrate(runtime, space_id, lambda _done, _total: attempt.check_long())
            attempt.check_long()
            if why_due(runtime, space_id) is not None:
                rebuild_space(runtime, attempt, space_id)
    _queue_groups(runtime, now, other)


def _own_spaces(now: ModelView, other: ModelView) -> Iterator[int]:
    """Yield the spaces that one view has and the other has not."""
    yield from (each for each in other.spaces.values() if each not in now.spaces.values())


def _queue_groups(runtime: Runtime, now: ModelView, other: ModelView) -> None:
    """Queue a run of each kind of groups that the space in use has and the other has not."""
    assert now.image_space_id is not None
    assert other.image_space_id is not None
    queued: list[Job] = []
    with runtime.transaction() as session:
        threshold = _threshold(session, other.image_space_id)
        for kind in ClusterKind:
            run = newest_run(session, kind, now.image_space_id)
            if run is None or newest_run(session, kind, other.image_space_id) is not None:
                continue
            parameters = dict(run.parameters)
            if kind is ClusterKind.NEAR_DUPLICATES:
                parameters["threshold"] = threshold
            queued.append(
                ledger.enqueue(
                    session,
                    CLUSTER_LIBRARY,
                    space_id=other.image_space_id,
                    arguments={"kind": str(kind), **parameters},
                    same_work=f"{CLUSTER_LIBRARY}:{kind}:{other.image_space_id}",
                )
            )
    for job in queued:
        runtime.doorbell.ring(job.id, job.kind)


def _threshold(session: Session, space_id: int) -> float:
    return session.get_one(Space, space_id).near_duplicate_cosine or DEFAULT_THRESHOLD


def set_threshold(runtime: Runtime, now: ModelView, other: ModelView) -> None:
    """Give a space the threshold of near-duplicates that as many altered copies reach as before.

    Copies are smaller, cropped, and brighter ones of the library's own pictures. Without any picture
    the threshold stays the usual one.
    """
    pictures = list(_sampled(runtime, now))
    if not pictures or other.image_space_id is None or now.image_space_id is None:
        return
    with runtime.reading() as session:
        if session.get_one(Space, other.image_space_id).near_duplicate_cosine is not None:
            return
        least = _threshold(session, now.image_space_id)
    before, after = (_cosines(runtime, view, pictures) for view in (now, other))
    share = float(np.mean(before >= least))
    threshold = float(np.quantile(after, 1.0 - share))
    with runtime.transaction() as session:
        row = session.get_one(Space, other.image_space_id)
        row.near_duplicate_cosine = min(max(threshold, LEAST_THRESHOLD), 1.0)
        logger.info("Near-duplicates begin at a cosine of %.3f (it was %.3f)", threshold, least)


def _sampled(runtime: Runtime, view: ModelView) -> Iterator[RgbImage]:
    keys = (
        select(Content.storage_key)
        .join(Embedding, Embedding.content_id == Content.id)
        .where(
            Embedding.space_id == view.spaces[SpaceKind.IMAGE],
            Embedding.is_deleted == false(),
            Content.storage_key != "",
        )
        .order_by(Content.sha256)
        .limit(SAMPLED)
    )
    with runtime.reading() as session:
        found = session.execute(keys).scalars().all()
    for key in found:
        try:
            yield runtime.decoder.decode(runtime.image_store.path(key), min_side_px=SIDE_PX)
        except MiradaError as error:
            logger.info("A picture is left out of the sample: %s", error)


def _cosines(runtime: Runtime, view: ModelView, pictures: list[RgbImage]) -> Matrix:
    """Return (3 n,) the cosines of pictures with their altered copies, by the encoder of a view."""
    found = []
    with model_view.working_in(view):
        for picture in pictures:
            vectors = runtime.encoder.encode_images([picture, *_altered(picture)])
            found.append(vectors[1:] @ vectors[0])
    return np.concatenate(found)


def _altered(picture: RgbImage) -> list[RgbImage]:
    height, width = picture.shape[:2]
    smaller = np.ascontiguousarray(picture[::2, ::2])
    cropped = np.ascontiguousarray(
        picture[height // 12 : height - height // 12, width // 12 : width - width // 12]
    )
    brighter = np.clip(picture.astype(np.int16) + 24, 0, 255).astype(np.uint8)
    return [smaller, cropped, brighter]
