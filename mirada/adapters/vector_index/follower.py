"""Keep one process's index within a second of the database, in the background."""

from __future__ import annotations

import logging
import threading

from mirada.kernel.errors import Unavailable
from mirada.ports import VectorIndex

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""SEARCH, the change counter: at most 0.5 s between polls keeps a commit within 1 s of searchable."""
OUTAGE_POLL_S = 1.0


class Follower:
    """A daemon thread that calls `refresh()`. It outlives database outages and logs each one once."""

    def __init__(self, index: VectorIndex, poll_s: float = POLL_S) -> None:
        """Keep the index; `start` begins to follow."""
        self._index = index
        self._poll_s = poll_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="index-follower", daemon=True)

    def start(self) -> None:
        """Begin following."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following and wait for the thread; harmless to repeat, or if never started."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    def _follow(self) -> None:
        is_in_trouble = False
        while not self._stopping.is_set():
            try:
                self._index.refresh()
            except Unavailable as error:
                if not is_in_trouble:
                    logger.warning("The index cannot follow the database: %s", error)
                is_in_trouble = True
            except Exception:
                # The edge of a thread: if it ended here, this process would serve the past for ever.
                if not is_in_trouble:
                    logger.exception("The index failed to refresh and will go on trying.")
                is_in_trouble = True
            else:
                if is_in_trouble:
                    logger.info("The index follows the database again.")
                is_in_trouble = False
            self._stopping.wait(OUTAGE_POLL_S if is_in_trouble else self._poll_s)
