"""The texts that captions are: which lack their vector, and whose images show it.

Whoever writes any of it holds the lock of the content's row, see `mirada.captions.rows`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, select, true, update
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.contents import lock_content
from mirada.db.memory_models import TextContent
from mirada.db.models import Image
from mirada.db.texts import lock_texts_of, locked_text_id
from mirada.embedding import texts
from mirada.kernel.prompts import normalised_prompt


def note_captions(session: Session, content_id: int, owner_id: int) -> None:
    """Give captions of before they were texts their text; locks the content."""
    if lock_content(session, content_id) is None:
        return
    unnoted = select(Image.id, Image.caption).where(
        Image.content_id == content_id,
        Image.owner_id == owner_id,
        Image.caption.is_not(None),
        Image.caption_text_id.is_(None),
    )
    rows = [(row.id, normalised_prompt(row.caption)) for row in session.execute(unnoted)]
    lock_texts_of(session, [body for _, body in rows])
    for image_id, body in rows:
        text_id = locked_text_id(session, body)
        # What its owner wrote stays as it is, and so do the version and the time they know.
        session.execute(
            update(Image.__table__)  # type: ignore[arg-type]
            .where(Image.__table__.c.id == image_id)
            .values(
                caption_text_id=text_id,
                caption_is_due=True,
                updated_at=Image.__table__.c.updated_at,
            )
        )
        changes.touch_texts(session, [text_id])


def without_vector(
    session: Session, content_id: int, owner_id: int, space_id: int | None
) -> dict[int, str]:
    """Return the texts of one owner's captions of a content that have no vector in that space, by id.

    Args:
        session: any.
        content_id: whose picture it is.
        owner_id: whose images are meant.
        space_id: None, before a caption space is pinned, returns them all.
    """
    query = (
        select(TextContent.id, TextContent.body)
        .join(Image, Image.caption_text_id == TextContent.id)
        .where(Image.content_id == content_id, Image.owner_id == owner_id)
        .distinct()
    )
    if space_id is not None:
        query = query.where(~texts.has_vector(space_id))
    return {row.id: row.body for row in session.execute(query)}


def due_texts(session: Session, content_id: int, owner_id: int) -> dict[int, str]:
    """Return the texts of one owner's captions of a content whose vectors are not shown yet, by id.

    They may have one: of somebody else's caption or prompt.
    """
    query = (
        select(TextContent.id, TextContent.body)
        .join(Image, Image.caption_text_id == TextContent.id)
        .where(_is_due(content_id, owner_id))
        .distinct()
    )
    return {row.id: row.body for row in session.execute(query)}


def show_vectors(
    session: Session, content_id: int, owner_id: int, text_ids: Collection[int]
) -> None:
    """Let one owner's images of a content be found by these captions; locks the content.

    Call it in the transaction that stores their vectors, before that, or, where the vectors are
    there, in one of its own: either way it is one change.
    """
    if lock_content(session, content_id) is None:
        return
    shown = session.execute(
        update(Image.__table__)  # type: ignore[arg-type]
        .where(_is_due(content_id, owner_id), Image.caption_text_id.in_(text_ids))
        .values(caption_is_due=False, updated_at=Image.__table__.c.updated_at)
    )
    if cast("CursorResult[Any]", shown).rowcount:
        changes.touch_texts(session, text_ids)


def _is_due(content_id: int, owner_id: int) -> ColumnElement[bool]:
    return and_(
        Image.content_id == content_id, Image.owner_id == owner_id, Image.caption_is_due == true()
    )
