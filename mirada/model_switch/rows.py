"""The rows of a change of the image model: which one is on, its spaces, and who is ready for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from mirada.db.inserts import insert_or_update
from mirada.db.model_switch_models import ModelProcess, ModelSwitch, SwitchGap, SwitchState
from mirada.db.models import Installation, Space, SpaceState
from mirada.db.session import now_ms
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import Conflict, NotFound

HEARD_WITHIN_MS = 5_000
"""A process that has said nothing for so long is not waited for; it follows when it can."""
TEXT_KINDS = (SpaceKind.PROMPT, SpaceKind.CAPTION)
Spaces = Mapping[SpaceKind, int]


def active_switch(session: Session, *, lock: bool = False) -> ModelSwitch | None:
    """Return the change that is on, None where there is none."""
    query = select(ModelSwitch).where(ModelSwitch.active == 1)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.execute(query).scalar_one_or_none()


def locked_switch(session: Session, switch_id: int, *states: SwitchState) -> ModelSwitch:
    """Return a change, locked.

    Raises:
        NotFound: there is none.
        Conflict: it is in none of these states.
    """
    switch = session.get(ModelSwitch, switch_id, with_for_update=True, populate_existing=True)
    if switch is None:
        raise NotFound(f"There is no change {switch_id} of the image model.")
    if states and switch.state not in states:
        raise Conflict(f"This change of the image model is {switch.state}.")
    return switch


def newest_switch(session: Session) -> ModelSwitch | None:
    """Return the change that is on, else the one before; None where there never was one."""
    query = select(ModelSwitch).order_by(ModelSwitch.id.desc()).limit(1)
    return session.execute(query).scalar_one_or_none()


def spaces_in_use(session: Session) -> Spaces:
    """Return the numbers of the spaces in use as the database says, whatever this thread's view is."""
    found: dict[SpaceKind, int] = {}
    image_id = session.execute(select(Installation.image_space_id)).scalar_one_or_none()
    if image_id is not None:
        found[SpaceKind.IMAGE] = image_id
    texts = select(Space.kind, Space.id).where(
        Space.kind.in_(TEXT_KINDS), Space.state == SpaceState.ACTIVE
    )
    return found | {SpaceKind(kind): space_id for kind, space_id in session.execute(texts)}


def row_of(session: Session, space: EmbeddingSpace) -> Space | None:
    """Return the row of a space, None where there is none."""
    query = select(Space).where(Space.name == space.name)
    return session.execute(query).scalar_one_or_none()


def twin_of(session: Session, image: Space, kind: SpaceKind) -> Space | None:
    """Return the row of the space of texts that an image space's model embeds."""
    return row_of(session, replace(image.to_space(), kind=kind))


def counterpart(session: Session, in_use: Spaces, image: Space) -> Spaces:
    """Return the spaces that would be in use with another image space.

    Texts that the image model in use embeds change with it; those of other models stay.
    """
    own = session.get_one(Space, in_use[SpaceKind.IMAGE])
    found = {SpaceKind.IMAGE: image.id}
    for kind in TEXT_KINDS:
        now_id, twin, own_twin = (
            in_use.get(kind),
            twin_of(session, image, kind),
            twin_of(session, own, kind),
        )
        is_own = now_id is None or (own_twin is not None and own_twin.id == now_id)
        if twin is not None and is_own:
            # Captions without a space stay so: it may be a server that embeds them.
            if now_id is not None or kind is SpaceKind.PROMPT:
                found[kind] = twin.id
        elif now_id is not None:
            found[kind] = now_id
    return found


def spare_of(session: Session, switch: ModelSwitch) -> Space | None:
    """Return the image space of a change that is not in use; None while it is not known."""
    in_use = session.execute(select(Installation.image_space_id)).scalar_one_or_none()
    other = switch.to_space_id if in_use == switch.from_space_id else switch.from_space_id
    return None if other is None else session.get(Space, other)


def say_ready(
    session: Session,
    name: str,
    space_id: int | None,
    ready_for_id: int | None,
    trouble: str | None,
) -> None:
    """Write down which image space a process uses, and which other it could use at once."""
    table = ModelProcess
    updated = [table.space_id, table.ready_for_id, table.seen_at_ms, table.trouble]
    row = {
        "name": name,
        "space_id": space_id,
        "ready_for_id": ready_for_id,
        "seen_at_ms": session.execute(select(now_ms())).scalar_one(),
        "trouble": trouble,
    }
    session.execute(insert_or_update(session, table, [table.name], updated), [row])


def processes(session: Session) -> list[ModelProcess]:
    """Return the processes that were heard of lately."""
    recent = ModelProcess.seen_at_ms > now_ms() - HEARD_WITHIN_MS
    return list(session.execute(select(ModelProcess).where(recent)).scalars())


def lagging(session: Session) -> int:
    """Return how many of the processes heard of lately begin their work with the model of before."""
    in_use = spaces_in_use(session).get(SpaceKind.IMAGE)
    return sum(1 for each in processes(session) if each.space_id != in_use)


def forget_process(session: Session, name: str) -> None:
    """Forget a process that ends."""
    session.execute(delete(ModelProcess).where(ModelProcess.name == name))


def count_gaps(session: Session, switch_id: int) -> int:
    """Return how many contents a change could not embed."""
    query = select(func.count()).select_from(SwitchGap).where(SwitchGap.switch_id == switch_id)
    return session.execute(query).scalar_one()
