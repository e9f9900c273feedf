"""The job that removes what a change of the image model left in the space that is not in use."""

from __future__ import annotations

import shutil
import time
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from mirada.db import image_labels, recall_rows
from mirada.db.calibration_models import StoredCalibration
from mirada.db.classifier_models import LabelVector
from mirada.db.memory_models import TextEmbedding
from mirada.db.model_switch_models import ModelProcess, ModelSwitch, Outcome, SwitchState
from mirada.db.models import Embedding, IndexSnapshot, Space, SpaceState, utc_now
from mirada.db.pgvector.filling import forget
from mirada.db.recall_models import IndexDay, RecallSample
from mirada.db.session import count_changed
from mirada.groups import removing, runs
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import NotFound
from mirada.model_switch import changing, rows
from mirada.runtime import Runtime

REMOVED_ROWS = 1_000
"""Rows of one transaction: its locks are held for milliseconds."""

BUILDERS_STOP_WITHIN_S = 60.0
LOOK_EVERY_S = 0.1


def discard_space(runtime: Runtime, attempt: Attempt) -> None:
    """Remove the vectors of the space that is not in use, and end the change."""
    switch_id = attempt.job.subject_id
    if switch_id is None:
        raise NotFound("The job names no change of the image model.")
    with runtime.reading() as session:
        switch = session.get_one(ModelSwitch, switch_id)
        in_use = rows.spaces_in_use(session)
        doomed = _doomed(session, switch, in_use)
    if switch.state != SwitchState.DISCARDING:
        attempts.finish_alone(runtime, attempt)
        return
    _wait_for_builders(runtime, attempt, switch_id)
    done = 0
    for space_id in doomed:
        for entity in (Embedding, TextEmbedding, LabelVector):
            while removed := _remove_some(runtime, entity, space_id):
                done += removed
                attempt.report(done, None)
        while removed := _remove_labels(runtime, space_id):
            done += removed
            attempt.report(done, None)
        for kind in runs.ClusterKind:
            while _remove_groups(runtime, kind, space_id):
                attempt.check_long()
        _remove_files(runtime, space_id)
        forget(runtime.database, space_id)
    with runtime.transaction() as session:
        for space_id in doomed:
            _remove_rest(session, space_id)
        _end(session, switch_id, in_use[SpaceKind.IMAGE])
        attempts.finish(session, attempt.job.id, attempt.token)


def _wait_for_builders(runtime: Runtime, attempt: Attempt, switch_id: int) -> None:
    """Wait until nobody embeds for this change any more: they look between two batches."""
    until = time.monotonic() + BUILDERS_STOP_WITHIN_S
    while time.monotonic() < until:
        attempt.check_long()
        with runtime.reading() as session:
            if not changing.is_being_built(session, switch_id):
                return
        time.sleep(LOOK_EVERY_S)


def _doomed(session: Session, switch: ModelSwitch, in_use: rows.Spaces) -> list[int]:
    """Return the spaces of the model that is not in use."""
    spare = rows.spare_of(session, switch)
    if spare is None:
        return []
    twins = (rows.twin_of(session, spare, kind) for kind in rows.TEXT_KINDS)
    found = [spare.id, *(twin.id for twin in twins if twin is not None)]
    return [space_id for space_id in found if space_id not in in_use.values()]


def _remove_some(runtime: Runtime, entity: Any, space_id: int) -> int:
    with runtime.transaction() as session:
        ids = select(entity.id).where(entity.space_id == space_id).limit(REMOVED_ROWS)
        found = list(session.execute(ids).scalars())
        return count_changed(session, delete(entity).where(entity.id.in_(found))) if found else 0


def _remove_labels(runtime: Runtime, space_id: int) -> int:
    with runtime.transaction() as session:
        return image_labels.remove_some(session, space_id, REMOVED_ROWS)


def _remove_groups(runtime: Runtime, kind: runs.ClusterKind, space_id: int) -> bool:
    with runtime.transaction() as session:
        return removing.remove_some_of(session, kind, space_id)


def _remove_files(runtime: Runtime, space_id: int) -> None:
    """Remove this machine's snapshots of a space; those of others are only a cache, and are not read."""
    with runtime.reading() as session:
        snapshots = session.execute(
            select(IndexSnapshot.db_epoch, IndexSnapshot.name).where(
                IndexSnapshot.space_id == space_id
            )
        ).all()
    for epoch, name in snapshots:
        shutil.rmtree(runtime.settings.faiss_index_dir / epoch / name, ignore_errors=True)


def _remove_rest(session: Session, space_id: int) -> None:
    """Remove what was measured, and let the snapshots be no snapshots any more."""
    recall_rows.begin_anew(session, space_id)
    session.execute(delete(StoredCalibration).where(StoredCalibration.space_id == space_id))
    session.execute(delete(RecallSample).where(RecallSample.space_id == space_id))
    session.execute(delete(IndexDay).where(IndexDay.space_id == space_id))
    session.execute(delete(IndexSnapshot).where(IndexSnapshot.space_id == space_id))
    session.execute(
        update(Space)
        .where(Space.id == space_id)
        .values(state=SpaceState.RETIRED, near_duplicate_cosine=None)
    )


def _end(session: Session, switch_id: int, in_use_id: int) -> None:
    switch = rows.locked_switch(session, switch_id, SwitchState.DISCARDING)
    was_made = in_use_id == switch.to_space_id
    switch.state, switch.active, switch.spare_id = SwitchState.ENDED, None, None
    switch.outcome = Outcome.SWITCHED if was_made else Outcome.CANCELLED
    switch.ended_at = utc_now()
    if not was_made and not _was_switched_to(session, in_use_id):
        # The settings choose the model again, as before.
        row = session.get_one(Space, in_use_id)
        row.source = row.source_tag = None
    session.execute(delete(ModelProcess))


def _was_switched_to(session: Session, space_id: int) -> bool:
    """Return whether a space is in use because of an earlier change of the model."""
    made = select(ModelSwitch.id).where(
        ModelSwitch.to_space_id == space_id, ModelSwitch.outcome == Outcome.SWITCHED
    )
    return session.execute(made.limit(1)).first() is not None


KIND = Kind(
    changing.DISCARD,
    discard_space,
    RetryPolicy(max_attempts=5, first_delay_s=10.0),
    title="Remove the vectors of a model that is not in use",
    why_not_cancelled=changing.CANCELLED_AS_A_WHOLE,
)
