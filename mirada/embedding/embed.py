"""Give a content its vector and its images their status; the encoder runs between two transactions.

Whoever changes the status of a content's images, or its vectors, holds the lock on the content's row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, false, select, update
from sqlalchemy.orm import Session

from mirada.db import changes, image_labels
from mirada.db.models import Content, Embedding, Image
from mirada.db.session import count_changed
from mirada.embedding import texts as prompts
from mirada.embedding.looks import Look
from mirada.kernel.embeddings import EmbeddingSpace, Vector, to_blob
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus

UNFINISHED = (ImageStatus.PENDING, ImageStatus.PROCESSING)
MAX_FAILURE_CHARS = 2_000


# Built once: putting a statement together takes SQLAlchemy longer than SQLite takes to run it, and
# these run for every picture.
_LOCK = (
    select(Content.storage_key, Content.palette, Content.placeholder)
    .where(Content.id == bindparam("content"))
    .with_for_update()
)
_JUDGE_AGAIN = (
    update(Content.__table__)  # type: ignore[arg-type]
    .where(Content.__table__.c.id == bindparam("content"))
    .values(judged_at=None)
)
_VECTOR_ID = select(Embedding.id).where(
    Embedding.space_id == bindparam("space"),
    Embedding.content_id == bindparam("content"),
    Embedding.is_deleted == false(),
)
_TEXT_IDS = select(Image.prompt_text_id, Image.caption_text_id, Image.description_text_id).where(
    Image.content_id == bindparam("content")
)
# The version is the owner's: a status that changes by itself must not void the ETag they hold.
_SET_STATUS = (
    update(Image.__table__)  # type: ignore[arg-type]
    .where(
        Image.__table__.c.content_id == bindparam("content"),
        Image.__table__.c.status.in_(bindparam("only", expanding=True)),
    )
    .values(status=bindparam("new_status"), failure=bindparam("new_failure"))
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A content to be embedded, and the prompts of its images.

    Attributes:
        content_id: whose picture it is.
        storage_key: of its bytes in the image store; None when nothing has to be read from them.
        prompts: texts without a vector, by their ids.
        has_vector: whether the picture lacks its look alone.
        has_due_prompts: whether an image does not show its prompt's vector yet; there may be one.
    """

    content_id: int
    storage_key: str | None
    prompts: dict[int, str]
    has_vector: bool = False
    has_due_prompts: bool = False


def begin_embedding(
    session: Session,
    content_id: int,
    space_id: int,
    *,
    prompt_space_id: int | None = None,
    replace: bool = False,
) -> Subject | None:
    """Mark the content's images PROCESSING and return what to embed; None if nothing is to be done.

    None means that there is nothing to embed: the content was deleted, its bytes are not kept, or
    nothing is missing. In the last case the vectors of it and its prompts are shown by its images,
    which become READY, and it has its look.

    Args:
        session: the transaction.
        content_id: whose picture it is.
        space_id: the image space.
        prompt_space_id: the prompt space; None when none is pinned yet.
        replace: compute the picture's vector again although it exists.
    """
    locked = session.execute(_LOCK, {"content": content_id}).one_or_none()
    if locked is None or not locked.storage_key:
        return None
    has_vector = not replace and _vector_id(session, content_id, space_id) is not None
    texts = prompts.without_vector(session, content_id, prompt_space_id)
    is_due = prompts.are_due(session, content_id)
    # Its look too: or an image of bytes that came before there were looks would tell that they had.
    has_look = locked.palette is not None and locked.placeholder is not None
    is_read = has_vector and has_look
    if is_read and not texts and not is_due:
        _make_ready(session, content_id)
        return None
    _set_status(session, content_id, ImageStatus.PROCESSING, only=UNFINISHED)
    storage_key = None if is_read else locked.storage_key
    return Subject(content_id, storage_key, texts, has_vector, is_due)


def store_vectors(
    session: Session,
    subject: Subject,
    *,
    image: tuple[int, EmbeddingSpace, Vector] | None,
    prompt_space: tuple[int, EmbeddingSpace] | None,
    prompt_vectors: Mapping[int, Vector],
    look: Look | None = None,
    replace: bool = False,
) -> bool:
    """Write what was computed of a subject and return whether nothing of it is missing any more.

    Something is when an image with another prompt came in meanwhile: whoever embedded this goes on
    with that, for nobody else will. Only once nothing is do the images show their prompts' vectors.

    Args:
        session: the transaction; it may also finish the job.
        subject: from `begin_embedding`.
        image: the image space's row and value and the picture's (d,) vector; None for none.
        prompt_space: the prompt space's row and value; None where no prompt was to be embedded or
            shown, or none could be.
        prompt_vectors: (d,) vectors by text id.
        look: how the picture looks; None where it was not decoded.
        replace: write over a vector of the picture that exists.

    Raises:
        InvalidInput: a vector is not of its space's dimension, not finite or not of unit norm.
    """
    if session.execute(_LOCK, {"content": subject.content_id}).first() is None:
        return True
    if image is not None:
        space_id, space, vector = image
        store_embedding(session, subject.content_id, space_id, space, vector, replace=replace)
    else:
        _make_ready(session, subject.content_id)
    if look is not None:
        keep_look(session, subject.content_id, look)
    prompt_space_id = None if prompt_space is None else prompt_space[0]
    lacking = prompts.without_vector(session, subject.content_id, prompt_space_id)
    is_due = prompts.are_due(session, subject.content_id)
    # A prompt whose vector was there before waits for the text model like any other.
    is_complete = lacking.keys() <= prompt_vectors.keys() and not (is_due and prompt_space is None)
    if is_complete and is_due:
        # Before the texts are locked: images come first.
        prompts.show_vectors(session, subject.content_id)
    if prompt_space is not None and prompt_vectors:
        prompts.store_prompt_vectors(session, *prompt_space, prompt_vectors)
    return is_complete


