"""ETags of images, and the conditions of requests (RFC 9110, section 13)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection
from typing import Any

from flask import Response, request

from mirada.kernel.errors import PreconditionFailed
from mirada.kernel.images import ImageStatus
from webapp.http.headers import CALLER_HEADERS

_OURS = re.compile(r"(\d{1,19})-(\d{1,9})-[a-z]+(?:-\d{1,10}-\d{1,10}-[01](?:-\d{1,10})?)?")


def image_etag(image: Any, liked: Collection[int]) -> str:
    """Return the tag of an image's current representation.

    Status and counts are part of it because they change without counting a version: workers and
    other people change them, and no owner's If-Match may fail for that.

    Args:
        image: what is represented.
        liked: ids of the images that the caller likes.
    """
    state = f"{image.id}-{image.version}-{str(image.status).lower()}"
    tag = f"{state}-{image.like_count}-{image.comment_count}-{int(image.id in liked)}"
    # Told as `ShownImage` tells it: before, it may be known of somebody else's upload alone.
    look = image.content.placeholder if image.status == ImageStatus.READY else None
    if image.description is None and look is None:
        return tag
    # What a model writes, and what a worker sees, is no version of the owner's and yet another reply.
    said = f"{image.description or ''}:{look or ''}"
    return f"{tag}-{zlib.crc32(said.encode())}"


def expected_version(image_id: int, current_version: Callable[[], int]) -> int | None:
    """Return the version that If-Match names, None when there is no condition.

    Of several versions the current one counts; whoever changes the image holds what is returned
    against it once more, under its lock.

    Only the version is held against the caller: that a picture became READY in the meantime, or
    that somebody likes it, is no change of what its owner wrote.

    Args:
        image_id: which image.
        current_version: reads the image's version; called only when there is a choice.

    Raises:
        PreconditionFailed: no tag in the header can be of this image.
    """
    if "If-Match" not in request.headers:
        return None
    tags = request.if_match
    if tags.star_tag:
        return None
    # Strong comparison: weak tags never match.
    # Werkzeug makes None of an empty tag.
    found = (_OURS.fullmatch(tag or "") for tag in tags.as_set())
    versions = {int(ours[2]) for ours in found if ours and int(ours[1]) == image_id}
    if not versions:
        raise PreconditionFailed(
            f"If-Match does not name a version of image {image_id}; read it again for its ETag."
        )
    if len(versions) == 1:
        return versions.pop()
    current = current_version()
    return current if current in versions else max(versions)


def with_etag(response: Response, etag: str) -> Response:
    """Return a reply with its ETag, or a 304 when the caller has that version."""
    response.set_etag(etag)
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.update(CALLER_HEADERS)
    # Werkzeug's make_conditional would answer a GET with If-Match: * by 412, without a body of ours.
    if request.if_none_match.contains_weak(etag):
        response.status_code = 304
        response.set_data(b"")
        for name in ("Content-Type", "Content-Length"):
            response.headers.pop(name, None)
    return response
