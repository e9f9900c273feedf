"""The visibility of an image: for its owner or everybody, or hidden by an administrator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from mirada.db import audit, changes
from mirada.db.models import Image
from mirada.kernel.audit import Action
from mirada.kernel.errors import NotAllowed
from mirada.kernel.picture_tokens import new_token
from mirada.kernel.user_text import checked_text


def set_visibility(
    session: Session, image: Image, wanted: Mapping[str, Any], *, is_owner: bool, may_show: bool
) -> None:
    """Write who sees a locked image, and why it is hidden.

    Args:
        session: a transaction.
        image: the image.
        wanted: `is_public`, and the `reason` where somebody else's is hidden.
        is_owner: whether its owner asks.
        may_show: whether what was hidden may be shown again.

    Raises:
        NotAllowed: an administrator hid it, and no administrator asks.
        InvalidInput: the reason cannot be stored.
    """
    is_public = bool(wanted["is_public"])
    if image.is_public != is_public:
        if image.is_hidden and not may_show:
            raise NotAllowed("An administrator hid this image; only one of them shows it again.")
        image.is_public = is_public
        image.is_hidden = not is_public and not is_owner
        image.hidden_reason = None
        touch_image(session, image)
        action = Action.IMAGE_SHOW if is_public else Action.IMAGE_HIDE
        if not is_owner:
            audit.record(session, action, image.id, owner_id=image.owner_id)
    if "reason" in wanted and image.is_hidden:
        image.hidden_reason = checked_text("reason", wanted["reason"])


def touch_image(session: Session, image: Image) -> None:
    """Note that who may see an image has changed; the addresses of its pictures end with it."""
    image.picture_token = new_token()
    changes.touch(session, [image.content_id])
    changes.touch_texts(session, text_ids_of(image))


def text_ids_of(image: Image) -> list[int | None]:
    """Return the texts of an image, None for those that it has not."""
    return [image.prompt_text_id, image.caption_text_id, image.description_text_id]
