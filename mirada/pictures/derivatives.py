"""Derivatives: WebP copies of originals, smaller and without metadata, cached on disk."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from mirada import private_files
from mirada.kernel.errors import MiradaError, NotFound
from mirada.kernel.images import AnimatedCopy
from mirada.runtime import Runtime

logger = structlog.get_logger(__name__)

THUMBNAIL_SIDE_PX = 320
"""Longer side of a thumbnail: two per row on a telephone, sharp on a dense screen."""
FULL_SIDE_PX = 4096
"""Longer side of what others get in place of an original; WebP itself ends at 16,383."""

EDITION = 2
"""Part of the names and tags of still derivatives; a new number makes them all anew. The first ones kept
texts that generators hide in opacity, and showed empty first frames."""
MOVING, STILL = "moving.webp", "still.txt"
"""Ends of the names of an animation's copy, and of the sentence that says why there is none."""
TURN_WITHIN_S = 2.0
"""How long a request waits for the moving copy that another one is making: most take less."""
BEING_MADE = "Moving copies are being made just now; ask for this one again in a few seconds."


class _Turns:
    """Whose turn it is to make a moving copy: one at a time, and few requests wait for theirs.

    A copy takes up to ten seconds and a decoder. Whoever asks for many at once, which needs no key,
    would otherwise hold every request thread for a minute, and every decoder.
    """

    def __init__(self, places: int) -> None:
        """Permit so many requests to make one or to wait."""
        self._places = threading.BoundedSemaphore(places)
        self._turn = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Yield whether it is the caller's turn, for as long as the block runs."""
        if not self._places.acquire(blocking=False):
            yield False
            return
        try:
            is_ours = self._turn.acquire(timeout=TURN_WITHIN_S)
            try:
                yield is_ours
            finally:
                if is_ours:
                    self._turn.release()
        finally:
            self._places.release()


def derivative(runtime: Runtime, storage_key: str, side_px: int) -> bytes:
    """Return a derivative of an original, at most `side_px` on its longer side.

    Made once and kept under DATA_DIR/derivatives; a disk without room only makes it slower.

    Raises:
        NotFound: the original's bytes are gone.
        Unavailable: no decoder can be had.
    """
    path = _path(runtime, storage_key, f"{side_px}.{EDITION}.webp")
    kept = _kept(path)
    if kept is not None:
        return kept
    webp = runtime.decoder.thumbnail(runtime.image_store.path(storage_key), side_px)
    _keep(runtime, storage_key, path, webp)
    return webp


def animated(runtime: Runtime, storage_key: str) -> AnimatedCopy:
    """Return the moving derivative of an animated original, or why there is none (yet: BEING_MADE).

    Either is made once and kept, and raises, as `derivative` has it.
    """
    found = _kept_animation(runtime, storage_key)
    if found is not None:
        return found
    places = max(1, runtime.settings.web_threads // 2)
    turns = runtime.remembered("turns_of_animations", lambda: _Turns(places))
    with turns.taken() as is_ours:
        # Another request may have made it meanwhile.
        found = _kept_animation(runtime, storage_key)
        if found is not None:
            return found
        if not is_ours:
            return AnimatedCopy(None, BEING_MADE)
        made = runtime.decoder.animation(runtime.image_store.path(storage_key))
        if made.webp is not None:
            _keep(runtime, storage_key, _path(runtime, storage_key, MOVING), made.webp)
        else:
            reason = (made.why_still or "").encode()
            _keep(runtime, storage_key, _path(runtime, storage_key, STILL), reason)
        return made


def _kept_animation(runtime: Runtime, storage_key: str) -> AnimatedCopy | None:
    webp = _kept(_path(runtime, storage_key, MOVING))
    if webp is not None:
        return AnimatedCopy(webp, None)
    reason = _kept(_path(runtime, storage_key, STILL))
    return None if reason is None else AnimatedCopy(None, reason.decode("utf-8", "replace"))


def _kept(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("derivative_not_read", path=str(path), reason=str(error))
        return None


def _keep(runtime: Runtime, storage_key: str, path: Path, content: bytes) -> None:
    """Keep a derivative if it can be kept; raises NotFound when its original was deleted meanwhile."""
    try:
        _write_whole(path, content)
    except OSError as error:
        logger.warning("derivative_not_kept", path=str(path), reason=str(error))
    try:
        # Deleted while this was made: what `drop_derivatives` could not see yet goes here.
        runtime.image_store.path(storage_key)
    except NotFound:
        drop_derivatives(runtime, storage_key)
        raise


def remove_picture(runtime: Runtime, storage_key: str) -> None:
    """Remove the original of a deleted picture, and its derivatives.

    The deletion is committed, so what cannot be removed is reported and not the caller's trouble.
    """
    try:
        runtime.image_store.delete(storage_key)
    except MiradaError as error:
        logger.error("original_not_removed", storage_key=storage_key, reason=error.detail)
    drop_derivatives(runtime, storage_key)


def drop_derivatives(runtime: Runtime, storage_key: str) -> None:
    """Remove the derivatives of a deleted original; harmless when there are none."""
    sides = (THUMBNAIL_SIDE_PX, FULL_SIDE_PX)
    earlier = [f"{side_px}.webp" for side_px in sides]
    for tail in (*earlier, *(f"{side_px}.{EDITION}.webp" for side_px in sides), MOVING, STILL):
        try:
            _path(runtime, storage_key, tail).unlink(missing_ok=True)
        except OSError as error:
            logger.error("derivative_not_removed", storage_key=storage_key, reason=str(error))


def _path(runtime: Runtime, storage_key: str, tail: str) -> Path:
    return runtime.settings.data_dir / "derivatives" / f"{storage_key}.{tail}"


def _write_whole(path: Path, content: bytes) -> None:
    # Renamed into place, so that no reader ever sees half of it.
    private_files.make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
