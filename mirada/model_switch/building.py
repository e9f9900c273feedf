"""The job that builds the space of another model beside the one in use, and compares both."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from sqlalchemy.orm import Session

from mirada.db.model_switch_models import ModelSwitch, Outcome, SwitchState
from mirada.db.models import Space, SpaceState, utc_now
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy, SubjectRules
from mirada.jobs.sweep import due_jobs
from mirada.kernel import model_view
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import Conflict, Deferred, LeaseLost, MiradaError, NotFound
from mirada.kernel.model_view import ModelView
from mirada.model_switch import changing, comparing, filling, memory, rows
from mirada.model_switch.filling import Filling
from mirada.model_switch.following_up import follow_up
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

WORKS_ALONE_S = 20.0
"""After so long a build lets others go first, where WORKER_THREADS is 1."""


@dataclass(frozen=True, slots=True)
class Views:
    """The view in use, and the one that a change would put into use, with what is to be filled."""

    now: ModelView
    other: ModelView
    fillings: tuple[Filling, ...]


def switch_model(runtime: Runtime, attempt: Attempt) -> None:
    """Build the second space of a change, compare both models, and say that it is ready."""
    switch_id = attempt.job.subject_id
    if switch_id is None:
        raise NotFound("The job names no change of the image model.")
    with runtime.reading() as session:
        switch = session.get_one(ModelSwitch, switch_id)
    if switch.state != SwitchState.BUILDING:
        attempts.finish_alone(runtime, attempt)
        return
    try:
        _build(runtime, attempt, switch)
    except (LeaseLost, Deferred):
        raise
    except _Cancelled:
        attempts.finish_alone(runtime, attempt)
    except MiradaError as error:
        note_error(runtime, switch_id, str(error))
        raise


class _Cancelled(Exception):
    """The change was given up while its space was being built."""


def note_error(runtime: Runtime, switch_id: int, error: str | None) -> None:
    """Write down what keeps a change, where its operator looks."""
    with runtime.transaction() as session:
        rows.locked_switch(session, switch_id).error = error


def _build(runtime: Runtime, attempt: Attempt, switch: ModelSwitch) -> None:
    grown = _load(runtime, attempt, switch)
    with runtime.reading() as session:
        views = views_of(runtime, session, session.get_one(ModelSwitch, switch.id))
    _set_step(runtime, switch.id, "embedding")

    def check() -> None:
        with runtime.reading() as session:
            if session.get_one(ModelSwitch, switch.id).state != SwitchState.BUILDING:
                raise _Cancelled

    with runtime.transaction() as session:
        filling.list_unkept(session, views.fillings[0])
    fill_all(runtime, attempt, views, check)
    _set_step(runtime, switch.id, "following up")
    follow_up(runtime, attempt, views.now, views.other)
    _set_step(runtime, switch.id, "comparing")
    compared = comparing.compare(runtime, views.now, views.other, attempt.check_long, grown)
    fill_all(runtime, attempt, views, check)
    _say_ready(runtime, attempt, switch.id, compared)


def _say_ready(
    runtime: Runtime, attempt: Attempt, switch_id: int, compared: dict[str, object]
) -> None:
    job = None
    with runtime.transaction() as session:
        switch = rows.locked_switch(session, switch_id)
        if switch.state != SwitchState.BUILDING:
            raise _Cancelled
        switch.state, switch.step, switch.error = SwitchState.READY, None, None
        switch.comparison = compared
        if switch.flips_by_itself:
            job = changing.queue_flip(session, switch)
        attempts.finish(session, attempt.job.id, attempt.token)
    logger.info("The second space is complete: %s", compared)
    if job is not None:
        runtime.doorbell.ring(job.id, job.kind)


def _set_step(runtime: Runtime, switch_id: int, step: str) -> None:
    with runtime.transaction() as session:
        switch = rows.locked_switch(session, switch_id)
        if switch.state != SwitchState.BUILDING:
            raise _Cancelled
        switch.step = step


def _load(runtime: Runtime, attempt: Attempt, switch: ModelSwitch) -> int | None:
    """Load the model and write its spaces down; return by how many bytes this process grew, if known."""
    if switch.to_space_id is not None:
        return None
    _set_step(runtime, switch.id, "loading")
    before = memory.resident_bytes()
    encoder = runtime.load_model(switch.source, switch.source_tag)
    after = memory.resident_bytes()
    attempt.check_long()
    changing.require_room(runtime, switch.from_space_id, encoder.space.dimension)
    with runtime.transaction() as session:
        row = rows.locked_switch(session, switch.id)
        if row.state != SwitchState.BUILDING:
            raise _Cancelled
        other = _noted(runtime, session, row, encoder.space)
    with model_view.working_in(runtime.view_of({SpaceKind.IMAGE: other.id})):
        runtime.take_encoder(encoder)
    return None if before is None or after is None else max(0, after - before)


def _noted(runtime: Runtime, session: Session, switch: ModelSwitch, space: EmbeddingSpace) -> Space:
    """Write down the spaces of the other model, and by which names both models are loaded."""
    own = session.get_one(Space, switch.from_space_id)
    if own.to_space() == space:
        raise Conflict(f"{space.model} is in use already.")
    if own.source is None:
        own.source, own.source_tag = runtime.settings.clip_model, runtime.settings.clip_pretrained
    other = _row(session, space)
    other.source, other.source_tag = switch.source, switch.source_tag
    if runtime.settings.text_model is None:
        for kind in rows.TEXT_KINDS:
            _row(session, replace(space, kind=kind))
            _row(session, replace(own.to_space(), kind=kind))
    session.flush()
    switch.to_space_id = switch.spare_id = other.id
    return other


def _row(session: Session, space: EmbeddingSpace) -> Space:
    row = rows.row_of(session, space)
    if row is None:
        row = Space(**asdict(space), name=space.name, state=SpaceState.BUILDING)
        session.add(row)
    elif row.state == SpaceState.RETIRED:
        row.state = SpaceState.BUILDING
    return row


def views_of(runtime: Runtime, session: Session, switch: ModelSwitch) -> Views:
    """Return the views of a change whose spaces are known.

    Raises:
        NotFound: they are not known.
    """
    in_use, spare = rows.spaces_in_use(session), rows.spare_of(session, switch)
    if spare is None:
        raise NotFound("The spaces of this change of the image model are not known.")
    other = rows.counterpart(session, in_use, spare)
    fillings = tuple(
        Filling(switch.id, kind, in_use[kind], to_id, session.get_one(Space, to_id).to_space())
        for kind, to_id in other.items()
        if kind in in_use and in_use[kind] != to_id
    )
    return Views(runtime.view_of(in_use), runtime.view_of(other), fillings)


def fill_all(
    runtime: Runtime, attempt: Attempt, views: Views, check: Callable[[], object] = lambda: None
) -> None:
    """Embed what is missing in the other view, pictures first, and report it.

    `check` is called between batches; what it raises ends the work.
    """
    with runtime.reading() as session:
        counts = [filling.count_lacking(session, each) for each in views.fillings]
    done, total = 0, sum(counts)
    began = time.monotonic()

    def report(so_far: int, in_all: int) -> None:
        attempt.report(so_far, in_all)
        check()
        if time.monotonic() - began > WORKS_ALONE_S:
            _give_way(runtime, attempt)

    with model_view.working_in(views.other):
        for each in views.fillings:
            done = filling.fill(runtime, each, report, done, total)
    attempt.report(done, max(done, total))


def _give_way(runtime: Runtime, attempt: Attempt) -> None:
    """Let others work where one thread works everything; what is embedded stays embedded.

    Raises:
        Deferred: other jobs are due.
    """
    if runtime.settings.worker_threads > 1:
        return
    with runtime.reading() as session:
        due = due_jobs(session, limit=2)
    if any(job.id != attempt.job.id for job in due):
        raise Deferred("It lets other jobs go first, and goes on in a moment.", retry_after_s=1)


def _give_up(session: Session, switch_id: int, reason: str) -> None:
    """End a change whose model cannot even be loaded; one that has begun stays, and can be gone on with."""
    switch = rows.locked_switch(session, switch_id)
    switch.error = reason
    if switch.state == SwitchState.BUILDING and switch.to_space_id is None:
        switch.state, switch.active = SwitchState.ENDED, None
        switch.outcome, switch.ended_at = Outcome.FAILED, utc_now()


KIND = Kind(
    changing.BUILD,
    switch_model,
    RetryPolicy(max_attempts=5, first_delay_s=10.0),
    None,
    SubjectRules(give_up=_give_up),
    title="Embed the library by another model",
    why_not_cancelled=changing.CANCELLED_AS_A_WHOLE,
)
