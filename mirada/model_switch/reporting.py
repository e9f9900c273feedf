"""What people are told of a change of the image model: where it is, how long it takes, what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.model_switch_models import ModelSwitch, SwitchGap, SwitchState
from mirada.db.models import Image, Space
from mirada.jobs import ledger
from mirada.jobs.kinds import Kinds
from mirada.jobs.ledger import JobReport
from mirada.kernel.commands import command_line
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import NotFound
from mirada.model_switch import rows
from mirada.people.identity import Person

NEXT = {
    SwitchState.BUILDING: "Wait, or end it: {cancel}",
    SwitchState.READY: "Put it into use: {flip} - or end it: {cancel}. {prepared}",
    SwitchState.FLIPPING: "Every process makes ready; then it is in use.",
    SwitchState.FLIPPED: "Go back: {back} - or remove the old vectors: {discard}. {prepared}",
    SwitchState.RETURNING: "Every process makes ready; then the old model is in use again.",
    SwitchState.DISCARDING: "What is not needed any more is being removed.",
    SwitchState.ENDED: "It has ended.",
}
PREPARED = "Every process ({count}) has the other model loaded, so it takes two seconds at most."
NOT_PREPARED = "Of {count} processes {ready} have the other model loaded; it waits until all have."
NOBODY = "No process was heard of; a worker does it when one runs."


@dataclass(frozen=True, slots=True)
class SwitchReport:
    """A change of the image model as an administrator sees it.

    Attributes:
        switch: the row.
        from_space: name of the space that was in use at its beginning.
        to_space: name of the other one; None while it is not known.
        in_use: name of the image space in use now.
        job: the job of its present step; None where it is gone.
        missing: contents that could not be embedded.
        ready_processes: how many processes could use the other model at once.
        processes: how many were heard of lately.
        lagging: how many of them still begin their work with the model of before.
        next_step: what can be done now, a sentence.
    """

    switch: ModelSwitch
    from_space: str
    to_space: str | None
    in_use: str | None
    job: JobReport | None
    missing: int
    ready_processes: int
    processes: int
    lagging: int
    next_step: str

    @property
    def is_prepared(self) -> bool:
        """Whether a flip, or the way back, is one row that every process follows at once."""
        is_kept = self.switch.state in (SwitchState.READY, SwitchState.FLIPPED)
        return is_kept and 0 < self.processes == self.ready_processes


@dataclass(frozen=True, slots=True)
class Missing:
    """A content that could not be embedded: the row's id, the content, its images, and the reason."""

    id: int
    content_id: int
    image_ids: list[int]
    reason: str


def report_of(session: Session, viewer: Person, kinds: Kinds) -> SwitchReport:
    """Return the change that is on, else the last one.

    Raises:
        NotFound: the model was never changed.
    """
    switch = rows.newest_switch(session)
    if switch is None:
        raise NotFound("The image model was never changed here.")
    names = _names(session)
    in_use = rows.spaces_in_use(session)
    spare = rows.spare_of(session, switch)
    there = rows.processes(session) if switch.active else []
    job = None
    if switch.job_id is not None:
        try:
            job = ledger.get_job(session, switch.job_id, viewer, kinds)
        except NotFound:
            job = None
    ready = sum(1 for each in there if spare is not None and each.ready_for_id == spare.id)
    return SwitchReport(
        switch,
        names[switch.from_space_id],
        None if switch.to_space_id is None else names[switch.to_space_id],
        names.get(in_use.get(SpaceKind.IMAGE, 0)),
        job,
        rows.count_gaps(session, switch.id),
        ready,
        len(there),
        rows.lagging(session) if there else 0,
        next_step(SwitchState(switch.state), ready, len(there)),
    )


def next_step(state: SwitchState, ready: int, count: int) -> str:
    """Return what can be done with a change in a state, with the commands for it.

    Args:
        state: of the change.
        ready: processes that have the other model loaded.
        count: processes.
    """
    prepared = (PREPARED if ready == count else NOT_PREPARED) if count else NOBODY
    return NEXT[state].format(
        prepared=prepared.format(ready=ready, count=count),
        cancel=command_line("models cancel"),
        flip=command_line("models flip"),
        back=command_line("models rollback"),
        discard=command_line("models discard"),
    )


def _names(session: Session) -> Mapping[int, str]:
    return {row.id: row.name for row in session.execute(select(Space.id, Space.name))}


def missing_of(session: Session, cursor: int | None = None, limit: int = 50) -> list[Missing]:
    """Return contents that the change that is on, or the last one, could not embed, newest first.

    Args:
        session: for reading.
        cursor: the id of the last one of the page before; None for the first page.
        limit: at most so many.
    """
    switch = rows.newest_switch(session)
    query = select(SwitchGap).where(SwitchGap.switch_id == (switch.id if switch else 0))
    if cursor is not None:
        query = query.where(SwitchGap.id < cursor)
    gaps = session.execute(query.order_by(SwitchGap.id.desc()).limit(limit)).scalars().all()
    contents = [gap.content_id for gap in gaps]
    images: dict[int, list[int]] = {content: [] for content in contents}
    shown = select(Image.content_id, Image.id).where(Image.content_id.in_(contents))
    for content_id, image_id in session.execute(shown.order_by(Image.id)):
        images[content_id].append(image_id)
    return [Missing(gap.id, gap.content_id, images[gap.content_id], gap.reason) for gap in gaps]
