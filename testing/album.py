"""Images of three people, and what the others do with them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from mirada.db.memory_models import Comment, Like
from mirada.db.models import Image, User
from mirada.db.session import Database
from mirada.kernel.images import ImageFormat, PictureFacts
from mirada.pictures import comments, images, likes, register
from testing.registering import register_image


class Album:
    """A database with Ana, Bea and Cleo in it; every call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            people = [User(username=name) for name in ("ana", "bea", "cleo")]
            session.add_all(people)
            session.flush()
            self.ana, self.bea, self.cleo = (user.id for user in people)

    def image(self, owner_id: int, digit: str = "a", *, is_public: bool = True) -> int:
        """Register an image of the bytes that a hex digit stands for."""
        key = register.storage_key(digit * 64, ImageFormat.GIF)
        picture = register.NewPicture(digit * 64, 1, PictureFacts(ImageFormat.GIF, 1, 1, 1), key)
        with self.database.transaction() as session:
            return register_image(
                session, picture, owner_id=owner_id, space_id=None, is_public=is_public
            ).image.id

    def like(self, image_id: int, user_id: int) -> int:
        with self.database.transaction() as session:
            return likes.like(session, image_id, user_id)

    def unlike(self, image_id: int, user_id: int) -> int:
        with self.database.transaction() as session:
            return likes.unlike(session, image_id, user_id)

    def write(self, image_id: int, user_id: int, text: object = "hello", **options: Any) -> int:
        """Write a comment and return its id."""
        with self.database.transaction() as session:
            return comments.write_comment(session, image_id, user_id, text, **options).comment.id

    def remove(self, image_id: int, comment_id: int, user_id: int, **options: Any) -> None:
        with self.database.transaction() as session:
            comments.delete_comment(session, image_id, comment_id, user_id, **options)

    def change(self, image_id: int, owner_id: int, **changes: Any) -> None:
        with self.database.transaction() as session:
            images.change_image(session, image_id, owner_id, expected_version=None, changes=changes)

    def delete(self, image_id: int, owner_id: int) -> None:
        with self.database.transaction() as session:
            images.delete_image(session, image_id, owner_id, expected_version=None)

    def row(self, image_id: int) -> Image:
        with self.database.reading() as session:
            return session.get_one(Image, image_id)

    def counts(self, image_id: int) -> tuple[int, int]:
        """Return the likes and comments that the image's row claims, having counted the rows."""
        with self.database.reading() as session:
            rows = tuple(
                session.execute(
                    select(func.count()).select_from(table).where(table.image_id == image_id)
                ).scalar_one()
                for table in (Like, Comment)
            )
            image = session.get_one(Image, image_id)
            assert (image.like_count, image.comment_count) == rows
        return image.like_count, image.comment_count
