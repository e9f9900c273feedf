"""ETags of images, and the conditions of requests (RFC 9110, section 13)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

from flask import Response, request

from mirada.kernel.errors import PreconditionFailed
from mirada.packs.shown import ShownPack
from mirada.pictures.shown_images import ShownImage
from webapp.http.headers import CALLER_HEADERS

_OURS = re.compile(
    r"(\d{1,19})-(\d{1,9})-[a-z]+(?:-\d{1,10}-\d{1,10}-[01](?:-\d{1,10})?)?(?:_\d{1,10}){0,3}"
)


def image_etag(shown: ShownImage, duplicates: Sequence[int] = ()) -> str:
    """Return the tag of an image's current representation; where it tells of duplicates, with their numbers.

    Status and counts are part of it because they change without counting a version: workers and
    other people change them, and no owner's If-Match may fail for that.
    """
    state = f"{shown.id}-{shown.version}-{shown.status.lower()}"
    tag = f"{state}-{shown.like_count}-{shown.comment_count}-{int(shown.liked)}"
    told = "".join(f"_{count}" for count in duplicates) if any(duplicates) else ""
    if shown.description is None and shown.placeholder is None:
        return tag + told
    # What a model writes, and what a worker sees, is no version of the owner's and yet another reply.
    said = f"{shown.description or ''}:{shown.placeholder or ''}"
    return f"{tag}-{zlib.crc32(said.encode())}{told}"


def pack_etag(pack: ShownPack) -> str:
    """Return the tag of a pack's current representation, of which the version alone counts in If-Match.

    Whoever does not own the pack is told no version: it would count pictures that they do not see.
    """
    cover = pack.cover
    looks = () if cover is None else (cover.id, cover.version, cover.status, cover.like_count)
    said = (pack.title, pack.description, pack.is_public, pack.owner_name, looks)
    count = pack.image_count or 0
    return f"{pack.id}-{pack.version or 0}-pack-{count}-{zlib.crc32(repr(said).encode())}-0"


def expected_version(
    image_id: int, current_version: Callable[[], int], *, what: str = "image"
) -> int | None:
    """Return the version that If-Match names, None when there is no condition.

    Of several versions the current one counts; whoever changes the image, or the pack, holds what is
    returned against it once more, under its lock.

    Only the version is held against the caller: that a picture became READY in the meantime, or
    that somebody likes it, is no change of what its owner wrote.

    Args:
        image_id: which image, or other thing with a version.
        current_version: reads its version; called only when there is a choice.
        what: what it is called.

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
            f"If-Match does not name a version of {what} {image_id}; read it again for its ETag."
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
