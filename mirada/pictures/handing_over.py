"""Hand an image over to somebody else, and forget a person's likes and comments."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mirada.db import word_index
from mirada.db.memory_models import Comment, Like
from mirada.db.models import Image, User
from mirada.db.session import count_changed
from mirada.db.verdicts import forget_unseen
from mirada.db.visibility import may_change
from mirada.pictures.images import add_to_counts, lock_image, touch_image


def hand_over(session: Session, image_id: int, owner_id: int, heir_id: int) -> None:
    """Make an image somebody else's, with all that its file says; it stays public or private.

    Raises:
        NotFound: the owner has no such image.
    """
    image = lock_image(session, image_id, may_change(owner_id), None)
    image.owner = session.get_one(User, heir_id)
    # Who may see it, and so who may find it, is somebody else now.
    touch_image(session, image)
    session.flush()
    # The emojis of its former owner's packs are not the heir's.
    word_index.rewrite(session, [image.id])
    forget_unseen(session, image.content_id)


def forget_marks_of(session: Session, image_id: int, user_id: int) -> None:
    """Delete a person's like of an image and comments on it, whether they may still see it or not."""
    # Locked before its counts change, as likes and comments do.
    session.execute(select(Image.id).where(Image.id == image_id).with_for_update())
    likes = delete(Like).where(Like.image_id == image_id, Like.user_id == user_id)
    comments = delete(Comment).where(Comment.image_id == image_id, Comment.user_id == user_id)
    add_to_counts(
        session,
        image_id,
        likes=-count_changed(session, likes),
        comments=-count_changed(session, comments),
    )
