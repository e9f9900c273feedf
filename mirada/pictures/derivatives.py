"""Copies of originals as others get them: a large still one, made when it is first asked for.

Thumbnails and moving copies are made by workers, see `mirada.pictures.thumbnails`.
"""

from __future__ import annotations

import structlog

from mirada.db import files_to_remove
from mirada.kernel.copies import FULL_SIDE_PX, all_tails, tail_of
from mirada.kernel.errors import MiradaError, NotFound
from mirada.runtime import Runtime

logger = structlog.get_logger(__name__)


def full_copy(runtime: Runtime, storage_key: str) -> bytes:
    """Return a still WebP of an original, at most FULL_SIDE_PX on its longer side.

    Made once and kept under DATA_DIR/derivatives; a disk without room only makes it slower.

    Raises:
        NotFound: the original's bytes are gone.
        Unavailable: no decoder can be had.
    """
    tail = tail_of(FULL_SIDE_PX)
    kept = runtime.copies.read(storage_key, tail)
    if kept is not None:
        return kept
    webp = runtime.decoder.thumbnail(runtime.image_store.path(storage_key), FULL_SIDE_PX)
    keep(runtime, storage_key, tail, webp)
    return webp


def keep(runtime: Runtime, storage_key: str, tail: str, content: bytes) -> bool:
    """Keep a copy if it can be kept, and return whether it is.

    Raises:
        NotFound: its original was deleted meanwhile; what was kept is removed.
        Unavailable: the store is away.
    """
    is_kept = runtime.copies.write(storage_key, tail, content)
    try:
        # Deleted while this was made: what `drop_derivatives` could not see yet goes here.
        runtime.image_store.path(storage_key)
    except NotFound:
        drop_derivatives(runtime, storage_key)
        raise
    return is_kept


def remove_picture(runtime: Runtime, storage_key: str) -> None:
    """Remove the original of a deleted picture, and its copies.

    The deletion is committed, so what cannot be removed is reported and not the caller's trouble:
    `remove_left_behind` tries again.
    """
    drop_derivatives(runtime, storage_key)
    try:
        runtime.image_store.delete(storage_key)
        with runtime.transaction() as session:
            files_to_remove.removed(session, storage_key)
    except MiradaError as error:
        logger.error("original_not_removed", storage_key=storage_key, reason=error.detail)


def remove_left_behind(runtime: Runtime) -> None:
    """Remove the files of deleted pictures that are still there, after a crash or in trouble."""
    last = ""
    while True:
        with runtime.reading() as session:
            keys = files_to_remove.left_behind(session, last)
        if not keys:
            return
        for key in keys:
            remove_picture(runtime, key)
        last = keys[-1]


def drop_derivatives(runtime: Runtime, storage_key: str) -> None:
    """Remove the copies of a deleted original; harmless when there are none."""
    runtime.handed.drop(storage_key)
    runtime.copies.drop(storage_key, all_tails())
