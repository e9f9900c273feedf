"""The texts of images: their rows, locked, for prompts, captions and descriptions. Lock the content first."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.chunks import rows_in
from mirada.db.inserts import insert_unless_there
from mirada.db.memory_models import TextContent, TextEmbedding
from mirada.db.models import Image, utc_now
from mirada.kernel.captions import CaptionSource
from mirada.kernel.errors import Unavailable
from mirada.kernel.prompts import normalised_prompt, prompt_digest

ATTEMPTS = 3
"""A text can only vanish between insert and lock when its last image lets go of it that very moment."""


def set_prompt(session: Session, image: Image, prompt: str | None) -> int | None:
    """Give an image its prompt and the text that goes with it.

    Nothing of the image is flushed here, so that one change of it stays one version. A new text is due:
    the caller has it embedded by a job of this owner's, whether or not it has a vector.

    Args:
        session: a transaction that holds the lock of the image's content.
        image: with no other change that waits to be flushed.
        prompt: checked text, not blank; None for none.

    Returns:
        The text to release by `release_text` after the image was flushed; None for none.
    """
    return _set_text(session, image, "prompt", prompt)


def set_caption(session: Session, image: Image, caption: str | None) -> list[int | None]:
    """Give an image a caption that a person wrote, and its text; as `set_prompt` does a prompt.

    A model's description stays beside it. None takes caption and description away for good: no model
    writes another.

    Returns:
        The texts to release by `release_text` after the image was flushed.
    """
    to_release = [_set_text(session, image, "caption", caption)]
    image.caption_source = None if caption is None else CaptionSource.PERSON
    image.caption_model = image.caption_language = image.caption_prompt_version = None
    if caption is None:
        image.auto_caption = False
        to_release.append(_set_text(session, image, "description", None))
        image.description_model = image.description_language = None
        image.description_prompt_version = None
    return to_release


def set_models_caption(session: Session, image: Image) -> int | None:
    """Let a model's description be the caption again, where there is one; as before a person wrote one.

    Returns:
        The text to release by `release_text` after the image was flushed; None for none.
    """
    left = _set_text(session, image, "caption", image.description)
    has_none = image.description is None
    image.caption_source = None if has_none else CaptionSource.MODEL
    image.caption_model = image.description_model
    image.caption_language = image.description_language
    image.caption_prompt_version = image.description_prompt_version
    if not has_none and image.caption_text_id == image.description_text_id:
        image.caption_is_due = image.description_is_due
    return left


def _set_text(
    session: Session,
    image: Image,
    column: Literal["prompt", "caption", "description"],
    text: str | None,
) -> int | None:
    old_id: int | None = getattr(image, f"{column}_text_id")
    # The locks come first: they would flush what is changed.
    new_id = None if text is None else locked_text_id(session, normalised_prompt(text), old_id)
    setattr(image, column, text)
    if new_id == old_id:
        return None
    setattr(image, f"{column}_text_id", new_id)
    setattr(image, f"{column}_is_due", new_id is not None)
    changes.touch_texts(session, [old_id, new_id])
    return old_id


def release_text(session: Session, text_id: int | None) -> None:
    """Delete a text that no image names any more, its vectors becoming tombstones.

    The caller has flushed what made the image let go and notes the change by `touch_texts`.
    """
    if text_id is None:
        return
    lock_texts(session, [text_id])
    named = (Image.prompt_text_id, Image.caption_text_id, Image.description_text_id)
    for column in named:
        if session.execute(select(Image.id).where(column == text_id).limit(1)).first() is not None:
            return
    session.execute(
        update(TextEmbedding)
        .where(TextEmbedding.text_id == text_id)
        .values(is_deleted=True, vector=b"", crc32=0)
        .execution_options(synchronize_session=False)
    )
    session.execute(delete(TextContent).where(TextContent.id == text_id))


def lock_texts(session: Session, text_ids: Collection[int]) -> set[int]:
    """Lock these texts' rows, lowest id first, and return the ids of those that are there."""
    rows = select(TextContent.id).with_for_update()
    return {
        text_id
        for text_id in sorted(text_ids)
        if session.execute(rows.where(TextContent.id == text_id)).first() is not None
    }


def lock_texts_of(
    session: Session, bodies: Collection[str], beside: Collection[int | None] = ()
) -> dict[str, int]:
    """Return the ids of normalised texts, inserted unless they are there, their rows locked in one order.

    A transaction that uses several texts calls it first, so that two transactions never wait for each
    other in a circle. `beside` has the ids of further texts to lock.
    """
    by_digest = {prompt_digest(body): body for body in bodies}
    query = select(TextContent.sha256, TextContent.id)
    known = {row.sha256: row.id for row in rows_in(session, query, TextContent.sha256, by_digest)}
    others = (text_id for text_id in beside if text_id is not None)
    there = lock_texts(session, {*known.values(), *others})
    # New ones behind them: their ids are the highest.
    ids = {}
    for digest, body in sorted(by_digest.items()):
        if known.get(digest) in there:
            ids[body] = known[digest]
        else:
            _insert(session, digest, body)
            ids[body] = _locked(session, digest, body)
    return ids


def locked_text_id(session: Session, body: str, *beside: int | None) -> int:
    """Return the id of a normalised text, inserted unless it is there, its row locked.

    Args:
        session: a transaction.
        body: as `normalised_prompt` returns it.
        *beside: other texts whose rows are to be locked as well; None is none.
    """
    return _locked(session, prompt_digest(body), body, *beside)


def _locked(session: Session, sha256: str, body: str, *beside: int | None) -> int:
    known = select(TextContent.id).where(TextContent.sha256 == sha256)
    for _ in range(ATTEMPTS):
        # Two prompts that are exchanged for one another lock the same rows in the same order: those
        # that exist by their id, and a new one, whose id is the highest, after them.
        text_id = session.execute(known).scalar_one_or_none()
        wanted = {other for other in (text_id, *beside) if other is not None}
        if text_id in lock_texts(session, wanted):
            assert text_id is not None
            return text_id
        _insert(session, sha256, body)
    raise Unavailable("This text is being written and deleted at once; try again shortly.")


def _insert(session: Session, sha256: str, body: str) -> None:
    values = {"sha256": sha256, "body": body, "created_at": utc_now()}
    session.execute(insert_unless_there(session, TextContent, values))
