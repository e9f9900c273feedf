"""A background thread that encodes the list of styles before the first question."""

from __future__ import annotations

import logging
import threading

from mirada.kernel.errors import EmbeddingSpaceMismatch, MiradaError
from mirada.memory import taste
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
"""Until prompts are embedded there is no space that the texts could be encoded in."""
RETRY_S = 30.0
"""After trouble: a database that is down, or weights that cannot be had, which it costs to look for."""
JOIN_TIMEOUT_S = 3.0


class StyleWarmUp:
    """A thread that waits until prompts are embedded, encodes the list of styles, and ends."""

    def __init__(self, runtime: Runtime, *, may_encode: bool) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            runtime: the process's own.
            may_encode: false where workers encode: then it waits for what they store.
        """
        self._runtime = runtime
        self._may_encode = may_encode
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="styles", daemon=True)

    def start(self) -> None:
        """Begin in the background; without EMBEDDINGS_ENABLED there is nothing to do."""
        if self._runtime.settings.embeddings_enabled:
            self._thread.start()

    def stop(self) -> bool:
        """End after the texts under way, and return whether it has; what was encoded is kept."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        is_told = False
        while not self._stopped.is_set():
            wait_s = LOOK_EVERY_S
            try:
                if taste.make_ready(
                    self._runtime, may_encode=self._may_encode, is_stopping=self._stopped.is_set
                ):
                    return
            except EmbeddingSpaceMismatch as error:
                logger.warning("The list of styles is not made ready: %s", error)
                return
            except MiradaError as error:
                if not is_told:
                    logger.warning("The list of styles is not ready yet: %s", error)
                is_told, wait_s = True, RETRY_S
            except Exception:
                # The edge of a thread. Whoever asks for suggestions has the list made ready then.
                logger.exception("The list of styles was not made ready")
                return
            self._stopped.wait(wait_s)
