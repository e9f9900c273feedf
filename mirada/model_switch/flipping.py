"""The job that puts another model into use: all processes are ready, nothing is missing, one transaction."""

from __future__ import annotations

import logging
import time

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import audit, changes
from mirada.db.model_switch_models import ModelSwitch, SwitchState
from mirada.db.models import ChangeCounter, Installation, Space, SpaceState, utc_now
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy, SubjectRules
from mirada.kernel.audit import Action
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import Conflict, Deferred, LeaseLost, MiradaError, NotFound
from mirada.model_switch import changing, filling, rows
from mirada.model_switch.building import Views, fill_all, note_error, views_of
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.1
HEARD_AFTER_S = 1.0
"""Two looks of a process: one that has just started has said by then that it is there."""
READY_WITHIN_S = 600.0
"""Weights may have to be downloaded."""
TRIES = 200
"""So often something may come in between the look and the lock."""


class NotReady(Conflict):
    """A process cannot use the other model."""


def flip_model(runtime: Runtime, attempt: Attempt) -> None:
    """Put the spare space of a change into use, once every process can serve from it."""
    switch_id = attempt.job.subject_id
    if switch_id is None:
        raise NotFound("The job names no change of the image model.")
    with runtime.reading() as session:
        switch = session.get_one(ModelSwitch, switch_id)
    if switch.state not in (SwitchState.FLIPPING, SwitchState.RETURNING):
        attempts.finish_alone(runtime, attempt)
        return
    try:
        _flip(runtime, attempt, switch)
    except (LeaseLost, Deferred):
        raise
    except NotReady as error:
        with runtime.transaction() as session:
            _step_back(session, switch_id, str(error))
            attempts.finish(session, attempt.job.id, attempt.token)
    except MiradaError as error:
        note_error(runtime, switch_id, str(error))
        raise


def _flip(runtime: Runtime, attempt: Attempt, switch: ModelSwitch) -> None:
    with runtime.reading() as session:
        views = views_of(runtime, session, switch)
    _wait_for_all(runtime, attempt, views)
    for _ in range(TRIES):
        with runtime.reading() as session:
            before = changes.current_seq(session)
        fill_all(runtime, attempt, views)
        if turned(runtime, switch.id, views, before, SwitchState(switch.state), attempt):
            return
        attempt.check_long()
    raise Conflict(
        "Pictures come in faster than they are embedded by both models; try again later."
    )


def turned(
    runtime: Runtime,
    switch_id: int,
    views: Views,
    after_seq: int,
    state: SwitchState,
    attempt: Attempt | None = None,
) -> bool:
    """Put the other view into use, in one transaction; False where a vector came in that it lacks.

    Args:
        runtime: the process's own.
        switch_id: of the change.
        views: of it.
        after_seq: up to this number of the change counter nothing is missing.
        state: of the change now; one that lies between a flip and its end, or the one before it.
        attempt: of the job that does it, which ends with it; None for a request.

    Raises:
        Conflict: the change is in another state by now.
    """
    with runtime.transaction() as session:
        if not _is_complete(session, views, after_seq):
            return False
        _write(session, rows.locked_switch(session, switch_id, state), views)
        if attempt is not None:
            attempts.finish(session, attempt.job.id, attempt.token)
        else:
            is_flip = state == SwitchState.READY
            action = Action.MODEL_FLIP if is_flip else Action.MODEL_GO_BACK
            audit.record(session, action, switch_id)
    logger.info("The image model was changed to space %s", views.other.image_space_id)
    return True


def _wait_for_all(runtime: Runtime, attempt: Attempt, views: Views) -> None:
    """Wait until every process that was heard of lately can use the other model.

    Raises:
        NotReady: one cannot, or takes too long.
    """
    began = time.monotonic()
    wanted = views.other.image_space_id
    while True:
        attempt.check_long()
        with runtime.reading() as session:
            there = rows.processes(session)
        waiting = [each for each in there if each.ready_for_id != wanted]
        troubled = next((each for each in waiting if each.trouble), None)
        if troubled is not None:
            raise NotReady(f"The process {troubled.name} cannot use the model: {troubled.trouble}")
        waited_s = time.monotonic() - began
        if not waiting and waited_s >= HEARD_AFTER_S:
            return
        if waited_s > READY_WITHIN_S:
            raise NotReady(
                f"The process {waiting[0].name} did not load the model in {READY_WITHIN_S:.0f} s."
            )
        attempt.report(len(there) - len(waiting), len(there))
        time.sleep(LOOK_EVERY_S)


def _is_complete(session: Session, views: Views, after_seq: int) -> bool:
    """Return whether nothing is missing that came in since; from here on nothing can come in."""
    # No vector is committed without the counter, and its row is ours until the end.
    session.execute(select(Installation.id).where(Installation.id == 1).with_for_update())
    session.execute(select(ChangeCounter.v).where(ChangeCounter.id == 1).with_for_update())
    if dict(rows.spaces_in_use(session)) != dict(views.now.spaces):
        # A first prompt has just pinned a space.
        return False
    return not any(
        filling.is_any_lacking(session, each, after_seq=after_seq) for each in views.fillings
    )


def _write(session: Session, switch: ModelSwitch, views: Views) -> None:
    """The flip itself: one row says which space is in use."""
    for each in views.fillings:
        session.get_one(Space, each.from_id).state = SpaceState.RETIRED
        session.get_one(Space, each.to_id).state = SpaceState.ACTIVE
    session.get_one(Installation, 1).image_space_id = views.other.image_space_id
    switch.spare_id = views.now.spaces[SpaceKind.IMAGE]
    is_flip = switch.state in (SwitchState.READY, SwitchState.FLIPPING)
    switch.state = SwitchState.FLIPPED if is_flip else SwitchState.READY
    switch.flipped_at, switch.error = utc_now(), None
    # What filters remember of kept scores is of the model of before.
    changes.note(session)


def _step_back(session: Session, switch_id: int, error: str) -> None:
    switch = rows.locked_switch(session, switch_id)
    if switch.state in (SwitchState.FLIPPING, SwitchState.RETURNING):
        is_flip = switch.state == SwitchState.FLIPPING
        switch.state = SwitchState.READY if is_flip else SwitchState.FLIPPED
    switch.error = error


KIND = Kind(
    changing.FLIP,
    flip_model,
    RetryPolicy(max_attempts=5, first_delay_s=2.0, max_delay_s=60.0),
    None,
    SubjectRules(give_up=_step_back),
    title="Put another model into use",
    why_not_cancelled=changing.CANCELLED_AS_A_WHOLE,
)
