"""Pin the embedding space a database uses, and say clearly when the settings name another one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session, defer

from mirada.db.models import Installation, Space, SpaceState
from mirada.kernel import model_view
from mirada.kernel.commands import command_line
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import EmbeddingSpaceMismatch, NotFound
from mirada.kernel.user_text import UNSTORABLE

_ADVICE = {
    SpaceKind.PROMPT: (
        "Set TEXT_MODEL back, or embed every prompt anew",
        "embeddings switch-text-model",
    ),
    SpaceKind.CAPTION: (
        "Set back what was changed, or embed every caption anew",
        "captions switch-model",
    ),
}
"""What mends a mismatch, and the command that does."""


def pinned(kind: SpaceKind) -> Select[Space]:
    """Return the query for the space that this database embeds in."""
    if kind is SpaceKind.IMAGE:
        return select(Space).join(Installation, Installation.image_space_id == Space.id)
    return select(Space).where(Space.kind == kind, Space.state == SpaceState.ACTIVE)


# Built once: they are asked for every picture.
_PINNED_IDS = {kind: pinned(kind).with_only_columns(Space.id) for kind in SpaceKind}
_VIEWED_ID = select(Space.id).where(Space.id == bindparam("space"))


def pinned_space(session: Session, kind: SpaceKind = SpaceKind.IMAGE) -> Space | None:
    """Return the space that this thread's work embeds in, None before the first vector of that kind.

    That is the one of its view, else the one that the database names.
    """
    space_id = viewed_space_id(kind)
    query = pinned(kind) if space_id is None else select(Space).where(Space.id == space_id)
    # Read for every caption, and nobody asks since when it is there.
    query = query.options(defer(Space.created_at))
    return session.execute(query).scalar_one_or_none()


def pinned_space_id(session: Session, kind: SpaceKind = SpaceKind.IMAGE) -> int | None:
    """Return the number of the pinned space, None where there is none."""
    space_id = viewed_space_id(kind)
    if space_id is None:
        return session.execute(_PINNED_IDS[kind]).scalar_one_or_none()
    return session.execute(_VIEWED_ID, {"space": space_id}).scalar_one_or_none()


def viewed_space_id(kind: SpaceKind) -> int | None:
    """Return the number of a space in this thread's view; None where the database is to be asked."""
    view = model_view.current()
    return None if view is None else view.spaces.get(kind)


def space_in_use() -> Any:
    """Return the number of the image space that this thread's work uses, as SQL takes it in a comparison."""
    space_id = viewed_space_id(SpaceKind.IMAGE)
    if space_id is not None:
        return space_id
    return select(Installation.image_space_id).where(Installation.id == 1).scalar_subquery()


def pin_space(session: Session, space: EmbeddingSpace) -> Space:
    """Return the row of the pinned space; the first caller's space of a kind becomes the pinned one.

    Raises:
        EmbeddingSpaceMismatch: another space of that kind is pinned. The message says how to switch.
    """
    installation = _locked_installation(session)
    found = pinned_space(session, space.kind)
    if found is None:
        row = session.execute(select(Space).where(Space.name == space.name)).scalar_one_or_none()
        if row is None:
            row = Space(**asdict(space), name=space.name)
            session.add(row)
        row.state = SpaceState.ACTIVE
        session.flush()
        if space.kind is SpaceKind.IMAGE:
            installation.image_space_id = row.id
        return row
    if found.to_space() != space:
        raise EmbeddingSpaceMismatch(_mismatch(found, space))
    return found


def retire_space(session: Session, kind: SpaceKind) -> Space | None:
    """Unpin the space of prompts or captions, so that another can be pinned; return its row.

    Its vectors stay: pinned again, only texts that came in meanwhile have to be embedded.
    """
    _locked_installation(session)
    found = pinned_space(session, kind)
    if found is not None:
        found.state = SpaceState.RETIRED
        session.flush()
    return found


def _locked_installation(session: Session) -> Installation:
    # Two processes that start at once must not both pin.
    return session.execute(
        select(Installation).where(Installation.id == 1).with_for_update()
    ).scalar_one()


def _mismatch(pinned: Space, space: EmbeddingSpace) -> str:
    if space.kind is SpaceKind.IMAGE:
        return (
            f"This database was filled with {pinned.name}, but the settings choose {space.name}. "
            f"Vectors of two models cannot be compared. Set CLIP_MODEL={pinned.encoder} and "
            f"CLIP_PRETRAINED={pinned.pretrained} to go on (CLIP_MODEL=auto keeps what is pinned), "
            "or go on so and then change the model while the server serves: "
            + command_line("models switch NAME")
        )
    advice, command = _ADVICE[space.kind]
    return (
        f"The {space.kind}s of this database are embedded by {pinned.name}, but the settings "
        f"choose {space.name}. Vectors of two models cannot be compared. {advice}: "
        + command_line(command)
    )


def caption_space_of(session: Session, encoder: str) -> Space | None:
    """Return the newest space of captions that a model of that name embedded, in use or retired."""
    return session.execute(
        select(Space)
        .where(Space.kind == SpaceKind.CAPTION, Space.encoder == encoder)
        .order_by(Space.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def searched_spaces(session: Session) -> list[Space]:
    """Return the spaces in use, the image space first."""
    found = (pinned_space(session, kind) for kind in SpaceKind)
    return [space for space in found if space]


def space_by_name(session: Session, name_or_id: str) -> Space:
    """Return a space by its name, its number, or "image", "prompt" or "caption" for the pinned ones.

    Raises:
        NotFound: there is no such space.
    """
    row: Space | None = None
    if name_or_id in frozenset(SpaceKind):
        row = pinned_space(session, SpaceKind(name_or_id))
    elif name_or_id.isdecimal() and len(name_or_id) < 19:
        row = session.get(Space, int(name_or_id))
    elif not UNSTORABLE.search(name_or_id):
        row = session.execute(select(Space).where(Space.name == name_or_id)).scalar_one_or_none()
    if row is None:
        raise NotFound(
            f"There is no embedding space '{name_or_id}'. GET /api/v1/indexes lists them."
        )
    return row
