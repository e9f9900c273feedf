"""The heartbeat of a worker process: a file that it touches, judged by `python -m workers.heartbeat`."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from mirada.background import Loop

HEARTBEAT_FILE = Path(tempfile.gettempdir()) / f"mirada-worker-{os.getuid()}.alive"
"""Local to the container, so that one worker cannot vouch for another on a shared volume; and of
this user, because nobody else may touch or remove it there."""
BEAT_EVERY_S = 5.0
STALE_AFTER_S = 60.0
"""Loading weights may hold the interpreter for some seconds; a minute of silence means it hangs."""


class Heartbeat(Loop):
    """Touches the file until it is stopped."""

    def __init__(self, file: Path = HEARTBEAT_FILE, every_s: float = BEAT_EVERY_S) -> None:
        """Prepare; nothing is written before `start`."""
        super().__init__("heartbeat", file.touch, every_s, "The heartbeat file cannot be written")
        self._file = file

    def stop(self, timeout_s: float = 2.0) -> bool:
        """End, and leave no file that would speak for a process that is gone."""
        has_ended = super().stop(timeout_s)
        # A file that stays is old in a minute. Nothing of it may keep a worker from ending cleanly.
        with contextlib.suppress(OSError):
            self._file.unlink()
        return has_ended


def is_beating(file: Path = HEARTBEAT_FILE, stale_after_s: float = STALE_AFTER_S) -> bool:
    """Return whether a worker touched the file lately."""
    try:
        return time.time() - file.stat().st_mtime < stale_after_s
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_beating() else 1)
