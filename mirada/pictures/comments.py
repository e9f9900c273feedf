"""Comments under an image: write, read, list and delete them; the image's row keeps their number."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session, joinedload

from mirada.db import audit
from mirada.db.deadlocks import retried
from mirada.db.idempotency import once
from mirada.db.memory_models import Comment
from mirada.db.models import Image, User
from mirada.db.session import count_changed
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.ids import LARGEST_ID, in_range
from mirada.pictures.images import add_to_counts, see_image

MAX_COMMENT_CHARACTERS = 2_000
"""Code points, after trimming: what a long message in a gallery has; a page of 100 stays under 1 MB."""
LONGEST_DECOMPOSITION = 4
"""NFD makes at most four characters of one, so a text with more than four times the limit is too long
in NFC as well. It is not normalised: sorting 100,000 combining marks takes eight seconds."""
_LINE_END = re.compile(r"\r\n?")
_CONTROL = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f]")
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")


def comment_text(text: object) -> str:
    """Return a comment as it is kept: in NFC, trimmed, without control characters but the newline.

    Line ends become newlines, and tabs blanks. Marks of the writing direction, joiners and markup
    stay: who shows a comment escapes it, and isolates its direction.

    Raises:
        InvalidInput: not a string, nothing to see in it, longer than MAX_COMMENT_CHARACTERS, or
            with characters that no database stores.
    """
    if not isinstance(text, str):
        raise _refused("A comment is text.")
    # Before anything works on every character: a body may be megabytes.
    if len(text) > 10 * MAX_COMMENT_CHARACTERS:
        raise _too_long(len(text))
    if _NO_TEXT.search(text):
        raise _refused("It holds a NUL or half a surrogate pair, which is not text.")
    plain = _LINE_END.sub("\n", text).replace("\t", " ")
    plain = _CONTROL.sub("", plain).strip()
    if all(character.isspace() or unicodedata.category(character) == "Cf" for character in plain):
        raise _refused("A comment says something; this is empty.")
    if len(plain) > LONGEST_DECOMPOSITION * MAX_COMMENT_CHARACTERS:
        raise _too_long(len(plain))
    composed = unicodedata.normalize("NFC", plain)
    if len(composed) > MAX_COMMENT_CHARACTERS:
        raise _too_long(len(composed))
    return composed


def _too_long(length: int) -> InvalidInput:
    return _refused(f"At most {MAX_COMMENT_CHARACTERS:,} characters; this has {length:,}.")


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(f"The comment cannot be kept. {reason}", fields={"text": [reason]})


@dataclass(frozen=True, slots=True)
class Written:
    """A comment, its author loaded; `was_replayed`: an earlier request of the same key wrote it."""

    comment: Comment
    was_replayed: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """Some comments under an image, authors loaded, and how many there are in all."""

    comments: list[Comment]
    comment_count: int


def write_comment(
    session: Session,
    image_id: int,
    author_id: int,
    text: object,
    *,
    idempotency_key: str | None = None,
) -> Written:
    """Put a comment under an image that its author may see.

    Args:
        session: a transaction.
        image_id: which image.
        author_id: who writes.
        text: see `comment_text`.
        idempotency_key: the request's; one key writes one comment.

    Raises:
        InvalidInput: the text cannot be kept, or the key is no key or another request's.
        NotFound: there is no such image, or its author may not see it.
        Conflict: the key's comment was deleted since.
    """
    body = comment_text(text)
    request = once(author_id, idempotency_key, "comment", {"image_id": image_id, "text": body})
    see_image(session, image_id, Audience(author_id), lock=True)
    # A twin of this request has either committed or waits for the image's lock.
    earlier = request.earlier(session)
    if earlier is not None:
        return Written(_replayed(session, image_id, earlier), was_replayed=True)
    comment = Comment(image_id=image_id, user=session.get_one(User, author_id), body=body)
    session.add(comment)
    session.flush()
    add_to_counts(session, image_id, comments=1)
    # Refuses a key that another request took meanwhile: this comment is then undone.
    request.keep(session, comment.id)
    return Written(comment)


def get_comment(session: Session, image_id: int, comment_id: int, audience: Audience) -> Comment:
    """Return a comment under an image that the viewer may see, its author loaded.

    Raises:
        NotFound: there is no such image for this audience, or no such comment under it.
    """
    see_image(session, image_id, audience)
    comment = session.execute(
        _seen(image_id, audience).where(Comment.id == in_range(comment_id))
    ).scalar_one_or_none()
    if comment is None:
        raise _absent(image_id, comment_id)
    return comment


def list_comments(
    session: Session,
    image_id: int,
    audience: Audience,
    *,
    cursor: int | None = None,
    limit: int = 50,
) -> Conversation:
    """Return at most `limit` comments under an image the viewer may see, oldest first.

    Args:
        session: any.
        image_id: which image.
        audience: who asks.
        cursor: the id of the last comment of the page before; None for the first page.
        limit: >= 1.

    Raises:
        NotFound: there is no such image, or the audience may not see it.
    """
    image = see_image(session, image_id, audience)
    query = _seen(image_id, audience)
    if cursor is not None:
        query = query.where(Comment.id > min(cursor, LARGEST_ID))
    rows = session.execute(query.order_by(Comment.id).limit(limit)).scalars()
    return Conversation(list(rows), image.comment_count)


def delete_comment(
    session: Session,
    image_id: int,
    comment_id: int,
    user_id: int,
    *,
    is_administrator: bool = False,
) -> None:
    """Delete a comment.

    Args:
        session: a transaction.
        image_id: the image it is under, which whoever deletes may see.
        comment_id: which one.
        user_id: who asks: its author or the image's owner.
        is_administrator: may delete anybody's.

    Raises:
        NotFound: there is no such image or comment, or it is not theirs to delete.
    """
    image = see_image(session, image_id, Audience(user_id), lock=True)
    query = select(Comment.user_id).where(
        Comment.id == in_range(comment_id), Comment.image_id == image_id
    )
    if not is_administrator and image.owner_id != user_id:
        query = query.where(Comment.user_id == user_id)
    author_id = session.execute(query).scalar_one_or_none()
    statement = delete(Comment).where(Comment.id == in_range(comment_id))
    if author_id is None or not count_changed(session, statement):
        raise _absent(image_id, comment_id)
    if image.owner_id != user_id:
        told = {"image_id": image_id}
        audit.record_of_others(session, Action.COMMENT_DELETE, comment_id, author_id, user_id, told)
    add_to_counts(session, image_id, comments=-1)


post_comment = retried(write_comment)
remove_comment = retried(delete_comment)


def _replayed(session: Session, image_id: int, comment_id: int) -> Comment:
    comment = session.execute(
        _loaded().where(Comment.id == comment_id, Comment.image_id == image_id)
    ).scalar_one_or_none()
    if comment is None:
        raise Conflict(
            "The comment written with this Idempotency-Key was deleted since. Send a new key to "
            "write it again."
        )
    return comment


def _seen(image_id: int, audience: Audience) -> Select[Comment]:
    return (
        _loaded()
        .join(Image, Image.id == Comment.image_id)
        .where(Comment.image_id == image_id, may_see(audience))
    )


def _loaded() -> Select[Comment]:
    return select(Comment).options(joinedload(Comment.user))


def _absent(image_id: int, comment_id: int) -> NotFound:
    # The same words whether it is not there, under another image, or somebody else's to delete.
    return NotFound(f"There is no comment {comment_id} under image {image_id}, or it is not yours.")
