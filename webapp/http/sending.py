"""Bytes of images: the original for its owner, a copy without metadata for others."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request, send_file
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from mirada.kernel.copies import EDITION, FULL_SIDE_PX, fitting
from mirada.kernel.picture_formats import ImageFormat
from mirada.pictures.derivatives import full_copy
from mirada.pictures.thumbnails import moving, thumbnail
from webapp.http.current import current_runtime
from webapp.http.headers import CALLER_HEADERS, PICTURE_POLICY
from webapp.http.rest import ApiBlueprint, View, header

_BYTES = {"type": "string", "format": "binary"}
_PLAIN_BYTES = "application/octet-stream"
ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Kept:
    """The permission to keep a picture: whose it is, and for how long.

    Attributes:
        cache_control: the header's value.
        by_caller: whether it depends on who asks, and other sites' pages show it to nobody.
    """

    cache_control: str
    by_caller: bool = False


STILL_HEADER = "X-Still-Reason"
STILL = {
    STILL_HEADER: header("Why an animated picture is sent as a still one; absent if it moves.")
}


def sends_picture(
    blueprint: ApiBlueprint,
    operation_id: str,
    summary: str,
    content_type: str = "image/*",
    *,
    may_move: bool = True,
) -> Callable[[View], View]:
    """Return a decorator that documents a view which answers with a picture, or a range of one."""

    def decorate(view: View) -> View:
        headers = STILL if may_move else None
        view = blueprint.alt_response(304, description="It is the one you have.")(view)
        # Some generators of clients know no image types; such a client gets the plain one it accepts.
        for kind in (_PLAIN_BYTES, content_type):
            view = blueprint.response(
                200,
                _BYTES,
                content_type=kind,
                description="The picture, as the type you accept.",
                headers=headers,
            )(view)
            view = blueprint.alt_response(
                206,
                schema=_BYTES,
                content_type=kind,
                description="The range of bytes asked for.",
                success=True,
            )(view)
        return blueprint.operation(operation_id, summary, refusals=(403, 404, 412, 416))(view)

    return decorate


def send_picture(image: Any, viewer_id: int | None, *, as_attachment: bool) -> Response:
    """Return the original for its owner, and a copy without metadata for others.

    A page that shows the original gets the copy too, where browsers cannot show such a file.

    Args:
        image: with its content loaded; the caller has checked that the viewer may see it.
        viewer_id: None for an anonymous caller.
        as_attachment: originals are offered for saving instead of shown.
    """
    if viewer_id is None or image.owner_id != viewer_id:
        return send_copy(image)
    content = image.content
    fmt = ImageFormat(content.format)
    is_shown = not as_attachment or request.headers.get("Sec-Fetch-Dest") == "image"
    if is_shown and not fmt.is_for_browsers:
        response = send_copy(image)
    else:
        response = send_file(
            current_runtime().image_store.path(content.storage_key),
            mimetype=fmt.media_type,
            as_attachment=as_attachment,
            download_name=image.filename or f"{image.id}.{fmt.extension}",
            conditional=False,
            etag=content.sha256[:32],
            # The file's own time would be that of whoever sent these bytes first.
            last_modified=image.created_at,
        )
        response = _private(_conditional(response, content.byte_size), image)
    if not fmt.is_for_browsers:
        response.vary.add("Sec-Fetch-Dest")
    return response


def send_copy(image: Any) -> Response:
    """Return what others get in place of the original: a WebP, moving where the original moves."""
    return send_moving(image) if image.content.is_animated else _full_copy(image)


def send_moving(image: Any) -> Response:
    """Return the animated WebP of an animation, or a still one and why it is still."""
    made = moving(current_runtime(), image.content)
    webp = made.webp
    if webp is not None:
        return _webp(image, lambda: webp, "moving")
    response = _full_copy(image)
    reason = (made.why_still or "").encode("ascii", "replace").decode()
    response.headers[STILL_HEADER] = " ".join(reason.split())
    return response


def send_thumbnail(image: Any, side_px: int) -> Response:
    """Return a WebP without metadata, upright, at most `side_px` on its longer side."""
    return _private(_still(image, side_px), image)


def _still(image: Any, side_px: int) -> Response:
    content = image.content
    fits_px = fitting(side_px, content.width, content.height)
    return _tagged(
        image,
        lambda: thumbnail(current_runtime(), content, side_px),
        f"{fits_px}-{EDITION}",
    )


def send_at_address(image: Any, side_px: int, kept: Kept) -> Response:
    """Return the thumbnail that stands at an address of its own, to be kept by whoever may keep it.

    It is a WebP to everybody: the address says so, and no header of the request changes that.
    """
    response = _still(image, side_px)
    response.headers["Cache-Control"] = kept.cache_control
    response.headers["Content-Security-Policy"] = PICTURE_POLICY
    if kept.by_caller:
        response.vary.update(CALLER_HEADERS)
    else:
        shown_by_any_site(response)
    return response


def _full_copy(image: Any) -> Response:
    key = image.content.storage_key
    return _webp(image, lambda: full_copy(current_runtime(), key), f"{FULL_SIDE_PX}-{EDITION}")


def send_kept_copy(webp: bytes, sha256: str) -> Response:
    """Return the small copy of a query picture, for its sender alone.

    Args:
        webp: the copy.
        sha256: of the picture that it is a copy of.
    """
    response = Response(webp, mimetype="image/webp")
    response.set_etag(f"{sha256[:32]}-query")
    return _kept_private(_conditional(response, len(webp)))


def _webp(image: Any, read: Callable[[], bytes], kind: str) -> Response:
    return _private(_tagged(image, read, kind), image)


def _tagged(image: Any, read: Callable[[], bytes], kind: str) -> Response:
    tag = f"{image.content.sha256[:32]}-{kind}"
    # Whoever has this copy is told so, without a look at it.
    is_known = not request.if_match and request.if_none_match.contains_weak(tag)
    webp = b"" if is_known else read()
    response = Response(webp, mimetype="image/webp")
    response.headers["Content-Disposition"] = f'inline; filename="{image.id}.webp"'
    response.set_etag(tag)
    return _conditional(response, len(webp))


def _conditional(response: Response, byte_size: int) -> Response:
    """Apply the request's conditions, and then its range, to a whole picture with an ETag.

    Raises RequestedRangeNotSatisfiable (416) for a range that lies behind the end.
    """
    environ = dict(request.environ)
    # The picture exists, so the star is true; Werkzeug looks for a tag that is called "*".
    if request.if_match.star_tag:
        del environ["HTTP_IF_MATCH"]
    if not _is_usable_range(environ.get("HTTP_RANGE", ""), byte_size):
        environ.pop("HTTP_RANGE", None)
    response.make_conditional(environ)
    if response.status_code != 200:
        return response
    try:
        response.make_conditional(environ, accept_ranges=True, complete_length=byte_size)
    except RequestedRangeNotSatisfiable:
        # Lets go of the file that would have been sent.
        response.close()
        raise
    return response


def _is_usable_range(header: str, byte_size: int) -> bool:
    """Return whether to answer by a part or by 416; anything else gets the whole (RFC 9110, 14.2).

    Unknown units and ranges without sense must be ignored, several at once may be, and a suffix
    longer than the picture is the picture.
    """
    found = ONE_RANGE.fullmatch(header)
    if found is None:
        return False
    first, last, suffix = found.groups()
    if suffix is not None:
        return int(suffix) < byte_size
    return not last or int(first) <= int(last)


def shown_by_any_site(response: Response) -> Response:
    """Let pages of other sites show this picture, in an `<img>` say."""
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _private(response: Response, image: Any) -> Response:
    if image.is_public:
        shown_by_any_site(response)
    return _kept_private(response)


def _kept_private(response: Response) -> Response:
    # Visibility can change at any time, so every use asks again; the tag makes that cheap.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Security-Policy"] = PICTURE_POLICY
    response.vary.update((*CALLER_HEADERS, "Accept"))
    accepted = request.accept_mimetypes
    is_plain_better = accepted.quality(_PLAIN_BYTES) > accepted.quality(response.mimetype or "")
    if is_plain_better and response.status_code < 300:
        response.mimetype = _PLAIN_BYTES
    return response
