"""Which images of a whole reply the caller likes, asked once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mirada.pictures import likes
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime

if TYPE_CHECKING:
    from mirada.db.models import Image
    from mirada.search.by_vector import Found


def liked_by_caller(images: Iterable[Image]) -> frozenset[int]:
    """Return the ids of those of the images that the caller likes; none for an anonymous caller."""
    viewer_id = current_caller().user_id
    if viewer_id is None:
        return frozenset()
    with current_runtime().reading() as session:
        return likes.liked_among(session, viewer_id, [image.id for image in images])


def liked_in(found: Found) -> frozenset[int]:
    """Return the ids of those results that the caller likes."""
    return liked_by_caller(result.image for result in found.results)
