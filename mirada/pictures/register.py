"""Take a picture in: check its bytes, then write content, image and job in one transaction."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from mirada.captions.writing import request_caption
from mirada.db import changes, idempotency
from mirada.db.contents import lock_or_insert_content
from mirada.db.models import Content, Embedding, Image, User, utc_now
from mirada.db.texts import lock_texts_of, locked_text_id
from mirada.db.visibility import may_see_content
from mirada.jobs import ledger
from mirada.kernel.captions import CaptionSource
from mirada.kernel.errors import Conflict, CorruptImage, UnsupportedImage
from mirada.kernel.images import MEDIA_TYPE_ALIASES, ImageFormat, ImageStatus, PictureFacts
from mirada.kernel.prompts import normalised_prompt
from mirada.kernel.user_text import checked_text, clean_filename
from mirada.ports import ImageDecoder, StagedFile

JOB_KIND = ledger.CREATE_EMBEDDINGS
UNDECLARED = frozenset({"", "application/octet-stream", "binary/octet-stream", "image/*", "*/*"})
"""Media types that claim nothing; clients send them when they do not know."""


@dataclass(frozen=True, slots=True)
class NewPicture:
    """Checked bytes that lie in the store under a key of their own."""

    sha256: str
    byte_size: int
    facts: PictureFacts
    storage_key: str


@dataclass(frozen=True, slots=True)
class Registered:
    """What registering a picture came to.

    Attributes:
        image: the caller's image, content and owner loaded.
        job_id: the job to ring after the commit; None when nothing is to be done.
        is_new_content: the store's file of this picture is in use. When false, it is the caller's
            to remove: the same bytes are kept under another key already.
        caption_job_id: the job that writes or embeds its caption, to ring as well; None for none.
        was_replayed: an earlier request's image is returned; nothing was written.
    """

    image: Image
    job_id: int | None
    is_new_content: bool
    caption_job_id: int | None = None
    was_replayed: bool = False


def storage_key(sha256: str, fmt: ImageFormat) -> str:
    """Return a new key "ab/cd/<sha256>-<8 hex>.<ext>".

    The random part keeps a deletion from ever removing the file of a later upload of the same bytes.
    """
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}-{secrets.token_hex(4)}.{fmt.extension}"


def receive(
    staged: StagedFile, declared_media_type: str | None, decoder: ImageDecoder
) -> PictureFacts:
    """Check received bytes outside any transaction: a picture, of the declared type, decodable.

    Args:
        staged: the file, completely written and flushed.
        declared_media_type: as the client sent it, parameters and all; None for no claim.
        decoder: decodes every pixel once.

    Raises:
        UnsupportedImage, CorruptImage, ImageTooLarge, Unavailable: as `ImageDecoder.inspect` does;
            UnsupportedImage also when the type is not the declared one.
    """
    if staged.byte_size == 0:
        raise CorruptImage("The file is empty.")
    facts = decoder.inspect(staged.path)
    require_declared_type(declared_media_type, facts.format)
    return facts


def require_declared_type(declared_media_type: str | None, fmt: ImageFormat) -> None:
    """Raise UnsupportedImage when a client claimed another type than the picture really is."""
    declared = (declared_media_type or "").partition(";")[0].strip().lower()
    declared = MEDIA_TYPE_ALIASES.get(declared, declared)
    if declared not in UNDECLARED and declared != fmt.media_type:
        raise UnsupportedImage(
            f"The file was sent as {declared[:100]} but it is a {fmt.value} picture. "
            f"Send it as {fmt.media_type}."
        )


def register_image(
    session: Session,
    picture: NewPicture,
    *,
    owner_id: int,
    space_id: int | None,
    filename: str | None = None,
    prompt: str | None = None,
    caption: str | None = None,
    is_public: bool = False,
    auto_caption: bool = True,
    captions_enabled: bool = False,
    embeddings_enabled: bool = True,
    request_id: str | None = None,
    idempotency_key: str | None = None,
    fingerprint: str | None = None,
    is_once_per_owner: bool = False,
) -> Registered:
    """Write the content unless its bytes are known, the image, and the job that embeds it.

    The content's row stays locked until the commit, so two uploads of the same bytes, a worker that
    finishes them and a deletion take turns: no image is left waiting for work that is already over.

    Args:
        session: a transaction; the file was committed to the store before it began.
        picture: what was received; what a generator wrote into it is kept with the image.
        owner_id: whose image it becomes.
        space_id: the pinned image space, None before there is one.
        filename: as the client named it; only ever displayed.
        prompt: what the picture was made from, at most MAX_TEXT_CHARS; a blank one is filled from
            the file.
        caption: what it shows, at most MAX_TEXT_CHARS.
        is_public: anyone may see it.
        auto_caption: whether the owner lets a model write a caption that is missing.
        captions_enabled: whether there is one to do so.
        embeddings_enabled: false queues nothing; a later backfill finds the image.
        request_id: follows the work into the worker's log.
        idempotency_key: the request's, together with its `fingerprint`.
        fingerprint: `idempotency.fingerprint_of` the request.
        is_once_per_owner: return the owner's image of these bytes when there is one.

    Raises:
        InvalidInput: a text is too long, or the key belongs to another request.
        Conflict: the key's image has been deleted since, or its first request is still under way.
    """
    prompt, caption = checked_text("prompt", prompt), checked_text("caption", caption)
    generation = picture.facts.file_metadata
    if prompt is None and generation is not None:
        prompt = generation.prompt
    owner = session.get_one(User, owner_id)
    content = locked_content(session, picture)
    is_new = is_inserted = content.storage_key == picture.storage_key
    # The lock is held before the look: a twin of this request has either committed or waits for us.
    earlier = _earlier_image_id(
        session, content, owner_id, idempotency_key, fingerprint, is_once_per_owner
    )
    if earlier is not None:
        return Registered(_replayed(session, earlier, owner_id), None, is_new, was_replayed=True)
    if not content.storage_key:
        # Somebody had these bytes classified, and nobody kept them until now.
        content.storage_key = picture.storage_key
        is_new = True
    # Judged before the image is added. That somebody else has a picture, or once wrote a prompt, is
    # theirs to know: whoever cannot see it waits for a job like anybody with new bytes.
    is_ready = (
        prompt is None
        and _knows(session, content.id, owner_id)
        and _has_vector(session, content.id, space_id)
    )
    if prompt is not None and caption is not None:
        lock_texts_of(session, [normalised_prompt(prompt), normalised_prompt(caption)])
    text_id, caption_text_id = (
        None if text is None else locked_text_id(session, normalised_prompt(text))
        for text in (prompt, caption)
    )
    changes.touch_texts(session, [text_id, caption_text_id])
    image = Image(
        owner=owner,
        content=content,
        filename=clean_filename(filename),
        prompt=prompt,
        prompt_text_id=text_id,
        prompt_is_due=text_id is not None,
        generation=None if generation is None else generation.to_json(),
        caption=caption,
        caption_text_id=caption_text_id,
        caption_is_due=caption_text_id is not None,
        caption_source=None if caption is None else CaptionSource.PERSON,
        auto_caption=auto_caption,
        is_public=is_public,
        status=ImageStatus.READY if is_ready else ImageStatus.PENDING,
    )
    session.add(image)
    session.flush()
    if idempotency_key is not None and fingerprint is not None:
        twin = idempotency.remember(session, owner_id, idempotency_key, fingerprint, image.id)
        if twin is not None:
            raise Conflict("A request with this Idempotency-Key is being answered; ask again.")
    # Who may see it has changed, if a vector is there. New bytes have none, but a number that only
    # known bytes take would tell them apart.
    changes.touch(session, [content.id])
    job_id = caption_job_id = None
    if not is_ready and embeddings_enabled:
        job_id = ledger.enqueue(
            session,
            ledger.CREATE_EMBEDDINGS,
            subject_id=content.id,
            space_id=space_id,
            owner_id=owner_id,
            request_id=request_id,
        ).id
    if embeddings_enabled if caption is not None else captions_enabled and auto_caption:
        caption_job_id = request_caption(
            session, content.id, owner_id, request_id, is_first=is_inserted
        ).id
    return Registered(image, job_id, is_new, caption_job_id)


def locked_content(session: Session, picture: NewPicture) -> Content:
    """Return the content of a received picture, inserted unless its bytes are known, locked."""
    return lock_or_insert_content(
        session,
        picture.sha256,
        storage_key=picture.storage_key,
        byte_size=picture.byte_size,
        format=picture.facts.format.value,
        width=picture.facts.width,
        height=picture.facts.height,
        is_animated=picture.facts.frame_count > 1,
        created_at=utc_now(),
    )


def registered_key(session: Session, image_id: int) -> str | None:
    """Return the storage key behind an image, None when there is no such image.

    For a caller whose commit failed with the connection: this tells whether it had happened.
    """
    return session.execute(
        select(Content.storage_key)
        .join(Image, Image.content_id == Content.id)
        .where(Image.id == image_id)
    ).scalar_one_or_none()


def _earlier_image_id(
    session: Session,
    content: Content,
    owner_id: int,
    key: str | None,
    fingerprint: str | None,
    is_once_per_owner: bool,
) -> int | None:
    if key is not None and fingerprint is not None:
        idempotency.checked_key(key)
        replayed = idempotency.find_replay(session, owner_id, key, fingerprint)
        if replayed is not None:
            return replayed
    if not is_once_per_owner:
        return None
    return session.execute(
        select(Image.id)
        .where(Image.owner_id == owner_id, Image.content_id == content.id)
        .order_by(Image.id)
        .limit(1)
    ).scalar_one_or_none()


def _replayed(session: Session, image_id: int, owner_id: int) -> Image:
    image = session.execute(
        select(Image)
        .where(Image.id == image_id, Image.owner_id == owner_id)
        .options(joinedload(Image.content), joinedload(Image.owner))
    ).scalar_one_or_none()
    if image is None:
        # Raising also takes back a content row that was inserted for this request.
        raise Conflict(
            "The image made with this Idempotency-Key has been deleted since. "
            "Send a new key to upload it again."
        )
    return image


def _knows(session: Session, content_id: int, owner_id: int) -> bool:
    known = select(Content.id).where(
        Content.id == content_id, may_see_content(owner_id, Content.id)
    )
    return session.execute(known).first() is not None


def _has_vector(session: Session, content_id: int, space_id: int | None) -> bool:
    if space_id is None:
        return False
    found = session.execute(
        select(Embedding.id).where(
            Embedding.content_id == content_id,
            Embedding.space_id == space_id,
            Embedding.is_deleted.is_(False),
        )
    ).first()
    return found is not None
