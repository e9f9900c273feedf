"""The bytes of files that are needed twice, so that the files are read once."""

from __future__ import annotations

import threading
from pathlib import Path


class HeldFiles:
    """The bytes of a batch's files between hashing and storing, up to a limit. Thread-safe."""

    def __init__(self, most_bytes: int) -> None:
        """Hold nothing yet."""
        self._left = most_bytes
        self._lock = threading.Lock()
        self._contents: dict[Path, bytes] = {}

    def has_room_for(self, count: int) -> bool:
        """Return whether so many bytes may be held, and set them aside."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def keep(self, path: Path, content: bytes) -> None:
        """Hold a file's bytes."""
        with self._lock:
            self._contents[path] = content

    def take(self, path: Path) -> bytes | None:
        """Return a file's bytes and let go of them; None where they are not held."""
        with self._lock:
            return self._contents.pop(path, None)
