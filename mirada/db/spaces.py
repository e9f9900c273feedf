"""Pin the embedding space a database uses, and say clearly when the settings name another one."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.models import Installation, Space, SpaceState
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import EmbeddingSpaceMismatch, NotFound


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
            row = _new_row(space)
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


def pinned_prompt_space(session: Session) -> Space | None:
    """Return the space in which prompts are embedded, None before the first prompt was."""
    return _active(session, SpaceKind.PROMPT)


def pinned_caption_space(session: Session) -> Space | None:
    """Return the space in which captions are embedded, None before the first caption was."""
    return _active(session, SpaceKind.CAPTION)


def caption_space_of(session: Session, encoder: str) -> Space | None:
    """Return the newest space of captions that a model of that name embedded, in use or retired."""
    return session.execute(
        select(Space)
        .where(Space.kind == SpaceKind.CAPTION, Space.encoder == encoder)
        .order_by(Space.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def pin_prompt_space(session: Session, space: EmbeddingSpace) -> Space:
    """Return the row of the pinned prompt space; the first caller's space becomes the pinned one.

    Raises:
        EmbeddingSpaceMismatch: another space is pinned. The message says how to switch.
    """
    return _pin_texts(
        session,
        space,
        "Set TEXT_MODEL back, or embed every prompt anew: flask --app wsgi embeddings "
        "switch-text-model",
    )


def pin_caption_space(session: Session, space: EmbeddingSpace) -> Space:
    """Return the row of the pinned caption space; the first caller's space becomes the pinned one.

    Raises:
        EmbeddingSpaceMismatch: another space is pinned. The message says how to switch.
    """
    return _pin_texts(
        session,
        space,
        "Set back what was changed, or embed every caption anew: flask --app wsgi captions "
        "switch-model",
    )


def retire_prompt_space(session: Session) -> Space | None:
    """Let the next text model be pinned instead of the present one, and return that one's row.

    Its vectors stay: pinned again, only prompts that came in meanwhile have to be embedded.
    """
    return _retire(session, SpaceKind.PROMPT)


def retire_caption_space(session: Session) -> Space | None:
    """Do the same with the space of captions."""
    return _retire(session, SpaceKind.CAPTION)


def _active(session: Session, kind: SpaceKind) -> Space | None:
    return session.execute(
        select(Space).where(Space.kind == kind, Space.state == SpaceState.ACTIVE)
    ).scalar_one_or_none()


def _pin_texts(session: Session, space: EmbeddingSpace, advice: str) -> Space:
    session.execute(select(Installation.id).where(Installation.id == 1).with_for_update())
    pinned = _active(session, space.kind)
    if pinned is None:
        row = session.execute(select(Space).where(Space.name == space.name)).scalar_one_or_none()
        if row is None:
            row = _new_row(space)
            session.add(row)
        row.state = SpaceState.ACTIVE
        session.flush()
        return row
    if pinned.to_domain() != space:
        raise EmbeddingSpaceMismatch(
            f"The {space.kind}s of this database are embedded by {pinned.name}, but the settings "
            f"choose {space.name}. Vectors of two models cannot be compared. {advice}"
        )
    return pinned


def _retire(session: Session, kind: SpaceKind) -> Space | None:
    session.execute(select(Installation.id).where(Installation.id == 1).with_for_update())
    pinned = _active(session, kind)
    if pinned is not None:
        pinned.state = SpaceState.RETIRED
        session.flush()
    return pinned


def searched_spaces(session: Session) -> list[Space]:
    """Return the spaces in use, the image space first."""
    pinned = (pinned_space(session), pinned_prompt_space(session), pinned_caption_space(session))
    return [space for space in pinned if space]


def _new_row(space: EmbeddingSpace) -> Space:
    return Space(
        name=space.name,
        kind=space.kind,
        encoder=space.encoder,
        pretrained=space.pretrained,
        preprocessing=space.preprocessing,
        dimension=space.dimension,
    )


def space_by_name(session: Session, name_or_id: str) -> Space:
    """Return a space by its name, its number, or "image", "prompt" or "caption" for the pinned ones.

    Raises:
        NotFound: there is no such space.
    """
    if name_or_id == "image":
        row = pinned_space(session)
    elif name_or_id == "prompt":
        row = pinned_prompt_space(session)
    elif name_or_id == "caption":
        row = pinned_caption_space(session)
    elif name_or_id.isdecimal() and len(name_or_id) < 19:
        row = session.get(Space, int(name_or_id))
    else:
        row = session.execute(select(Space).where(Space.name == name_or_id)).scalar_one_or_none()
    if row is None:
        raise NotFound(
            f"There is no embedding space '{name_or_id}'. GET /api/v1/indexes lists them."
        )
    return row
