"""Wait until an index has caught up with a change that a caller knows of."""

from __future__ import annotations

import time
from collections.abc import Callable

from mirada.kernel.errors import Unavailable

POLL_S = 0.02


def wait_until(
    reached: Callable[[], bool], catch_up: Callable[[], object], timeout_s: float
) -> None:
    """Call `catch_up` until `reached`.

    Raises:
        Unavailable: not within `timeout_s`: the number is not committed, or the database is slow.
    """
    deadline = time.monotonic() + timeout_s
    while not reached():
        catch_up()
        if reached():
            return
        if time.monotonic() + POLL_S > deadline:
            raise Unavailable(
                "The search index has not caught up with that change yet; try again shortly.",
                retry_after_s=1,
            )
        time.sleep(POLL_S)