def keep_look(session: Session, content_id: int, look: Look) -> None:
    """Write how a content's picture looks. Its images keep their versions."""
    session.execute(update(Content).where(Content.id == content_id).values(**look.columns()))
    # Filters look at the colour.
    changes.note(session)


def store_embedding(
    session: Session,
    content_id: int,
    space_id: int,
    space: EmbeddingSpace,
    vector: Vector,
    *,
    replace: bool = False,
) -> bool:
    """Write the content's vector and make its images READY; running it twice changes nothing.

    Args:
        session: the transaction; it may also finish the job.
        content_id: whose picture it is. A content deleted meanwhile is left deleted.
        space_id: the row of `space`.
        space: what the encoder computed in.
        vector: (d,) float32, unit norm.
        replace: write over a vector that exists.

    Returns:
        Whether a vector was written.

    Raises:
        InvalidInput: the vector is not of the space's dimension, not finite or not of unit norm.
    """
    if vector.shape != (space.dimension,):
        raise InvalidInput(
            f"A vector of {space.name} has {space.dimension} numbers, not {vector.shape}."
        )
    blob, crc32 = to_blob(vector)
    if session.execute(_LOCK, {"content": content_id}).first() is None:
        return False
    existing = _vector_id(session, content_id, space_id)
    is_written = existing is None or replace
    if existing is None:
        session.add(Embedding(space_id=space_id, content_id=content_id, vector=blob, crc32=crc32))
        session.flush()
    elif replace:
        row = session.get_one(Embedding, existing)
        row.vector, row.crc32 = blob, crc32
        session.execute(_JUDGE_AGAIN, {"content": content_id})
        image_labels.forget(session, [content_id], space_id)
        session.flush()
    _make_ready(session, content_id)
    if is_written:
        changes.touch(session, [content_id])
    return is_written


def is_stored(session: Session, content_id: int, storage_key: str) -> bool:
    """Return whether a content still has its bytes under that key."""
    query = select(Content.id).where(Content.id == content_id, Content.storage_key == storage_key)
    return session.execute(query).first() is not None


def fail_images(session: Session, content_id: int, reason: str) -> None:
    """Make the content's images that still wait FAILED, with the reason. Lock the content first."""
    _set_status(
        session,
        content_id,
        ImageStatus.FAILED,
        only=UNFINISHED,
        failure=reason[:MAX_FAILURE_CHARS],
    )


def fail_images_of(session: Session, content_id: int, owner_id: int | None, reason: str) -> None:
    """Make one owner's images of the content that still wait FAILED. Lock the content first.

    What others uploaded waits for jobs of their own. Without an owner nothing changes.
    """
    values = {
        "content": content_id,
        "only": list(UNFINISHED),
        "new_status": ImageStatus.FAILED,
        "new_failure": reason[:MAX_FAILURE_CHARS],
    }
    count_changed(session, _SET_STATUS.where(Image.__table__.c.owner_id == owner_id), values)


def await_images(session: Session, content_id: int, *, only_failed: bool = False) -> None:
    """Make the content's FAILED images PENDING, because they are tried again. Lock it first.

    Images that an attempt left PROCESSING go with them, unless `only_failed`: it may be running.
    """
    waiting = (ImageStatus.FAILED,) if only_failed else (ImageStatus.FAILED, ImageStatus.PROCESSING)
    _set_status(session, content_id, ImageStatus.PENDING, only=waiting)


def _make_ready(session: Session, content_id: int) -> None:
    # Indexes count an image from here on, so it is a change whether or not a vector was written.
    if _set_status(session, content_id, ImageStatus.READY):
        changes.touch(session, [content_id])
        for text_ids in session.execute(_TEXT_IDS, {"content": content_id}):
            changes.touch_texts(session, text_ids)


def _vector_id(session: Session, content_id: int, space_id: int) -> int | None:
    found = session.execute(_VECTOR_ID, {"content": content_id, "space": space_id})
    return found.scalar_one_or_none()


def _set_status(
    session: Session,
    content_id: int,
    status: ImageStatus,
    *,
    only: Collection[ImageStatus] = tuple(ImageStatus),
    failure: str | None = None,
) -> bool:
    """Return whether any image had another status."""
    values = {
        "content": content_id,
        "only": [old for old in only if old is not status],
        "new_status": status,
        "new_failure": failure,
    }
    return count_changed(session, _SET_STATUS, values) > 0
