"""Pin the embedding space a database uses, and say clearly when the settings name another one."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.models import Installation, Space
from mirada.domain.embeddings import EmbeddingSpace
from mirada.domain.errors import EmbeddingSpaceMismatch, NotFound


def pinned_space(session: Session) -> Space | None:
    """Return the image space this database was filled with, None before the first run."""
    return session.execute(
        select(Space).join(Installation, Installation.image_space_id == Space.id)
    ).scalar_one_or_none()


def pin_space(session: Session, space: EmbeddingSpace) -> Space:
    """Return the row of the pinned space; the first caller's space becomes the pinned one.

    Raises:
        EmbeddingSpaceMismatch: another space is pinned. The message says how to switch.
    """
    # The installation's row is the lock: two processes starting at once must not both pin.
    installation = session.execute(
        select(Installation).where(Installation.id == 1).with_for_update()
    ).scalar_one()
    if installation.image_space_id is None:
        row = session.execute(select(Space).where(Space.name == space.name)).scalar_one_or_none()
        if row is None:
            row = Space(
                name=space.name,
                kind=space.kind,
                encoder=space.encoder,
                pretrained=space.pretrained,
                preprocessing=space.preprocessing,
                dimension=space.dimension,
            )
            session.add(row)
            session.flush()
        installation.image_space_id = row.id
        return row
    row = session.get_one(Space, installation.image_space_id)
    if row.to_domain() != space:
        raise EmbeddingSpaceMismatch(
            f"This database was filled with {row.name}, but the settings choose {space.name}. "
            f"Vectors of two models cannot be compared. Set CLIP_MODEL={row.encoder} and "
            f"CLIP_PRETRAINED={row.pretrained} to go on (CLIP_MODEL=auto keeps what is pinned), or "
            "start a new DATA_DIR or database for the other model and import the pictures again."
        )
    return row


def space_by_name(session: Session, name_or_id: str) -> Space:
    """Return a space by its name, its number, or "image" for the pinned one.

    Raises:
        NotFound: there is no such space.
    """
    if name_or_id == "image":
        row = pinned_space(session)
    elif name_or_id.isdecimal() and len(name_or_id) < 19:
        row = session.get(Space, int(name_or_id))
    else:
        row = session.execute(select(Space).where(Space.name == name_or_id)).scalar_one_or_none()
    if row is None:
        raise NotFound(
            f"There is no embedding space '{name_or_id}'. GET /api/v1/indexes lists them."
        )
    return row
