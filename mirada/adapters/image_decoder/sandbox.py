"""The implementation of `ports.ImageDecoder` on a pool of child processes."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from mirada.adapters.image_decoder.process import ChildEnded, ChildFailed, DecoderProcess
from mirada.kernel.errors import (
    CorruptImage,
    ImageTooLarge,
    NotFound,
    Unavailable,
    UnsupportedImage,
)
from mirada.kernel.file_metadata import FileMetadata
from mirada.kernel.images import (
    MAX_PIXELS,
    MAX_SIDE_PX,
    TRANSPARENCY_BACKGROUND,
    AnimatedCopy,
    ImageFormat,
    PictureFacts,
    RgbImage,
    Seen,
)
from mirada.kernel.stickers import StickerForm

logger = logging.getLogger(__name__)

MEMORY_BYTES = 1_500_000_000
CPU_S = 20.0
WALL_S = 30.0
"""Limits per picture: research, reliability 4.1. A picture of 50 megapixels fits; a GIF of 1.5 MB that
needs 73 s does not."""
RECYCLE_AFTER = 1_000
"""Pictures that a child decodes before a new one replaces it, so that memory leaks stay small."""
MAX_POOL = 8
"""Most children; each may take MEMORY_BYTES."""
MAX_GENERATION_BYTES = 1024 * 1024
"""Bytes of file metadata as JSON: about 50,000 characters of up to 12 bytes each."""
QUEUE_S = 60.0
"""Seconds that a call waits for a free child; chosen here, twice WALL_S."""
GAVE_UP = "The picture crashed its decoder or exceeded its limits."
ENDED = "The picture's decoder was ended from outside; send the picture again."
SHUTTING_DOWN = "Mirada is shutting down."
REFUSALS = {
    "unsupported": UnsupportedImage,
    "corrupt": CorruptImage,
    "too_large": ImageTooLarge,
    "missing": NotFound,
}


class SandboxedDecoder:
    """Decodes pictures in child processes with limits on memory, CPU and time. Thread-safe.

    A child starts when it is first needed and is used again. A child that dies or hangs is replaced,
    and its picture is refused. Children get no environment variables, so no secrets.
    """

    def __init__(
        self,
        *,
        pool_size: int | None = None,
        memory_bytes: int = MEMORY_BYTES,
        cpu_s: float = CPU_S,
        wall_s: float = WALL_S,
        recycle_after: int = RECYCLE_AFTER,
    ) -> None:
        """Keep the limits; no child starts yet.

        Args:
            pool_size: most children; None for one per usable core, from 2 to MAX_POOL.
            memory_bytes: address space of a child.
            cpu_s: CPU seconds per picture.
            wall_s: wall-clock seconds per picture.
            recycle_after: pictures per child.
        """
        self._pool_size = pool_size or max(2, min(MAX_POOL, len(os.sched_getaffinity(0))))
        self._wall_s = wall_s
        self._recycle_after = recycle_after
        self._options = json.dumps(
            {
                "memory_bytes": memory_bytes,
                "cpu_s": cpu_s,
                "max_pixels": MAX_PIXELS,
                "max_side_px": MAX_SIDE_PX,
                "background": TRANSPARENCY_BACKGROUND,
            }
        )
        # Last in, first out: a server with little traffic uses one child instead of all in turn.
        self._places: queue.LifoQueue[DecoderProcess | None] = queue.LifoQueue()
        for _ in range(self._pool_size):
            self._places.put(None)
        self._lock = threading.Lock()
        self._children: set[DecoderProcess] = set()
        self._is_closed = False

    def inspect(self, path: Path) -> PictureFacts:
        """Return the facts about a picture; see `ports.ImageDecoder.inspect`."""
        return self._inspected(path, 0)[0]

    def inspect_and_decode(
        self, path: Path, min_side_px: int
    ) -> tuple[PictureFacts, RgbImage | None]:
        """Return facts and pixels; see `ports.ImageDecoder.inspect_and_decode`."""
        return self._inspected(path, max(1, min_side_px))

    def _inspected(self, path: Path, side_px: int) -> tuple[PictureFacts, RgbImage | None]:
        with self._answer("inspect", path, side_px) as (facts, payload):
            said, seen = _parts(facts, payload, 2)
            if len(said) > MAX_GENERATION_BYTES:
                raise ValueError("more than a generator may say")
            found = PictureFacts(
                ImageFormat(facts["format"]),
                int(facts["width"]),
                int(facts["height"]),
                int(facts["frames"]),
                FileMetadata.from_json(json.loads(bytes(said))) if said else None,
            )
            if found.width * found.height > MAX_PIXELS or min(found.width, found.height) < 1:
                raise ValueError("impossible size")
            width, height = map(int, facts["seen"])
            return found, _as_pixels(seen, height, width) if seen else None

    def decode(self, path: Path, min_side_px: int) -> RgbImage:
        """Return the first frame's pixels, a writable array; see `ports.ImageDecoder.decode`."""
        with self._answer("decode", path, max(1, min_side_px)) as (facts, payload):
            return _as_pixels(payload, int(facts["height"]), int(facts["width"]))

    def see(self, path: Path, min_side_px: int, thumbnail_side_px: int = 0) -> Seen:
        """Return pixels, opacity and a thumbnail; see `ports.ImageDecoder.see`."""
        sides_px = (max(0, thumbnail_side_px),)
        with self._answer("see", path, max(1, min_side_px), sides_px) as (facts, payload):
            pixels, opacity, webp = _parts(facts, payload, 3)
            height, width = int(facts["height"]), int(facts["width"])
            alpha = np.frombuffer(opacity, np.uint8).reshape(height, width) if opacity else None
            return Seen(_as_pixels(pixels, height, width), alpha, bytes(webp))

    def shrink(self, pixels: RgbImage, max_side_px: int) -> bytes:
        """Return a WebP of decoded pixels; see `ports.ImageDecoder.shrink`."""
        from mirada.adapters.image_decoder import webp

        return webp.of_pixels(pixels, max(1, max_side_px))

    def thumbnail(self, path: Path, max_side_px: int) -> bytes:
        """Return a WebP of the first frame; see `ports.ImageDecoder.thumbnail`."""
        return self.thumbnails(path, [max_side_px])[0]

    def thumbnails(self, path: Path, sides_px: Sequence[int]) -> list[bytes]:
        """Return WebPs of the first frame; see `ports.ImageDecoder.thumbnails`."""
        asked = tuple(max(1, side_px) for side_px in sides_px)
        with self._answer("thumbnails", path, sides_px=asked) as (facts, payload):
            return [bytes(part) for part in _parts(facts, payload, len(asked))]

    def animation(self, path: Path) -> AnimatedCopy:
        """Return a moving copy, or why there is none; see `ports.ImageDecoder.animation`."""
        try:
            with self._answer("animation", path) as (facts, payload):
                if payload:
                    return AnimatedCopy(bytes(payload), None)
                return AnimatedCopy(None, str(facts["still"]))
        except (CorruptImage, UnsupportedImage, ImageTooLarge) as error:
            # The picture was taken, so its first frame can be decoded: the others are the trouble.
            return AnimatedCopy(None, error.detail)

    def sticker(self, path: Path, form: StickerForm) -> AnimatedCopy:
        """Return a sticker, or why there is none; see `ports.ImageDecoder.sticker`."""
        try:
            with self._answer("sticker", path, form=form.to_json()) as (facts, payload):
                if payload:
                    return AnimatedCopy(bytes(payload), None)
                return AnimatedCopy(None, str(facts["still"]))
        except (CorruptImage, UnsupportedImage, ImageTooLarge) as error:
            return AnimatedCopy(None, error.detail)

    def close(self) -> None:
        """End the child processes; a call under way ends in Unavailable."""
        with self._lock:
            self._is_closed = True
            children = list(self._children)
            self._children.clear()
        for child in children:
            child.kill()
        for _ in range(self._pool_size):
            # A missing place belongs to a call under way, which cleans up by itself.
            with suppress(queue.Empty):
                idle = self._places.get_nowait()
                if idle is not None:
                    idle.close_pipes()
        for _ in range(self._pool_size):
            self._places.put(None)

    @contextmanager
    def _answer(
        self,
        verb: str,
        path: Path,
        side_px: int = 0,
        sides_px: Sequence[int] = (),
        form: dict[str, Any] | None = None,
    ) -> Iterator[tuple[dict[str, Any], bytearray]]:
        """Yield a reply's facts and payload; an error that the caller raises on them counts as a crash.

        A child that decodes untrusted bytes is not trusted itself.
        """
        request = {"verb": verb, "path": str(path.absolute()), "side_px": side_px}
        request |= {"sides_px": list(sides_px), "form": form}
        with self._borrowed() as child:
            try:
                facts, payload = child.ask(request, self._wall_s)
                if facts["ok"] is True:
                    yield facts, payload
                    return
                refusal, detail = REFUSALS[facts["kind"]], str(facts["detail"])
            except (ChildFailed, KeyError, ValueError, TypeError, RecursionError) as error:
                child.kill()
                if self._is_closed:
                    raise Unavailable(SHUTTING_DOWN) from error
                logger.warning("A picture's decoder was ended: %s", error)
                if isinstance(error, ChildEnded):
                    raise Unavailable(ENDED) from error
                raise CorruptImage(GAVE_UP) from error
        raise refusal(detail)

    @contextmanager
    def _borrowed(self) -> Iterator[DecoderProcess]:
        try:
            child = self._places.get(timeout=QUEUE_S)
        except queue.Empty as error:
            raise Unavailable("Too many pictures are being decoded; try again shortly.") from error
        try:
            if child is None or not child.is_usable():
                self._forget(child)
                child = None
                child = self._started()
            yield child
        finally:
            if child is not None and (
                not child.is_usable() or child.answered >= self._recycle_after
            ):
                self._forget(child)
                child = None
            self._places.put(child)

    def _started(self) -> DecoderProcess:
        if self._is_closed:
            raise Unavailable(SHUTTING_DOWN)
        try:
            child = DecoderProcess(self._options)
        except (OSError, ChildFailed) as error:
            raise Unavailable(f"No picture decoder could be started: {error}") from error
        with self._lock:
            if not self._is_closed:
                self._children.add(child)
                return child
        self._forget(child)
        raise Unavailable(SHUTTING_DOWN)

    def _forget(self, child: DecoderProcess | None) -> None:
        if child is not None:
            with self._lock:
                self._children.discard(child)
            child.kill()
            child.close_pipes()


def _as_pixels(payload: bytearray | memoryview, height: int, width: int) -> RgbImage:
    """Return bytes as (height, width, 3); raises ValueError where they are more or fewer."""
    return np.frombuffer(payload, dtype=np.uint8).reshape(height, width, 3)


def _parts(facts: dict[str, Any], payload: bytearray, count: int) -> list[memoryview]:
    """Return the parts of a payload; raises ValueError where the child miscounted."""
    lengths = [int(length) for length in facts["parts"]]
    if len(lengths) != count or min(lengths) < 0 or sum(lengths) != len(payload):
        raise ValueError("parts that are not there")
    whole, parts, at = memoryview(payload), [], 0
    for length in lengths:
        parts.append(whole[at : at + length])
        at += length
    return parts
