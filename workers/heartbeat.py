"""A worker process has no port to ask, so it touches a file; `python -m workers.heartbeat` judges it."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from pathlib import Path

logger = logging.getLogger(__name__)

HEARTBEAT_FILE = Path(tempfile.gettempdir()) / "mirada-worker.alive"
"""Local to the container, so that one worker cannot vouch for another on a shared volume."""
BEAT_EVERY_S = 5.0
STALE_AFTER_S = 60.0
"""Loading weights may hold the interpreter for some seconds; a minute of silence means it hangs."""


class Heartbeat:
    """Touches the file from a thread of its own until it is stopped."""

    def __init__(self, file: Path = HEARTBEAT_FILE, every_s: float = BEAT_EVERY_S) -> None:
        """Prepare; nothing is written before `start`."""
        self._file = file
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and leave no file that would speak for a process that is gone."""
        self._stopped.set()
        self._thread.join(timeout=2)
        self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        is_told = False
        while True:
            try:
                self._file.touch()
            except OSError as error:
                if not is_told:
                    logger.warning("The heartbeat file cannot be written: %s", error)
                is_told = True
            if self._stopped.wait(self._every_s):
                return


def is_beating(file: Path = HEARTBEAT_FILE, stale_after_s: float = STALE_AFTER_S) -> bool:
    """Return whether a worker touched the file lately."""
    try:
        return time.time() - file.stat().st_mtime < stale_after_s
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_beating() else 1)
