"""Read a stored picture as the encoder takes it, and keep its first thumbnail from the same decoding."""

from __future__ import annotations

from mirada.embedding import embed, mirroring
from mirada.kernel.copies import THUMBNAIL_SIDE_PX, tail_of
from mirada.kernel.errors import NotFound, Unavailable
from mirada.kernel.images import Seen
from mirada.runtime import Runtime


def seen(
    runtime: Runtime, content_id: int, storage_key: str, *, with_thumbnail: bool = True
) -> Seen | None:
    """Return a stored picture as the encoder takes it; None when it was deleted meanwhile.

    The pixels are those of the decoding that checked it, where they wait here: see `HandedPixels`.
    Its smallest thumbnail is kept, unless it is there or not wanted; where that cannot be done it is
    made later.

    Raises:
        Unavailable: its file is not there, or no decoder can be had.
        UnsupportedImage, CorruptImage, ImageTooLarge: it does not decode.
    """
    try:
        path = runtime.image_store.path(storage_key)
        side_px = 2 * mirroring.input_side_px(runtime)
        tail = tail_of(THUMBNAIL_SIDE_PX)
        runtime.handed.want(side_px)
        handed = runtime.handed.take(storage_key, side_px)
        if not with_thumbnail or runtime.copies.has(storage_key, tail):
            return runtime.decoder.see(path, side_px) if handed is None else Seen(handed)
        # A small encoder's pixels are fewer than a thumbnail's.
        if handed is None or side_px < THUMBNAIL_SIDE_PX:
            found = runtime.decoder.see(path, side_px, THUMBNAIL_SIDE_PX)
        else:
            # Opaque: others are not handed over.
            webp = runtime.decoder.shrink(handed, THUMBNAIL_SIDE_PX)
            found = Seen(handed, thumbnail=webp)
        if found.thumbnail:
            runtime.copies.write(storage_key, tail, found.thumbnail)
            if not path.is_file():
                # Deleted meanwhile, so whoever deletes its copies may have been here already.
                runtime.copies.drop(storage_key, [tail])
        return found
    except NotFound as error:
        with runtime.reading() as session:
            if not embed.is_stored(session, content_id, storage_key):
                return None
        # The row is there and its file is not: a mount that is away comes back, so this is retried.
        raise Unavailable(error.detail) from error
