"""Read, list, change and delete images: what their owners and viewers do with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, or_, select, update
from sqlalchemy.orm import Session, joinedload

from mirada.db import audit, changes, word_index
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.contents import lock_content, release_content
from mirada.db.models import Image
from mirada.db.texts import lock_texts_of, release_text, set_caption, set_prompt
from mirada.db.visibility import may_change, may_see, may_take_back, visible_images
from mirada.kernel.audience import Audience
from mirada.kernel.audit import Action
from mirada.kernel.errors import InvalidInput, NotAllowed, NotFound, PreconditionFailed
from mirada.kernel.ids import in_range
from mirada.kernel.prompts import normalised_prompt
from mirada.kernel.user_text import checked_text, clean_filename
from mirada.pictures.showing import set_visibility, text_ids_of
from mirada.pictures.showing import touch_image as touch_image
from mirada.webhooks import telling

CHANGEABLE = frozenset({"prompt", "caption", "is_public", "filename", "reason"})
_IMAGES = Image.__table__
# The version and the time of a change are the owner's: what others do must not void the ETag they
# hold. `updated_at` is set to itself, because the column would otherwise take the clock.
_ADD_TO_COUNTS = (
    update(_IMAGES)  # type: ignore[arg-type]
    .where(_IMAGES.c.id == bindparam("image"))
    .values(
        like_count=_IMAGES.c.like_count + bindparam("likes"),
        comment_count=_IMAGES.c.comment_count + bindparam("comments"),
        updated_at=_IMAGES.c.updated_at,
    )
)


@dataclass(frozen=True, slots=True)
class SeenImage:
    """The fields of a visible image that likes and comments need."""

    id: int
    owner_id: int
    like_count: int
    comment_count: int


def get_image(session: Session, image_id: int, audience: Audience) -> Image:
    """Return an image with its content and owner loaded.

    Raises:
        NotFound: there is none, or the audience may not see it.
    """
    return _one(session, visible_images(audience), image_id)


def see_image(
    session: Session, image_id: int, audience: Audience, *, lock: bool = False
) -> SeenImage:
    """Return a few columns of an image that the viewer may see now.

    Args:
        session: any; a transaction to lock in.
        image_id: which image.
        audience: who asks.
        lock: keep the image as it is, visible and not deleted, until the transaction ends.

    Raises:
        NotFound: there is none, or the audience may not see it.
    """
    query = select(Image.id, Image.owner_id, Image.like_count, Image.comment_count).where(
        Image.id == in_range(image_id), may_see(audience)
    )
    row = session.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise absent(image_id)
    return SeenImage(*row)


def change_image(
    session: Session,
    image_id: int,
    owner_id: int,
    *,
    expected_version: int | None,
    changes: Mapping[str, Any],
    is_administrator: bool = False,
) -> Image:
    """Return an image after the changes; its `version` grows by one if anything differs.

    Args:
        session: a transaction.
        image_id: which image.
        owner_id: who asks.
        expected_version: what If-Match named; None changes any version.
        changes: new values of prompt, caption, filename (str or None) and is_public (bool); beside
            is_public=False the `reason` for hiding somebody else's image, which its owner is told.
        is_administrator: may hide a public image of anybody's, and show again what was hidden; by
            is_public and reason alone.

    Raises:
        NotFound: there is none of theirs to change.
        NotAllowed: an administrator would change more than that, or the owner would show what an
            administrator hid.
        PreconditionFailed: it is another version by now.
        InvalidInput: an unknown field, or a value that cannot be stored.
    """
    unknown = sorted(set(changes) - CHANGEABLE)
    if unknown:
        raise InvalidInput(
            f"These fields cannot be changed: {', '.join(unknown)}.",
            fields={name: ["Cannot be changed."] for name in unknown},
        )
    changeable = may_change(owner_id, is_administrator=is_administrator)
    image = lock_image(session, image_id, changeable, expected_version)
    is_owner = image.owner_id == owner_id
    if not is_owner and set(changes) - {"is_public", "reason"}:
        raise NotAllowed("Of somebody else's image an administrator changes is_public alone.")
    if is_owner and "reason" in changes:
        raise NotAllowed("A reason is for the owner of somebody else's image that is hidden.")
    left_text_ids = _set_texts(session, image, changes)
    if "filename" in changes:
        _set_filename(session, image, changes["filename"])
    if "is_public" in changes:
        set_visibility(session, image, changes, is_owner=is_owner, may_show=is_administrator)
    session.flush()
    if not changes.keys().isdisjoint(("prompt", "caption", "is_public")):
        word_index.rewrite(session, [image.id])
    for text_id in _in_order(left_text_ids):
        release_text(session, text_id)
    return image


def delete_image(
    session: Session,
    image_id: int,
    owner_id: int,
    *,
    expected_version: int | None,
    is_administrator: bool = False,
    reason: str | None = None,
) -> str | None:
    """Erase an image, in the trash or not, and with the last image of its content that and its vectors.

    With their last image of a picture its owner's classification of it goes as well. The vector stays
    while somebody else has had the same bytes classified; the bytes do not.

    Args:
        session: a transaction.
        image_id: which image.
        owner_id: who asks.
        expected_version: what If-Match named; None deletes any version.
        is_administrator: may delete a public image of anybody's, and a hidden one.
        reason: why, for the owner of somebody else's; the entry of the act keeps it.

    Returns:
        The storage key to remove after the commit; None while other images show the same bytes.

    Raises:
        NotFound: there is none of theirs to delete.
        PreconditionFailed: it is another version by now.
    """
    changeable = or_(
        may_change(owner_id, is_administrator=is_administrator),
        may_take_back(owner_id, is_administrator=is_administrator),
    )
    image = lock_image(session, image_id, changeable, expected_version)
    reason = checked_reason(reason, is_owner=image.owner_id == owner_id)
    told = {} if reason is None else {"reason": reason}
    audit.record_of_others(session, Action.IMAGE_ERASE, image.id, image.owner_id, owner_id, told)
    return erase(session, image)


def checked_reason(reason: str | None, *, is_owner: bool) -> str | None:
    """Return why an administrator does something to somebody else's image; None where nothing is said.

    Raises:
        NotAllowed: it is one's own image, whose owner needs no reason.
        InvalidInput: it cannot be stored.
    """
    if reason is not None and is_owner:
        raise NotAllowed("A reason is for the owner of somebody else's image.")
    return checked_text("reason", reason)


def erase(session: Session, image: Image) -> str | None:
    """Delete a locked image for good, as `delete_image` does."""
    owner_id = image.owner_id
    content, text_ids = image.content, text_ids_of(image)
    touch_image(session, image)
    if image.trashed_at is None:
        telling.deleted(session, {image.id: owner_id})
    session.delete(image)
    session.flush()
    for text_id in _in_order(text_ids):
        release_text(session, text_id)
    own = select(Image.id).where(Image.content_id == content.id, Image.owner_id == owner_id)
    if session.execute(own.limit(1)).first() is None:
        session.execute(
            delete(ClassifiedPicture).where(
                ClassifiedPicture.content_id == content.id, ClassifiedPicture.owner_id == owner_id
            )
        )
    return release_content(session, content)


def committed_change(session: Session) -> int | None:
    """Return the change number that a finished transaction got, None if it changed no search.

    Call it after the transaction's block; a caller sends it back to see its own change at once.
    """
    return changes.committed_seq(session)


def add_to_counts(session: Session, image_id: int, *, likes: int = 0, comments: int = 0) -> None:
    """Add to an image's counts what rows this transaction has really inserted (or deleted: -1).

    The caller locked the image before it wrote those rows. Otherwise their foreign key takes a shared
    lock on the image, and two transactions with that lock would wait for each other here.
    """
    session.execute(_ADD_TO_COUNTS, {"image": image_id, "likes": likes, "comments": comments})


def lock_image(
    session: Session,
    image_id: int,
    changeable: ColumnElement[bool],
    expected_version: int | None,
) -> Image:
    """Return an image, locked after its content. Raises NotFound or PreconditionFailed."""
    owned = select(Image).where(changeable)
    # The content's row first, as everywhere; an image's content never changes, so the unlocked look
    # is good enough to learn which one that is.
    lock_content(session, _one(session, owned, image_id).content_id)
    session.execute(select(Image.id).where(Image.id == image_id).with_for_update())
    image = _one(session, owned, image_id)
    if expected_version is not None and image.version != expected_version:
        raise PreconditionFailed(
            f"Image {image_id} is at version {image.version} by now, not {expected_version}. "
            "Read it again and repeat the change if it still applies."
        )
    return image


def _set_texts(session: Session, image: Image, changes: Mapping[str, Any]) -> list[int | None]:
    """Write prompt and caption as far as they change and return the texts to release."""
    texts = {
        name: checked_text(name, changes[name]) for name in ("prompt", "caption") if name in changes
    }
    if len(texts) == 2:
        bodies = [normalised_prompt(text) for text in texts.values() if text is not None]
        lock_texts_of(session, bodies, text_ids_of(image))
    left = []
    # Flushed in between, one change would be two versions.
    with session.no_autoflush:
        if "prompt" in texts:
            left.append(set_prompt(session, image, texts["prompt"]))
        if "caption" in texts:
            left += set_caption(session, image, texts["caption"])
    return left


def _set_filename(session: Session, image: Image, filename: str | None) -> None:
    image.filename = clean_filename(filename)
    changes.note(session)


def _in_order(text_ids: list[int | None]) -> list[int]:
    # Texts are locked lowest id first, as everywhere.
    return sorted({text_id for text_id in text_ids if text_id is not None})


def _one(session: Session, query: Select[Image], image_id: int) -> Image:
    narrowed = _loaded(query.where(Image.id == in_range(image_id)))
    image = session.execute(narrowed.execution_options(populate_existing=True)).scalar_one_or_none()
    if image is None:
        raise absent(image_id)
    return image


def absent(image_id: int) -> NotFound:
    """Return the error of an image that is not there, or not the asker's to see."""
    return NotFound(f"There is no image {image_id}, or it is not yours to see.")


def _loaded(query: Select[Image]) -> Select[Image]:
    return query.options(joinedload(Image.content), joinedload(Image.owner))
