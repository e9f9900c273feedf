"""What an operator does with a change of the image model: begin, flip, go back, discard, cancel."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mirada.db import audit, spaces
from mirada.db.model_switch_models import ModelSwitch, SwitchState
from mirada.db.models import Embedding, Job, JobState
from mirada.db.session import now_ms
from mirada.embedding.interactive import require_embeddings
from mirada.jobs import ledger
from mirada.kernel.audit import Action
from mirada.kernel.commands import command_line
from mirada.kernel.errors import Conflict, StorageFull
from mirada.model_switch import rows
from mirada.runtime import Runtime

BUILD = "switch_model"
FLIP = "flip_model"
DISCARD = "discard_space"
EVEN = "even_spaces"
CANCELLED_AS_A_WHOLE = (
    "It is a part of a change of the image model, which is cancelled as a whole: "
    f"POST /api/v1/models/switch/cancel, or {command_line('models cancel')}."
)
NUMBER_BYTES = 4
OVERHEAD = 1.5
"""What a table needs beside the vectors: keys, indexes, pages that are half full."""
SPARE_BYTES = 64 * 2**20
LEAST_DIMENSION = 512
"""Taken where the dimension of the other model is not known yet."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a step of a change.

    Attributes:
        owner_id: the administrator; None for a command.
        request_id: follows the work into the worker's log.
    """

    owner_id: int | None = None
    request_id: str | None = None


def begin(
    runtime: Runtime, name: str, tag: str | None, asked: Asked, *, flips_by_itself: bool = False
) -> ModelSwitch:
    """Begin to build the space of another model beside the one in use, and ring for the job.

    The same model again, while its space is being built, goes on with that.

    Args:
        runtime: the process's own.
        name: as `Runtime.named_model` takes it.
        tag: weights tag; None where the name needs none.
        asked: who asks.
        flips_by_itself: the model is put into use as soon as its space is complete.

    Raises:
        InvalidInput: there is no such model.
        Conflict: it is in use already, another change is on, nothing was ever embedded, or embeddings are
            switched off.
        StorageFull: there is no room for a second space.
    """
    require_embeddings(runtime)
    named = runtime.named_model(name, tag)
    with runtime.reading() as session:
        in_use = spaces.pinned_space(session)
        if in_use is None:
            raise Conflict(
                "No picture has been embedded yet, so there is nothing to change: set CLIP_MODEL to the "
                "model, and start."
            )
        if (in_use.encoder, in_use.pretrained) == (named.encoder, named.pretrained):
            raise Conflict(f"{named.encoder}/{named.pretrained} is in use already.")
        on = rows.active_switch(session)
    if on is not None:
        is_same = (on.source, on.source_tag) == (named.source, named.source_tag)
        if not is_same or on.state != SwitchState.BUILDING:
            raise _is_on(on)
        return _go_on(runtime, on.id, BUILD, asked, SwitchState.BUILDING)
    require_room(runtime, in_use.id, LEAST_DIMENSION)
    try:
        with runtime.transaction() as session:
            switch = ModelSwitch(
                active=1,
                source=named.source,
                source_tag=named.source_tag,
                from_space_id=in_use.id,
                owner_id=asked.owner_id,
                flips_by_itself=flips_by_itself,
            )
            session.add(switch)
            _tell_begin(session, switch)
            job = _queue(session, switch, BUILD, asked)
    except IntegrityError as error:
        raise Conflict("Another change of the image model has just begun.") from error
    runtime.doorbell.ring(job.id, job.kind)
    return switch


def flip(runtime: Runtime, asked: Asked) -> ModelSwitch:
    """Put the model whose space is ready into use, in every process at once; ring for the job.

    Raises:
        Conflict: no change is ready.
    """
    states = (SwitchState.READY,)
    return _step(runtime, asked, FLIP, states, SwitchState.FLIPPING, Action.MODEL_FLIP)


def go_back(runtime: Runtime, asked: Asked) -> ModelSwitch:
    """Put the model of before into use again, in every process at once; ring for the job.

    Raises:
        Conflict: no change was made, or the old vectors are discarded.
    """
    states = (SwitchState.FLIPPED,)
    return _step(runtime, asked, FLIP, states, SwitchState.RETURNING, Action.MODEL_GO_BACK)


def discard(runtime: Runtime, asked: Asked) -> ModelSwitch:
    """Remove the vectors of the model of before: the change is final. Ring for the job.

    Raises:
        Conflict: no change was made.
    """
    states = (SwitchState.FLIPPED,)
    return _step(runtime, asked, DISCARD, states, SwitchState.DISCARDING, Action.MODEL_DISCARD)


def cancel(runtime: Runtime, asked: Asked) -> ModelSwitch:
    """End a change that was not made, and remove what was built; ring for the job.

    Raises:
        Conflict: there is none, or it was made.
    """
    states = (SwitchState.BUILDING, SwitchState.READY)
    return _step(runtime, asked, DISCARD, states, SwitchState.DISCARDING, Action.MODEL_CANCEL)


def _step(
    runtime: Runtime,
    asked: Asked,
    kind: str,
    states: tuple[SwitchState, ...],
    state: SwitchState,
    action: Action,
) -> ModelSwitch:
    with runtime.transaction() as session:
        switch = rows.active_switch(session, lock=True)
        if switch is None:
            raise Conflict("No change of the image model is on.")
        if switch.state == state:
            # Asked for already; a job that was given up is tried again.
            job = _queue(session, switch, kind, asked)
        elif switch.state not in states:
            raise _is_on(switch)
        else:
            switch.state, switch.error = state, None
            job = _queue(session, switch, kind, asked)
        audit.record(session, action, switch.id)
    runtime.doorbell.ring(job.id, job.kind)
    return switch


def _go_on(
    runtime: Runtime, switch_id: int, kind: str, asked: Asked, *states: SwitchState
) -> ModelSwitch:
    with runtime.transaction() as session:
        switch = rows.locked_switch(session, switch_id, *states)
        _tell_begin(session, switch)
        job = _queue(session, switch, kind, asked)
    runtime.doorbell.ring(job.id, job.kind)
    return switch


def _queue(session: Session, switch: ModelSwitch, kind: str, asked: Asked) -> Job:
    job = ledger.enqueue(
        session,
        kind,
        subject_id=switch.id,
        owner_id=asked.owner_id,
        request_id=asked.request_id,
        same_work=f"{kind}:{switch.id}",
    )
    switch.job_id = job.id
    session.flush()
    return job


def is_being_built(session: Session, switch_id: int) -> bool:
    """Return whether an attempt of the build, or of a flip, is under way."""
    under_way = select(Job.id).where(
        Job.same_work.in_([f"{BUILD}:{switch_id}", f"{FLIP}:{switch_id}"]),
        Job.state == JobState.RUNNING,
        Job.lease_until_ms > now_ms(),
    )
    return session.execute(under_way.limit(1)).first() is not None


def queue_flip(session: Session, switch: ModelSwitch) -> Job:
    """Return the queued job that flips a change which asked for that at its beginning."""
    switch.state = SwitchState.FLIPPING
    return _queue(session, switch, FLIP, Asked(switch.owner_id))


WHAT_NOW = {
    SwitchState.BUILDING: "its space is being built; wait for that, or cancel it",
    SwitchState.READY: "it is ready; flip or cancel it",
    SwitchState.FLIPPING: "it is being put into use",
    SwitchState.FLIPPED: "it is in use, and the model of before is kept; discard that, or go back",
    SwitchState.RETURNING: "the model of before is being put into use again",
    SwitchState.DISCARDING: "vectors that are not needed any more are being removed",
}
"""What is to be said of a change in each state."""


def _is_on(switch: ModelSwitch) -> Conflict:
    what = WHAT_NOW[SwitchState(switch.state)]
    return Conflict(f"A change of the image model to {_model_of(switch)} is on: {what}.")


def _tell_begin(session: Session, switch: ModelSwitch) -> None:
    session.flush()
    audit.record(session, Action.MODEL_BEGIN, switch.id, detail={"model": _model_of(switch)})


def _model_of(switch: ModelSwitch) -> str:
    tag = switch.source_tag
    return switch.source if tag is None else f"{switch.source}/{tag}"


def require_room(runtime: Runtime, from_space_id: int, dimension: int) -> None:
    """Raise StorageFull where the disk has no room for as many vectors again.

    Of a database on another machine nothing is known; there its own files of indexes count.
    """
    with runtime.reading() as session:
        count = session.execute(
            select(func.count(Embedding.id)).where(Embedding.space_id == from_space_id)
        ).scalar_one()
    needed = int(count * dimension * NUMBER_BYTES * OVERHEAD) + SPARE_BYTES
    settings = runtime.settings
    folders = [settings.faiss_index_dir]
    if settings.url.get_backend_name() == "sqlite" and settings.url.database:
        folders.append(Path(settings.url.database).parent)
    for folder in folders:
        there = next(each for each in (folder, *folder.resolve().parents) if each.exists())
        free = shutil.disk_usage(there).free
        if free < needed:
            raise StorageFull(
                f"The vectors of a second model need about {_mb(needed)} for {count} pictures, and "
                f"{_mb(free)} are free. Make room, then begin again; nothing was changed."
            )


def _mb(size: int) -> str:
    return f"{size / 2**20:.0f} MB"
