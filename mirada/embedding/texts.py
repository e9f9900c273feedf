"""The vectors of prompts: which are missing, and writing what was computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, false, or_, select, true, update
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.memory_models import TextContent, TextEmbedding
from mirada.db.models import Content, Image
from mirada.db.texts import lock_texts, locked_text_id
from mirada.kernel.embeddings import EmbeddingSpace, Vector, to_blob
from mirada.kernel.errors import InvalidInput
from mirada.kernel.prompts import normalised_prompt

# Built once: this runs for every picture.
_DUE = (
    select(Image.id)
    .where(Image.content_id == bindparam("content"), Image.prompt_is_due == true())
    .limit(1)
)


def without_vector(session: Session, content_id: int, space_id: int | None) -> dict[int, str]:
    """Return the texts of a content's prompts that have no vector in that space, by id.

    Args:
        session: any.
        content_id: whose images are meant.
        space_id: None, before a prompt space is pinned, returns them all.
    """
    query = (
        select(TextContent.id, TextContent.body)
        .join(Image, Image.prompt_text_id == TextContent.id)
        .where(Image.content_id == content_id)
        .distinct()
    )
    if space_id is not None:
        query = query.where(~has_vector(space_id))
    return {row.id: row.body for row in session.execute(query)}


def content_lacks_prompts(space_id: int | None) -> ColumnElement[bool]:
    """Return the condition on `contents` that an image's prompt is due, not embedded, or not even noted.

    Images that came in before prompts had texts of their own are told by a prompt without one.
    """
    is_unnoted = and_(Image.prompt.is_not(None), Image.prompt_text_id.is_(None))
    is_unembedded: ColumnElement[bool] = Image.prompt_text_id.is_not(None)
    if space_id is not None:
        embedded = select(TextEmbedding.id).where(
            TextEmbedding.text_id == Image.prompt_text_id,
            TextEmbedding.space_id == space_id,
            TextEmbedding.is_deleted == false(),
        )
        is_unembedded = and_(is_unembedded, ~exists(embedded))
    lacking = select(Image.id).where(
        Image.content_id == Content.id,
        or_(is_unnoted, is_unembedded, Image.prompt_is_due == true()),
    )
    return exists(lacking.correlate(Content))


def note_prompts(session: Session, content_id: int) -> None:
    """Give the images of a content whose prompt has no text its text; lock the content first.

    The text is due: the caller queues the job that embeds it.
    """
    unnoted = select(Image.id, Image.prompt).where(
        Image.content_id == content_id, Image.prompt.is_not(None), Image.prompt_text_id.is_(None)
    )
    for image_id, prompt in session.execute(unnoted).all():
        text_id = locked_text_id(session, normalised_prompt(prompt or ""))
        # What its owner wrote stays as it is, and so do the version and the time they know.
        session.execute(
            update(Image.__table__)  # type: ignore[arg-type]
            .where(Image.__table__.c.id == image_id)
            .values(
                prompt_text_id=text_id,
                prompt_is_due=True,
                updated_at=Image.__table__.c.updated_at,
            )
        )
        changes.touch_texts(session, [text_id])


def are_due(session: Session, content_id: int) -> bool:
    """Return whether an image of a content does not show its prompt's vector yet."""
    return session.execute(_DUE, {"content": content_id}).first() is not None


def show_vectors(session: Session, content_id: int) -> None:
    """Let the images of a content be found by their prompts; lock the content first.

    Every owner's: one job embeds what all of them wrote. Call it in the transaction in which no
    prompt of the content lacks its vector any more, before `store_prompt_vectors`.
    """
    due = (Image.content_id == content_id, Image.prompt_is_due == true())
    text_ids = session.execute(select(Image.prompt_text_id).where(*due)).scalars()
    changes.touch_texts(session, text_ids)
    session.execute(
        update(Image.__table__)  # type: ignore[arg-type]
        .where(*due)
        .values(prompt_is_due=False, updated_at=Image.__table__.c.updated_at)
    )


def store_prompt_vectors(
    session: Session, space_id: int, space: EmbeddingSpace, vectors: Mapping[int, Vector]
) -> int:
    """Write vectors of texts that have none yet and return how many were written.

    Args:
        session: a transaction; lock the content first where it holds that lock at all.
        space_id: the row of `space`.
        space: what the encoder computed in.
        vectors: (d,) float32 unit vectors by text id. A text deleted meanwhile is left deleted.

    Raises:
        InvalidInput: a vector is not of the space's dimension, not finite or not of unit norm.
    """
    written = []
    for text_id in sorted(lock_texts(session, list(vectors))):
        vector = vectors[text_id]
        if vector.shape != (space.dimension,):
            raise InvalidInput(
                f"A vector of {space.name} has {space.dimension} numbers, not {vector.shape}."
            )
        known = select(TextEmbedding.id).where(
            TextEmbedding.text_id == text_id, TextEmbedding.space_id == space_id
        )
        if session.execute(known).first() is not None:
            continue
        blob, crc32 = to_blob(vector)
        session.add(TextEmbedding(space_id=space_id, text_id=text_id, vector=blob, crc32=crc32))
        written.append(text_id)
    session.flush()
    changes.touch_texts(session, written)
    return len(written)


def has_vector(space_id: int | ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition on `text_contents` that a text is embedded in a space: a number, or SQL."""
    return exists(
        select(TextEmbedding.id).where(
            TextEmbedding.text_id == TextContent.id,
            TextEmbedding.space_id == space_id,
            TextEmbedding.is_deleted == false(),
        )
    )
