"""Likes: one per person and image; the image's row keeps their number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.chunks import rows_in
from mirada.db.deadlocks import retried
from mirada.db.memory_models import Like
from mirada.db.models import Image, User
from mirada.db.session import count_changed
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience
from mirada.kernel.ids import LARGEST_ID
from mirada.pictures.images import add_to_counts, see_image


@dataclass(frozen=True, slots=True)
class Liker:
    """A person who likes an image, and since when."""

    user_id: int
    username: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Likers:
    """Some people who like an image, and the number of all who do."""

    likers: list[Liker]
    like_count: int


def like(session: Session, image_id: int, user_id: int) -> int:
    """Let a person like an image they may see, and return how many do; twice counts once.

    Raises:
        NotFound: there is no such image, or this person may not see it.
    """
    image = see_image(session, image_id, Audience(user_id), lock=True)
    # Under the image's lock nobody can come between the look and the insertion.
    if liked_among(session, user_id, [image_id]):
        return image.like_count
    session.execute(insert(Like).values(image_id=image_id, user_id=user_id))
    add_to_counts(session, image_id, likes=1)
    changes.note(session)
    return image.like_count + 1


def unlike(session: Session, image_id: int, user_id: int) -> int:
    """Take a person's like back, if there is one, and return how many are left.

    Raises:
        NotFound: there is no such image, or this person may not see it (any more).
    """
    image = see_image(session, image_id, Audience(user_id), lock=True)
    theirs = delete(Like).where(Like.image_id == image_id, Like.user_id == user_id)
    if not count_changed(session, theirs):
        return image.like_count
    add_to_counts(session, image_id, likes=-1)
    changes.note(session)
    return image.like_count - 1


give_like = retried(like)
take_like_back = retried(unlike)


def list_likers(
    session: Session,
    image_id: int,
    audience: Audience,
    *,
    cursor: int | None = None,
    limit: int = 50,
) -> Likers:
    """Return at most `limit` of those who like an image the viewer may see, by user id.

    By user id because that is the one order in which likes that come and go move nobody to another
    page.

    Args:
        session: any.
        image_id: which image.
        audience: who asks.
        cursor: the id of the last user of the page before; None for the first page.
        limit: >= 1.

    Raises:
        NotFound: there is no such image, or the audience may not see it.
    """
    image = see_image(session, image_id, audience)
    query = (
        select(Like.user_id, User.username, Like.created_at)
        .join(User, User.id == Like.user_id)
        .join(Image, Image.id == Like.image_id)
        .where(Like.image_id == image_id, may_see(audience))
    )
    if cursor is not None:
        query = query.where(Like.user_id > min(cursor, LARGEST_ID))
    rows = session.execute(query.order_by(Like.user_id).limit(limit))
    return Likers([Liker(*row) for row in rows], image.like_count)


def liked_among(
    session: Session, viewer_id: int | None, image_ids: Iterable[int]
) -> frozenset[int]:
    """Return those of the images that the viewer likes: one query for a page, none for anonymous."""
    if viewer_id is None:
        return frozenset()
    query = select(Like.image_id).where(Like.user_id == viewer_id)
    return frozenset(row.image_id for row in rows_in(session, query, Like.image_id, image_ids))
