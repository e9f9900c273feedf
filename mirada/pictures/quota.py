"""How much one person may keep here: so many images, so many bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.config import Settings
from mirada.db import audit
from mirada.db.models import Content, Image, User
from mirada.kernel.audit import Action
from mirada.kernel.errors import NotFound, QuotaReached
from mirada.kernel.ids import in_range
from mirada.people.identity import Person

MOST = 2**53
"""Images or bytes of a quota; JSON numbers beyond it are not exact everywhere."""


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that one person may keep; None where there is no limit.

    Attributes:
        images: images, those of the trash too.
        bytes: sum of the sizes of their originals. The same file uploaded twice counts twice.
    """

    images: int | None = None
    bytes: int | None = None

    @property
    def limits(self) -> bool:
        """Whether anything is limited."""
        return self.images is not None or self.bytes is not None


UNLIMITED = Quota()


@dataclass(frozen=True, slots=True)
class Kept:
    """The images that one person keeps here, counted.

    Attributes:
        images: how many.
        bytes: sum of the sizes of their originals.
        quota: the most that they may keep.
        own: what an administrator gave them in place of everybody's.
    """

    images: int
    bytes: int
    quota: Quota = UNLIMITED
    own: Quota = UNLIMITED


def of_everybody(settings: Settings) -> Quota:
    """Return the quota of everybody for whom none of their own is set."""
    return Quota(settings.quota_images, settings.quota_bytes)


def kept_by(session: Session, user_id: int, everybody: Quota) -> Kept:
    """Return what a user keeps, and what they may keep.

    Args:
        session: for reading.
        user_id: whose images are counted.
        everybody: the quota of those who have none of their own.

    Raises:
        NotFound: there is no such user.
    """
    user = session.get(User, in_range(user_id))
    if user is None or user.ended_at is not None:
        raise NotFound(f"There is no user {user_id}.")
    return _counted(session, user, everybody)


def change_quota(session: Session, user_id: int, changes: Mapping[str, int | None]) -> Person:
    """Give a user a quota of their own, or with None that of everybody.

    A smaller one than they use deletes nothing: they add nothing until they are below it.

    Args:
        session: a transaction.
        user_id: whose.
        changes: `quota_images` and `quota_bytes`, or one of them; >= 0.

    Raises:
        NotFound: there is no such user.
    """
    user = session.get(User, in_range(user_id), with_for_update=True, populate_existing=True)
    if user is None or user.ended_at is not None:
        raise NotFound(f"There is no user {user_id}.")
    user.quota_images = changes.get("quota_images", user.quota_images)
    user.quota_bytes = changes.get("quota_bytes", user.quota_bytes)
    audit.record(session, Action.USER_QUOTA, user.id, owner_id=user.id, detail=changes)
    session.flush()
    return Person.of(user)


def require_room(session: Session, owner: User, everybody: Quota, byte_size: int) -> None:
    """Check that one more image fits, and keep others of this owner waiting until the commit.

    Two uploads at once would otherwise both find the last place. Without a quota nothing is read.

    Args:
        session: a transaction.
        owner: whose image it becomes.
        everybody: the quota of those who have none of their own.
        byte_size: of the picture that would be added.

    Raises:
        QuotaReached: one more would be too many.
    """
    if not _of(owner, everybody).limits:
        return
    session.refresh(owner, with_for_update=True)
    kept = _counted(session, owner, everybody)
    most = kept.quota
    if most.images is not None and kept.images + 1 > most.images:
        raise QuotaReached(
            f"You keep {kept.images:,} of at most {most.images:,} images, those in the trash too. "
            "Delete some for good, or ask an administrator for more room."
        )
    if most.bytes is not None and kept.bytes + byte_size > most.bytes:
        raise QuotaReached(
            f"This file has {byte_size:,} bytes; you keep {kept.bytes:,} of at most {most.bytes:,}, "
            "those in the trash too. Delete some images for good, or ask an administrator for more "
            "room."
        )


def _of(user: User, everybody: Quota) -> Quota:
    images, size = user.quota_images, user.quota_bytes
    return Quota(
        everybody.images if images is None else images,
        everybody.bytes if size is None else size,
    )


def _counted(session: Session, user: User, everybody: Quota) -> Kept:
    total = func.coalesce(func.sum(Content.byte_size), 0)
    query = (
        select(func.count(Image.id), total)
        .select_from(Image)
        .join(Content, Content.id == Image.content_id)
        .where(Image.owner_id == user.id)
    )
    images, size = session.execute(query).one()
    own = Quota(user.quota_images, user.quota_bytes)
    return Kept(int(images), int(size), _of(user, everybody), own)
