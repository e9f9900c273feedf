"""The bytes of images: originals for their owners, copies without metadata for everybody else."""

from __future__ import annotations

from typing import Any

from flask import Response, request, send_file

from mirada.domain.images import ImageFormat
from webapp.current import current_runtime
from webapp.derivatives import FULL_SIDE_PX, THUMBNAIL_SIDE_PX, derivative
from webapp.headers import PICTURE_POLICY

PICTURE_DOC = {"schema": {"type": "string", "format": "binary"}}


def send_picture(image: Any, viewer_id: int | None, *, as_attachment: bool) -> Response:
    """Return the original to its owner and a copy without metadata to anybody else.

    Args:
        image: with its content loaded; the caller has checked that the viewer may see it.
        viewer_id: None for an anonymous caller.
        as_attachment: originals are offered for saving instead of shown.
    """
    if viewer_id is None or image.owner_id != viewer_id:
        return _send_derivative(image, FULL_SIDE_PX)
    content = image.content
    fmt = ImageFormat(content.format)
    response = send_file(
        current_runtime().image_store.path(content.storage_key),
        mimetype=fmt.media_type,
        as_attachment=as_attachment,
        download_name=image.filename or f"{image.id}.{fmt.extension}",
        conditional=True,
        etag=content.sha256[:32],
    )
    return _private(response)


def send_thumbnail(image: Any) -> Response:
    """Return a small WebP, upright and without metadata."""
    return _send_derivative(image, THUMBNAIL_SIDE_PX)


def _send_derivative(image: Any, side_px: int) -> Response:
    content = image.content
    webp = derivative(current_runtime(), content.storage_key, side_px)
    response = Response(webp, mimetype="image/webp")
    response.headers["Content-Disposition"] = f'inline; filename="{image.id}.webp"'
    response.set_etag(f"{content.sha256[:32]}-{side_px}")
    response.make_conditional(request, accept_ranges=True, complete_length=len(webp))
    return _private(response)


def _private(response: Response) -> Response:
    # Visibility can change at any time, so every use asks again; the tag makes that cheap.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Security-Policy"] = PICTURE_POLICY
    response.vary.update(["Authorization", "X-API-Key"])
    return response
