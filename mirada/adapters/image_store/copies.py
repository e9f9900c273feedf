"""Copies of originals, smaller and without metadata, as files below one folder: a cache.

A copy is named by its original's key and a tail, such as "320.2.webp". Several processes share the folder.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mirada import private_files

logger = logging.getLogger(__name__)


class LocalCopies:
    """The cache `ports.Copies` in a folder. Thread-safe."""

    def __init__(self, root: Path) -> None:
        """Keep the folder, which the first copy makes."""
        self._root = root

    def read(self, storage_key: str, tail: str) -> bytes | None:
        """Return a copy; None where it is not kept or cannot be read."""
        path = self._path(storage_key, tail)
        try:
            # What a power cut left empty is made again.
            return path.read_bytes() or None
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("The copy %s is not read: %s", path, error)
            return None

    def has(self, storage_key: str, tail: str) -> bool:
        """Return whether a copy is kept, without reading it."""
        with suppress(OSError):
            return self._path(storage_key, tail).stat().st_size > 0
        return False

    def write(self, storage_key: str, tail: str, content: bytes) -> bool:
        """Keep a copy, and return whether that could be done; a disk without room is logged."""
        path = self._path(storage_key, tail)
        try:
            private_files.make_folder(path.parent)
            _write_whole(path, content)
        except OSError as error:
            logger.warning("The copy %s is not kept: %s", path, error)
            return False
        return True

    def drop(self, storage_key: str, tails: Iterable[str]) -> None:
        """Remove copies; harmless where there are none."""
        for tail in tails:
            try:
                self._path(storage_key, tail).unlink(missing_ok=True)
            except OSError as error:
                logger.error("A copy of %s is not removed: %s", storage_key, error)

    def _path(self, storage_key: str, tail: str) -> Path:
        return self._root / f"{storage_key}.{tail}"


def _write_whole(path: Path, content: bytes) -> None:
    # Renamed into place, so that no reader ever sees half of it.
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
