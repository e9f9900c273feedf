"""Pixels on their way from whoever checks a picture to the worker that embeds it: files, a short-lived cache.

Whoever takes a picture in decodes it to its end anyway. What the encoder needs of that decoding waits here
until a worker takes it. Where it is missing the worker decodes the original, so every file may be lost.
None is synced, so after a power cut one may have its size and not its pixels: a checksum tells.
"""

from __future__ import annotations

import logging
import os
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from mirada import private_files
from mirada.kernel.images import RgbImage

logger = logging.getLogger(__name__)

WANTED = "wanted"
"""The file in which workers say how large they want pictures."""
MOST_FILES = 256
"""Pictures that wait at once: sixteen batches. The others are decoded again."""
MOST_BYTES = 2 * 1024 * 1024
"""Of one picture. At the bundled model's size a photograph has 0.4 to 1.2 MB."""
OLD_AFTER_S = 600.0
"""A picture that no worker has taken by then is not waited for."""
HEAD = struct.Struct("<4sIIII")
"""MAGIC, the least shorter side that was asked for, height, width, CRC-32 of the pixels; then these, RGB."""
MAGIC = b"RGB2"


class HandedPixels:
    """Decoded pictures in a folder that web processes and workers share. Thread-safe."""

    def __init__(self, root: Path) -> None:
        """Keep the folder, which the first worker makes."""
        self._root = root
        self._said: int | None = None

    def want(self, min_side_px: int) -> None:
        """Say how large a worker wants pictures, as `ports.ImageDecoder.decode` takes it."""
        if self._said == min_side_px:
            return
        try:
            private_files.make_folder(self._root)
            with private_files.open_file(self._root / WANTED, "wb") as file:
                file.write(str(min_side_px).encode())
            self._said = min_side_px
        except OSError as error:
            logger.warning("Pictures are decoded twice, because %s: %s", self._root, error.strerror)

    def wanted_side_px(self) -> int | None:
        """Return how large workers want pictures; None where none has said so."""
        try:
            return int((self._root / WANTED).read_bytes()) or None
        except (OSError, ValueError):
            return None

    def put(self, storage_key: str, min_side_px: int, pixels: RgbImage) -> bool:
        """Leave a picture for a worker, and return whether there was room for it.

        Args:
            storage_key: of its original.
            min_side_px: what it was decoded for.
            pixels: (h, w, 3), as `ports.ImageDecoder.decode` returns them.
        """
        if pixels.nbytes > MOST_BYTES:
            return False
        path = self._path(storage_key)
        try:
            # One of them is what workers want.
            names = os.listdir(self._root)  # noqa: PTH208 - a path for each would take 0.3 ms
            if len(names) > MOST_FILES and not self.forget_old():
                return False
            with private_files.open_file(path, "xb") as file:
                rows = np.ascontiguousarray(pixels).data
                file.write(HEAD.pack(MAGIC, min_side_px, *pixels.shape[:2], zlib.crc32(rows)))
                file.write(rows)
        except OSError as error:
            logger.info("A picture is decoded twice: %s", error)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return False
        return True

    def take(self, storage_key: str, min_side_px: int) -> RgbImage | None:
        """Return a picture that waits, and keep it no more; None where none of that size does."""
        path = self._path(storage_key)
        try:
            content = path.read_bytes()
            path.unlink(missing_ok=True)
        except OSError:
            return None
        if len(content) < HEAD.size:
            return None
        magic, side_px, height, width, checksum = HEAD.unpack_from(content)
        is_whole = len(content) == HEAD.size + 3 * height * width and height * width > 0
        if magic != MAGIC or side_px != min_side_px or not is_whole:
            return None
        if zlib.crc32(memoryview(content)[HEAD.size :]) != checksum:
            logger.warning("Pixels of %s are damaged, so it is decoded again.", storage_key)
            return None
        return np.frombuffer(content, np.uint8, offset=HEAD.size).reshape(height, width, 3)

    def drop(self, storage_key: str) -> None:
        """Remove a picture that no worker will ask for; harmless where there is none."""
        try:
            self._path(storage_key).unlink(missing_ok=True)
        except OSError as error:
            logger.error("Pixels of %s are not removed: %s", storage_key, error)

    def forget_old(self) -> int:
        """Remove what no worker has taken for OLD_AFTER_S, and return how many pictures that were."""
        oldest, removed = time.time() - OLD_AFTER_S, 0
        with suppress(OSError):
            for path in self._root.iterdir():
                # Another process may have removed it meanwhile.
                with suppress(OSError):
                    if path.name != WANTED and path.stat().st_mtime < oldest:
                        path.unlink()
                        removed += 1
        return removed

    def _path(self, storage_key: str) -> Path:
        # The name alone is one of its kind: it holds the hash and a random part.
        return self._root / f"{storage_key.rpartition('/')[2]}.rgb"
