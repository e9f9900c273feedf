"""The counts kept in an image's row; the only writer of `like_count` and `comment_count`."""

from __future__ import annotations

from sqlalchemy import bindparam, update
from sqlalchemy.orm import Session

from mirada.db.models import Image

_TABLE = Image.__table__
# The version and the time of a change are the owner's: what others do must not void the ETag they
# hold. `updated_at` is set to itself, because the column would otherwise take the clock.
_ADD = (
    update(_TABLE)  # type: ignore[arg-type]
    .where(_TABLE.c.id == bindparam("image"))
    .values(
        like_count=_TABLE.c.like_count + bindparam("likes"),
        comment_count=_TABLE.c.comment_count + bindparam("comments"),
        updated_at=_TABLE.c.updated_at,
    )
)


def add(session: Session, image_id: int, *, likes: int = 0, comments: int = 0) -> None:
    """Add to an image's counts what rows this transaction has really inserted (or deleted: -1).

    The caller locked the image before it wrote those rows. Otherwise their foreign key takes a shared
    lock on the image, and two transactions with that lock would wait for each other here.
    """
    session.execute(_ADD, {"image": image_id, "likes": likes, "comments": comments})
