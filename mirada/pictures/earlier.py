"""Looks for what is there of a picture that comes in: its owner's image, and its vector."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from mirada.db.models import Content, Embedding, Image
from mirada.db.visibility import may_see, may_see_content
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict


def image_id_of(session: Session, content: Content, owner_id: int) -> int | None:
    """Return the owner's first image of a content; None for none."""
    return session.execute(
        select(Image.id)
        .where(may_see(Audience(owner_id).own_alone()), Image.content_id == content.id)
        .order_by(Image.id)
        .limit(1)
    ).scalar_one_or_none()


def replayed(session: Session, image_id: int, owner_id: int) -> Image:
    """Return an owner's image, content and owner loaded. Raises Conflict where it was deleted."""
    image = session.execute(
        select(Image)
        .where(Image.id == image_id, may_see(Audience(owner_id).own_alone()))
        .options(joinedload(Image.content), joinedload(Image.owner))
    ).scalar_one_or_none()
    if image is None:
        # Raising also takes back a content row that was inserted for this request.
        raise Conflict(
            "The image made with this Idempotency-Key has been deleted since. "
            "Send a new key to upload it again."
        )
    return image


def shows_vector(session: Session, content_id: int, owner_id: int, space_id: int | None) -> bool:
    """Return whether a person sees the content already, and it has a vector in that space."""
    shown = select(Embedding.id).where(
        Embedding.content_id == content_id,
        Embedding.space_id == space_id,
        Embedding.is_deleted.is_(False),
        may_see_content(Audience(owner_id), Embedding.content_id),
    )
    return session.execute(shown).first() is not None
