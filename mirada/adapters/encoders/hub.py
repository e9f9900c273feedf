"""The weights hub: what of it lies in the cache, and whether it answers."""

from __future__ import annotations

import http.client
import logging
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

logger = logging.getLogger(__name__)

# Read by the hub client when it is imported; it would tell the hub who runs it, at every start.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


class HubFile(NamedTuple):
    """One file that a model needs from the hub.

    Attributes:
        repository: such as "laion/CLIP-ViT-B-32-laion2B-s34B-b79K".
        names: file names, any of which will do, the best first.
    """

    repository: str
    names: tuple[str, ...]

    def cached(self, cache_dir: Path | None) -> Path | None:
        """Return where the best of its names lies in the cache, None when none does.

        Args:
            cache_dir: where downloads are kept; None for the hub client's own cache.
        """
        from huggingface_hub import try_to_load_from_cache

        for name in self.names:
            found = try_to_load_from_cache(self.repository, name, cache_dir=cache_dir)
            # The client also remembers, by an object of its own, that the hub has no such file.
            if isinstance(found, str):
                return Path(found)
        return None


def hub_reachable(timeout_s: float) -> bool:
    """Return whether the weights hub answers within `timeout_s`; false when it is switched off.

    One deadline over name lookup, every address, and an answer that comes a byte at a time. None of
    them honours a time-out of its own, and the hub client's retries take 45 s without a network, so
    the question is asked on a thread that may be left behind.
    """
    from huggingface_hub import constants

    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT)
    if constants.is_offline_mode() or not endpoint.startswith(("http://", "https://")):
        return False
    if timeout_s <= 0:
        return False
    answered, done = threading.Event(), threading.Event()

    def ask() -> None:
        request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 - checked above
        try:
            with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
                answered.set()
        except urllib.error.HTTPError as error:
            # A hub without a front page is a hub; a gateway's 502 or a proxy's 407 is not.
            if error.code in {404, 405}:
                answered.set()
        except (OSError, ValueError, http.client.HTTPException):
            logger.debug("The weights hub does not answer.", exc_info=True)
        finally:
            done.set()

    threading.Thread(target=ask, name="hub-probe", daemon=True).start()
    done.wait(timeout_s)
    return answered.is_set()
