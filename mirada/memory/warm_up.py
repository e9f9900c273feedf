"""A background thread that encodes the list of styles before the first question."""

from __future__ import annotations

import logging

from mirada.background import Loop
from mirada.kernel.errors import EmbeddingSpaceMismatch
from mirada.memory import taste
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
"""Until prompts are embedded there is no space that the texts could be encoded in."""
RETRY_S = 30.0
"""After trouble: a database that is down, or weights that cannot be had, which it costs to look for."""


class StyleWarmUp(Loop):
    """A loop that waits until prompts are embedded, encodes the list of styles, and ends."""

    def __init__(self, runtime: Runtime, *, may_encode: bool) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            runtime: the process's own.
            may_encode: false where workers encode: then it waits for what they store.
        """
        super().__init__(
            "styles",
            self._make_ready,
            LOOK_EVERY_S,
            "The list of styles is not ready yet",
            retry_s=RETRY_S,
        )
        self._runtime = runtime
        self._may_encode = may_encode

    def start(self) -> None:
        """Begin in the background; without EMBEDDINGS_ENABLED there is nothing to do."""
        if self._runtime.settings.embeddings_enabled:
            super().start()

    def _make_ready(self) -> bool:
        try:
            return taste.make_ready(
                self._runtime, may_encode=self._may_encode, is_stopping=self.is_stopping
            )
        except EmbeddingSpaceMismatch as error:
            logger.warning("The list of styles is not made ready: %s", error)
            return True
