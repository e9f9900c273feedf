"""The hub of model weights: files in its cache, and whether it answers."""

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

HUB_WAIT_S = 5.0
"""Seconds after which the hub counts as unreachable, before a download is tried."""

# The hub client reads this at its import; without it, it reports every start to the hub.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


class HubFile(NamedTuple):
    """One file that a model needs from the hub.

    Attributes:
        repository: name on the hub, such as "laion/CLIP-ViT-B-32-laion2B-s34B-b79K".
        names: alternative file names, the best first; one of them is enough.
    """

    repository: str
    names: tuple[str, ...]

    def cached(self, cache_dir: Path | None) -> Path | None:
        """Return the path in the cache of the first of `names` that is there; None when none is.

        Args:
            cache_dir: folder of downloads; None for the hub client's own cache.
        """
        from huggingface_hub import try_to_load_from_cache

        for name in self.names:
            found = try_to_load_from_cache(self.repository, name, cache_dir=cache_dir)
            # For a file that the hub is known not to have, the client returns an object of its own.
            if isinstance(found, str):
                return Path(found)
        return None


def hub_reachable(timeout_s: float) -> bool:
    """Return whether the weights hub answers within `timeout_s`; False when it is switched off.

    One deadline covers name lookup, every address, and a slow reply, which have no common time-out
    of their own. The hub client's retries take 45 s without a network. So a thread sends the
    request, and is left alone when the deadline has passed.
    """
    from huggingface_hub import constants

    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT)
    is_web = endpoint.startswith(("http://", "https://"))
    if timeout_s <= 0 or not is_web or constants.is_offline_mode():
        return False
    answered, done = threading.Event(), threading.Event()

    def ask() -> None:
        request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 - checked above
        try:
            with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
                answered.set()
        except urllib.error.HTTPError as error:
            # 404 and 405 come from a hub without a front page; 502 and 407 from a gateway or a proxy.
            if error.code in {404, 405}:
                answered.set()
        except (OSError, ValueError, http.client.HTTPException):
            logger.debug("The weights hub does not answer.", exc_info=True)
        finally:
            done.set()

    threading.Thread(target=ask, name="hub-probe", daemon=True).start()
    done.wait(timeout_s)
    return answered.is_set()
