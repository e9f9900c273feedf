"""Register a received picture: content, image and jobs in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import changes, image_labels, word_index
from mirada.db.contents import lock_or_insert_contents
from mirada.db.idempotency import UNKEYED, Once
from mirada.db.image_tags import as_owner_writes, write_new
from mirada.db.models import Content, Image, User, utc_now
from mirada.db.texts import lock_texts_of
from mirada.kernel.captions import CaptionSource
from mirada.kernel.errors import NotAllowed
from mirada.kernel.file_metadata import FileMetadata
from mirada.kernel.images import ImageFormat, ImageStatus, PictureFacts
from mirada.kernel.keywords import CUT_VERSION
from mirada.kernel.prompts import normalised_prompt
from mirada.kernel.user_text import checked_text, clean_filename
from mirada.pictures.earlier import image_id_of, replayed, shows_vector
from mirada.pictures.image_jobs import Jobs, first_jobs, queued_jobs
from mirada.pictures.new_image import NewImage, Processing, Texts
from mirada.pictures.quota import require_room


@dataclass(frozen=True, slots=True)
class NewPicture:
    """Checked bytes, and the key of their own under which the store has them; "" where it has not."""

    sha256: str
    byte_size: int
    facts: PictureFacts
    storage_key: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """The outcome of registering a picture.

    Attributes:
        image: the caller's image, content and owner loaded.
        job_id: the job to ring after the commit; None when nothing is to be done.
        is_new_content: the store's file of this picture is in use. When false, it is the caller's
            to remove: the same bytes are kept under another key already.
        caption_job_id: the job that writes or embeds its caption, to ring as well; None for none.
        was_replayed: an image that was there is returned; nothing was written.
        was_there: it is the owner's of the same bytes, and not that of an Idempotency-Key.
    """

    image: Image
    job_id: int | None
    is_new_content: bool
    caption_job_id: int | None = None
    was_replayed: bool = False
    was_there: bool = False


def storage_key(sha256: str, fmt: ImageFormat) -> str:
    """Return a new key "ab/cd/<sha256>-<8 hex>.<ext>".

    The random part keeps a deletion from ever removing the file of a later upload of the same bytes.
    """
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}-{secrets.token_hex(4)}.{fmt.extension}"


@dataclass(frozen=True, slots=True)
class Begun:
    """A picture between `begin_image` and `end_image`.

    Attributes:
        image: the new image, or the one that was there.
        is_new_content: see `Registered`.
        is_inserted: no row of before has these bytes.
        jobs: of new bytes: the one that embeds them and the one that captions them, where there are such.
        found: the outcome, where an image was there.
    """

    image: Image
    is_new_content: bool
    is_inserted: bool
    jobs: Jobs = (None, None)
    found: Registered | None = None


def register_image(
    session: Session,
    picture: NewPicture,
    image: NewImage,
    processing: Processing,
    *,
    request: Once = UNKEYED,
) -> Registered:
    """Write the content unless its bytes are known, the image, and the jobs that process it.

    The content's row stays locked until the commit, so two uploads of the same bytes, a worker that
    finishes them and a deletion take turns: no image is left waiting for work that is already over.

    Args:
        session: a transaction; the file was committed to the store before it began.
        picture: what was received; what a generator wrote into it is kept with the image.
        image: what it becomes.
        processing: what is done with it.
        request: claims its Idempotency-Key.

    Raises:
        InvalidInput: a text is too long, or the key belongs to another request.
        NotAllowed: the owner was ended meanwhile.
        QuotaReached: the owner keeps as much as they may.
        Conflict: the key's image has been deleted since, or its first request is still under way.
    """
    begun = begin_image(session, picture, image, processing, request=request)
    session.flush()
    return end_image(session, begun, processing, request=request)


def begin_image(
    session: Session,
    picture: NewPicture,
    image: NewImage,
    processing: Processing,
    *,
    request: Once = UNKEYED,
    content: Content | None = None,
) -> Begun:
    """Do what `register_image` does up to the rows, which the next flush inserts.

    The rows of several pictures go in one flush. Arguments are as there, but `content`: that is what
    `locked_contents` has returned in this transaction; None: it is locked now.

    Raises:
        InvalidInput, NotAllowed, Conflict: as there.
    """
    texts = _texts_to_store(image.texts, picture.facts.file_metadata)
    owner = _owner(session, image.owner_id)
    content = content or locked_content(session, picture)
    is_new = is_inserted = content.storage_key == picture.storage_key
    # The lock is held before the look: a twin of this request has either committed or waits for us.
    earlier_id = request.earlier(session)
    was_there = earlier_id is None and image.is_once_per_owner
    if was_there:
        earlier_id = image_id_of(session, content, owner.id)
    if earlier_id is not None:
        row = replayed(session, earlier_id, owner.id)
        found = Registered(row, None, is_new, was_replayed=True, was_there=was_there)
        return Begun(row, is_new, is_inserted, found=found)
    if not image.is_beyond_quota:
        require_room(session, owner, processing.quota, picture.byte_size)
    if not content.storage_key:
        # Somebody had these bytes classified, and nobody kept them until now.
        _complete(content, picture)
        is_new = True
    # Judged before the image is added. That somebody else has a picture, or once wrote a prompt, is
    # theirs to know: whoever cannot see it waits for a job like anybody with new bytes.
    may_show = not is_inserted and texts.prompt is None
    is_ready = may_show and shows_vector(session, content.id, owner.id, processing.space_id)
    row = _new_image(session, picture, image, texts, owner, content, is_ready=is_ready)
    if not is_inserted:
        # Who may see it has changed, if a vector is there.
        changes.touch(session, [content.id])
        return Begun(row, is_new, is_inserted)
    # New bytes have none, but a number that only known bytes take would tell them apart.
    changes.note(session)
    return Begun(row, is_new, is_inserted, jobs=first_jobs(session, row, processing))


def _complete(content: Content, picture: NewPicture) -> None:
    """Give a content its bytes, and what they are: an import of hashes and vectors knows none of it."""
    facts = picture.facts
    content.storage_key, content.byte_size = picture.storage_key, picture.byte_size
    content.format, content.is_animated = facts.format.value, facts.frame_count > 1
    content.width, content.height = facts.width, facts.height


def end_image(
    session: Session, begun: Begun, processing: Processing, *, request: Once = UNKEYED
) -> Registered:
    """Do the rest, once the rows were flushed; arguments and errors are those of `register_image`."""
    if begun.found is not None:
        return begun.found
    row = begun.image
    write_new(session, row)
    word_index.write_new(session, row)
    request.keep(session, row.id)
    if row.status == ImageStatus.READY:
        image_labels.copy_seen(session, row)
    embedding, caption = begun.jobs if begun.is_inserted else queued_jobs(session, row, processing)
    return Registered(
        row,
        None if embedding is None else embedding.id,
        begun.is_new_content,
        None if caption is None else caption.id,
    )


def _owner(session: Session, owner_id: int) -> User:
    owner = session.get_one(User, owner_id)
    if owner.ended_at is not None:
        raise NotAllowed("An administrator has ended this user.")
    return owner


def _texts_to_store(texts: Texts, metadata: FileMetadata | None) -> Texts:
    """Return the texts, blank ones as None, and the file's prompt in place of a blank one.

    Raises:
        InvalidInput: a text is too long or cannot be stored.
    """
    prompt, caption = checked_text("prompt", texts.prompt), checked_text("caption", texts.caption)
    if prompt is None and metadata is not None:
        prompt = metadata.prompt
    return Texts(clean_filename(texts.filename), prompt, caption)


def _new_image(
    session: Session,
    picture: NewPicture,
    image: NewImage,
    texts: Texts,
    owner: User,
    content: Content,
    *,
    is_ready: bool,
) -> Image:
    text_id, caption_text_id = _locked_text_ids(session, texts)
    changes.touch_texts(session, [text_id, caption_text_id])
    metadata = picture.facts.file_metadata
    row = Image(
        owner=owner,
        content=content,
        filename=texts.filename,
        asset_id=image.asset_id,
        prompt=texts.prompt,
        prompt_text_id=text_id,
        prompt_is_due=text_id is not None,
        generation=None if metadata is None else metadata.to_json(),
        caption=texts.caption,
        caption_text_id=caption_text_id,
        caption_is_due=caption_text_id is not None,
        caption_source=None if texts.caption is None else CaptionSource.PERSON,
        auto_caption=image.auto_caption,
        tags=as_owner_writes(session, owner.id, image.tags, owner.id) or None,
        words_version=CUT_VERSION,
        is_public=image.is_public,
        status=ImageStatus.READY if is_ready else ImageStatus.PENDING,
    )
    session.add(row)
    return row


def _locked_text_ids(session: Session, texts: Texts) -> list[int | None]:
    """Return the ids of the prompt's and the caption's text, inserted unless they are there."""
    written = [text and normalised_prompt(text) for text in (texts.prompt, texts.caption)]
    ids = lock_texts_of(session, [text for text in written if text is not None])
    return [None if text is None else ids[text] for text in written]


def locked_content(session: Session, picture: NewPicture) -> Content:
    """Return the content of a received picture, inserted unless its bytes are known, locked."""
    return locked_contents(session, [picture])[picture.sha256]


def locked_contents(session: Session, pictures: Iterable[NewPicture]) -> dict[str, Content]:
    """Return the contents of received pictures by hash, as `locked_content` does."""
    now = utc_now()
    wanted: dict[str, dict[str, Any]] = {}
    for picture in pictures:
        wanted[picture.sha256] = {
            "storage_key": picture.storage_key,
            "byte_size": picture.byte_size,
            "format": picture.facts.format.value,
            "width": picture.facts.width,
            "height": picture.facts.height,
            "is_animated": picture.facts.frame_count > 1,
            "created_at": now,
        }
    return lock_or_insert_contents(session, wanted)


def registered_key(session: Session, image_id: int) -> str | None:
    """Return the storage key behind an image, None when there is no such image.

    For a caller whose commit failed with the connection: this tells whether it had happened.
    """
    return session.execute(
        select(Content.storage_key)
        .join(Image, Image.content_id == Content.id)
        .where(Image.id == image_id)
    ).scalar_one_or_none()
