"""A link to a picture for somebody outside, who has no key here: it ends, or the picture is public."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urljoin

from flask import request

from mirada.kernel.copies import THUMBNAIL_SIDES_PX
from mirada.kernel.picture_tokens import end_of_link
from mirada.pictures import addresses
from mirada.pictures.shown_images import ShownImage
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.pages.image_address import ImagePage
from webapp.schemas.pictures import src_of_link

LARGEST = str(max(THUMBNAIL_SIDES_PX))


@dataclass(frozen=True, slots=True)
class Shared:
    """A link that shows one picture, without its page.

    Attributes:
        address: whole, as it is sent to somebody.
        until: when it ends; None for a public picture's, which has no end.
    """

    address: str
    until: datetime | None


def shared(asked: ImagePage, image: ShownImage) -> Shared | None:
    """Return the link that the page's address asks for; None where it asks for none."""
    if asked.share is None and not image.is_public:
        return None
    runtime = current_runtime()
    until_s = end_of_link(int(time.time()), asked.share or addresses.USUAL_TTL_S)
    with runtime.reading() as session:
        made = addresses.links(
            session, [image.id], current_caller().audience, until_s, runtime.secret
        )
    if not made:
        return None
    until = None if made[0].signed is None else datetime.fromtimestamp(until_s, UTC)
    return Shared(urljoin(request.host_url, src_of_link(made[0])[LARGEST]), until)
