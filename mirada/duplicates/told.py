"""What is told of groups of duplicates beside their members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import func, not_, select
from sqlalchemy.orm import Session

from mirada.db.models import Image
from mirada.db.visibility import is_looked_at, may_see
from mirada.duplicates.best import Best, best_of
from mirada.duplicates.seen import Group
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.images import ImageStatus
from mirada.pictures.shown_images import ShownImage, shown_images

MOST_COMPARED = 24
"""Images of a group that a page compares."""


def shown_of(
    session: Session, groups: Iterable[Group], viewer_id: int, most: int
) -> dict[int, ShownImage]:
    """Return by id the images of groups as their viewer is shown them, the newest `most` of each."""
    ids = [member.image_id for group in groups for member in group.members[:most]]
    return shown_images(session, ids, Scope(Audience(viewer_id)))


def best_own(group: Group, shown: Mapping[int, ShownImage], viewer_id: int) -> Best | None:
    """Return which of their own images a viewer had best keep; None where none of them is shown."""
    members = [shown[each.image_id] for each in group.members if each.image_id in shown]
    own = [image for image in members if image.owner_id == viewer_id]
    return best_of(own) if own else None


def is_compared(session: Session, image_id: int) -> bool:
    """Return whether an image was compared with all others."""
    query = select(Image.id).where(Image.id == image_id, is_looked_at())
    return session.execute(query).first() is not None


def count_waiting(session: Session, owner_id: int) -> int:
    """Return how many of somebody's images are still to be compared."""
    own = may_see(Audience(owner_id).own_alone())
    waiting = select(func.count()).select_from(Image)
    waiting = waiting.where(own, Image.status == ImageStatus.READY, not_(is_looked_at()))
    return session.execute(waiting).scalar_one()
