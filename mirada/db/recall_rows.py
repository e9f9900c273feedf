"""Sampled searches, the counts of what repeating them showed, and the lessons, in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from mirada.db.models import User, utc_now
from mirada.db.recall_models import RecallCount, RecallLesson, RecallSample
from mirada.kernel.embeddings import BLOB_DTYPE
from mirada.kernel.live_recall import Comparison, PermittedShare, Sample, as_data, scope_of
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import MEASURED, Trust, Which

KEPT_FOR = timedelta(minutes=10)
"""How long a sample may wait for a worker; then it is deleted unmeasured."""
MOST_SAMPLES = 500
"""Of all spaces; while so many wait, no more are kept."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The findings of repeating the searches of one kind.

    Attributes:
        form, way, factor: how they were answered, as in `Sample`.
        share: how much of what is there they were allowed to find.
        queries: how many were repeated.
        wanted, found: neighbours among the first ten.
    """

    form: QueryForm
    way: SearchWay
    factor: int
    share: PermittedShare
    queries: int
    wanted: int
    found: int


def keep(session: Session, space_id: int, samples: Sequence[Sample]) -> int:
    """Store samples as far as there is room for them, and return how many; old ones are deleted.

    What holds words, or is of a user who was ended meanwhile, is not stored.
    """
    session.execute(delete(RecallSample).where(RecallSample.created_at < utc_now() - KEPT_FOR))
    waiting = session.execute(select(func.count()).select_from(RecallSample)).scalar_one()
    viewers = {sample.scope.viewer_id for sample in samples} - {None}
    ended = set(
        session.execute(
            select(User.id).where(User.id.in_(viewers), User.ended_at.is_not(None))
        ).scalars()
    )
    rows = []
    for sample in samples[: max(0, MOST_SAMPLES - waiting)]:
        scope = as_data(sample.scope)
        if scope is not None and sample.scope.viewer_id not in ended:
            rows.append(_row_of(space_id, sample, scope))
    session.add_all(rows)
    return len(rows)


def _row_of(space_id: int, sample: Sample, scope: dict[str, Any]) -> RecallSample:
    return RecallSample(
        space_id=space_id,
        snapshot=sample.snapshot,
        viewer_id=sample.scope.viewer_id,
        scope=scope,
        form=sample.form,
        way=sample.way,
        factor=sample.factor,
        k=sample.k,
        query=sample.vector.astype(BLOB_DTYPE, copy=False).tobytes(),
        found=[list(pair) for pair in zip(sample.ids, sample.similarities, strict=True)],
        permitted_count=sample.permitted_count,
        change_seq=sample.change_seq,
    )


def spaces_with_samples(session: Session) -> list[int]:
    """Return the ids of the spaces whose samples wait."""
    return list(session.execute(select(RecallSample.space_id).distinct()).scalars())


def waiting(session: Session, space_id: int, limit: int) -> dict[int, Sample]:
    """Return the oldest samples of a space by their rows' ids; those that are too old are not read."""
    rows = session.execute(
        select(RecallSample)
        .where(RecallSample.space_id == space_id, RecallSample.created_at >= utc_now() - KEPT_FOR)
        .order_by(RecallSample.id)
        .limit(limit)
    ).scalars()
    return {row.id: _sample_of(row) for row in rows}


def _sample_of(row: RecallSample) -> Sample:
    return Sample(
        vector=np.frombuffer(row.query, BLOB_DTYPE).astype(np.float32, copy=False),
        scope=scope_of(row.scope),
        form=QueryForm(row.form),
        way=SearchWay(row.way),
        factor=row.factor,
        k=row.k,
        ids=tuple(int(id_) for id_, _ in row.found),
        similarities=tuple(float(similarity) for _, similarity in row.found),
        permitted_count=row.permitted_count,
        change_seq=row.change_seq,
        snapshot=row.snapshot,
    )


def forget(session: Session, ids: Sequence[int]) -> None:
    """Delete samples that were compared, and all that are too old."""
    old = RecallSample.created_at < utc_now() - KEPT_FOR
    session.execute(delete(RecallSample).where(RecallSample.id.in_(ids) | old))


def forget_viewer(session: Session, user_id: int) -> None:
    """Delete the samples of a user's searches."""
    session.execute(delete(RecallSample).where(RecallSample.viewer_id == user_id))


def count(
    session: Session,
    space_id: int,
    sample: Sample,
    share: PermittedShare,
    comparison: Comparison,
) -> None:
    """Add a comparison to the counts of its kind. One transaction at a time does this for a space."""
    row = session.execute(
        select(RecallCount)
        .where(
            *_about(RecallCount, space_id, sample.snapshot, (sample.form, sample.way)),
            RecallCount.factor == sample.factor,
            RecallCount.share == share,
        )
        .with_for_update()
    ).scalar_one_or_none()
    if row is None:
        row = RecallCount(
            space_id=space_id,
            snapshot=sample.snapshot,
            form=sample.form,
            way=sample.way,
            factor=sample.factor,
            share=share,
            queries=0,
            wanted=0,
            found=0,
        )
        session.add(row)
    row.queries += 1
    row.wanted += comparison.wanted
    row.found += comparison.found
    session.flush()


def measured(session: Session, space_id: int, snapshot: str) -> list[Measured]:
    """Return what was measured of a snapshot, by form, way, factor and share."""
    rows = session.execute(
        select(RecallCount)
        .where(RecallCount.space_id == space_id, RecallCount.snapshot == snapshot)
        .order_by(RecallCount.form, RecallCount.way, RecallCount.factor, RecallCount.share)
    ).scalars()
    return [
        Measured(
            QueryForm(row.form),
            SearchWay(row.way),
            row.factor,
            PermittedShare(row.share),
            row.queries,
            row.wanted,
            row.found,
        )
        for row in rows
    ]


def trust(session: Session, space_id: int, snapshot: str) -> Trust:
    """Return what serving has taught about the ways of a snapshot."""
    learned = MEASURED
    rows = session.execute(
        select(RecallLesson).where(
            RecallLesson.space_id == space_id, RecallLesson.snapshot == snapshot
        )
    ).scalars()
    for row in rows:
        which = QueryForm(row.form), SearchWay(row.way)
        if row.is_left_out:
            learned = learned.without(*which, row.reason)
        else:
            learned = learned.widened(*which, row.factor)
    return learned


def learn(
    session: Session, space_id: int, snapshot: str, which: Which, factor: int | None, reason: str
) -> None:
    """Write a lesson in place of an earlier one: search `factor` times as wide; None: not at all."""
    session.execute(delete(RecallLesson).where(*_about(RecallLesson, space_id, snapshot, which)))
    session.add(
        RecallLesson(
            space_id=space_id,
            snapshot=snapshot,
            form=which[0],
            way=which[1],
            factor=factor or 1,
            is_left_out=factor is None,
            reason=reason,
        )
    )


def _about(
    entity: type[RecallCount] | type[RecallLesson], space_id: int, snapshot: str, which: Which
) -> tuple[ColumnElement[bool], ...]:
    form, way = which
    return (
        entity.space_id == space_id,
        entity.snapshot == snapshot,
        entity.form == form,
        entity.way == way,
    )


def begin_anew(session: Session, space_id: int, *, but: str | None = None) -> None:
    """Forget counts and lessons of a space, as after its ways were measured anew.

    Args:
        session: a transaction.
        space_id: the space.
        but: a snapshot whose counts and lessons stay.
    """
    for entity in (RecallCount, RecallLesson):
        rows = delete(entity).where(entity.space_id == space_id)
        session.execute(rows if but is None else rows.where(entity.snapshot != but))
