"""One received picture taken in, from staged bytes to its queued jobs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from sqlalchemy.orm import Session

from mirada.captions.wording import recipe_in_force
from mirada.captions.writing import CAPTION_IMAGE
from mirada.db import changes, spaces
from mirada.db.deadlocks import ATTEMPTS, may_run_again, pause
from mirada.db.idempotency import UNKEYED, Once, checked_key, once
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.kernel.errors import (
    CorruptImage,
    DatabaseBusy,
    MiradaError,
    Unavailable,
    UnsupportedImage,
)
from mirada.kernel.images import PictureFacts, RgbImage
from mirada.kernel.picture_formats import MEDIA_TYPE_ALIASES, ImageFormat
from mirada.kernel.user_text import checked_text
from mirada.metrics.instruments import counting_uploads
from mirada.pictures import quota
from mirada.pictures.new_image import FileClaims, NewImage, Processing
from mirada.pictures.register import (
    NewPicture,
    Registered,
    register_image,
    registered_key,
    storage_key,
)
from mirada.ports import ImageDecoder, StagedFile
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

UNDECLARED = frozenset({"", "application/octet-stream", "binary/octet-stream", "image/*", "*/*"})
"""Media types that claim nothing; clients send them when they do not know."""
Together = Callable[["Session", Registered], None]


@dataclass(frozen=True, slots=True)
class TakenIn:
    """The outcome of taking a picture in.

    Attributes:
        image_id: the caller's image.
        job_id: the job that will embed it; None when nothing is to be done.
        is_new_content: these bytes were not known before.
        was_replayed: the image an earlier request with the same Idempotency-Key made, or `was_there`.
        was_there: the owner had an image of these bytes, and asked for it rather than for another.
        change_seq: the change number of this upload; None when an earlier request made it, or when
            the database was lost in the middle of its commit.
    """

    image_id: int
    job_id: int | None
    is_new_content: bool
    was_replayed: bool
    change_seq: int | None
    was_there: bool = False


@counting_uploads
def take_in(
    runtime: Runtime,
    staged: StagedFile,
    image: NewImage,
    claims: FileClaims,
    *,
    request_id: str | None = None,
    idempotency_key: str | None = None,
    together_with: Together | None = None,
) -> TakenIn:
    """Check, store and register a picture, commit, and ring for its embedding.

    Effects in this order: file, database, doorbell. Whatever is refused leaves nothing behind. The
    staged file is discarded or committed in every case. `together_with` does more in the transaction
    that registers the picture: what it raises takes the picture back.

    Raises:
        UnsupportedImage, CorruptImage, ImageTooLarge: the picture is refused.
        InvalidInput: a text is too long, or the Idempotency-Key belongs to another request.
        QuotaReached: the owner keeps as much as they may.
        Conflict: the Idempotency-Key's image was deleted since.
        StorageFull, Unavailable: not now. Sending the same request with the same Idempotency-Key
            again is safe, also when the database was lost in the middle of its commit.
    """
    try:
        # What can be refused without looking at the picture is refused before it is decoded.
        if idempotency_key is not None:
            checked_key(idempotency_key)
        checked_text("prompt", image.texts.prompt)
        checked_text("caption", image.texts.caption)
        picture = keep(runtime, staged, claims)
    finally:
        staged.discard()
    registered, change_seq = _register(
        runtime,
        picture,
        image,
        request_id=request_id,
        request=_claim(idempotency_key, picture, image, claims),
        together_with=together_with,
    )
    if not registered.is_new_content:
        drop(runtime, picture)
    _ring(runtime, registered)
    return TakenIn(
        image_id=registered.image.id,
        job_id=registered.job_id,
        is_new_content=registered.is_new_content,
        was_replayed=registered.was_replayed,
        change_seq=change_seq,
        was_there=registered.was_there,
    )


def _ring(runtime: Runtime, registered: Registered) -> None:
    if registered.job_id is not None:
        runtime.doorbell.ring(registered.job_id, CREATE_EMBEDDINGS)
    if registered.caption_job_id is not None:
        runtime.doorbell.ring(registered.caption_job_id, CAPTION_IMAGE)


def _claim(key: str | None, picture: NewPicture, image: NewImage, claims: FileClaims) -> Once:
    if key is None:
        return UNKEYED
    # Only what was asked for, never what was found. A field with its default is left out where
    # requests of earlier versions did not have it: their keys must go on matching.
    asked: dict[str, object] = asdict(image.texts) | {"is_public": image.is_public}
    if not claims.read_metadata:
        asked["read_metadata"] = False
    if not image.auto_caption:
        asked["auto_caption"] = False
    if image.asset_id is not None:
        asked["asset_id"] = image.asset_id
    if image.is_once_per_owner:
        asked["is_once_per_owner"] = True
    if image.tags:
        asked["tags"] = image.tags
    return once(image.owner_id, key, picture.sha256, asked)


def keep(runtime: Runtime, staged: StagedFile, claims: FileClaims) -> NewPicture:
    """Check staged bytes and make them durable in the store under a key of their own.

    Raises:
        UnsupportedImage, CorruptImage, ImageTooLarge, StorageFull, Unavailable: nothing was kept.
    """
    picture = look(runtime, staged, claims)
    try:
        runtime.image_store.commit(staged, picture.storage_key)
    except BaseException:
        runtime.handed.drop(picture.storage_key)
        raise
    return picture


def look(runtime: Runtime, staged: StagedFile, claims: FileClaims) -> NewPicture:
    """Check staged bytes and give them a key; `keep` also makes them durable under it.

    Raises:
        UnsupportedImage, CorruptImage, ImageTooLarge, Unavailable: the picture is refused, or not now.
    """
    # One decoding is the check here, and the encoder's pixels in a worker.
    side_px = runtime.handed.wanted_side_px() if runtime.settings.embeddings_enabled else None
    facts, seen = _received(staged, claims.media_type, runtime.decoder, side_px)
    if claims.made_by is not None or not claims.read_metadata:
        facts = replace(facts, file_metadata=claims.made_by)
    key = storage_key(staged.sha256, facts.format)
    if side_px is not None and seen is not None:
        runtime.handed.put(key, side_px, seen)
    return NewPicture(staged.sha256, staged.byte_size, facts, key)


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
    return _received(staged, declared_media_type, decoder, None)[0]


def _received(
    staged: StagedFile, declared_media_type: str | None, decoder: ImageDecoder, side_px: int | None
) -> tuple[PictureFacts, RgbImage | None]:
    """Do what `receive` does, and return the pixels as well where `side_px` says for which encoder."""
    if staged.byte_size == 0:
        raise CorruptImage("The file is empty.")
    if side_px is None:
        facts, seen = decoder.inspect(staged.path), None
    else:
        facts, seen = decoder.inspect_and_decode(staged.path, side_px)
    require_declared_type(declared_media_type, facts.format)
    return facts, seen


def require_declared_type(declared_media_type: str | None, fmt: ImageFormat) -> None:
    """Raise UnsupportedImage when a client claimed another type than the picture really is."""
    declared = (declared_media_type or "").partition(";")[0].strip().lower()
    declared = MEDIA_TYPE_ALIASES.get(declared, declared)
    if declared not in UNDECLARED and declared != fmt.media_type:
        raise UnsupportedImage(
            f"The file was sent as {declared[:100]} but holds {fmt.value}. "
            f"Send it as {fmt.media_type}."
        )


def drop(runtime: Runtime, picture: NewPicture) -> None:
    """Remove a file that no row points at; a failure leaves an orphan and is only logged."""
    runtime.handed.drop(picture.storage_key)
    try:
        runtime.image_store.delete(picture.storage_key)
    except MiradaError as error:
        logger.warning("An unused picture file stays behind: %s", error)


def _register(
    runtime: Runtime,
    picture: NewPicture,
    image: NewImage,
    *,
    request_id: str | None,
    request: Once,
    together_with: Together | None,
) -> tuple[Registered, int | None]:
    """Register in a transaction of its own; return the outcome and its change number.

    A deadlock undid all of it, so it is tried again. Any other error that comes before the COMMIT was
    sent takes the file away again, for no row can point at it. One that comes later may hide a COMMIT
    that is still on its way through the server: unless it is seen to have happened the file stays, an
    orphan at worst, and nothing is tried a second time.
    """
    for attempts_left in reversed(range(ATTEMPTS)):
        registered: Registered | None = None
        began = time.monotonic()
        try:
            with runtime.transaction() as session:
                processing = Processing(
                    spaces.pinned_space_id(session),
                    embeds=runtime.settings.embeddings_enabled,
                    captions=recipe_in_force(runtime.settings) is not None,
                    request_id=request_id,
                    quota=quota.of_everybody(runtime.settings),
                )
                found = register_image(session, picture, image, processing, request=request)
                if together_with is not None:
                    together_with(session, found)
                registered = found
            return registered, changes.committed_seq(session)
        except BaseException as error:
            if attempts_left > 0 and may_run_again(error, began):
                pause()
                continue
            if registered is None or isinstance(error, DatabaseBusy):
                drop(runtime, picture)
            elif isinstance(error, Unavailable) and was_committed(runtime, registered):
                return registered, None
            raise
    raise AssertionError("unreachable")


def was_committed(runtime: Runtime, registered: Registered) -> bool:
    """Return whether a registration whose commit failed is in the database after all.

    Killing MariaDB under load gave 9 commits that raised, of which 8 had happened.
    """
    try:
        with runtime.reading() as session:
            key = registered_key(session, registered.image.id)
    except Unavailable:
        return False
    return key == registered.image.content.storage_key
