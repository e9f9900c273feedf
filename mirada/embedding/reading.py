"""Read a stored picture as the encoder takes it."""

from __future__ import annotations

from mirada.embedding import embed, mirroring
from mirada.kernel.errors import NotFound, Unavailable
from mirada.kernel.images import RgbImage
from mirada.runtime import Runtime


def pixels(runtime: Runtime, content_id: int, storage_key: str) -> RgbImage | None:
    """Return a stored picture as the encoder takes it; None when it was deleted meanwhile.

    Raises:
        Unavailable: its file is not there, or no decoder can be had.
        UnsupportedImage, CorruptImage, ImageTooLarge: it does not decode.
    """
    try:
        path = runtime.image_store.path(storage_key)
        return runtime.decoder.decode(path, min_side_px=2 * mirroring.input_side_px(runtime))
    except NotFound as error:
        with runtime.reading() as session:
            if not embed.is_stored(session, content_id, storage_key):
                return None
        # The row is there and its file is not: a mount that is away comes back, so this is retried.
        raise Unavailable(error.detail) from error
