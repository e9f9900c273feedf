"""Keep one process's index within a second of the database, in the background."""

from __future__ import annotations

from mirada.background import Loop
from mirada.ports import VectorIndex

POLL_S = 0.25
"""SEARCH, the change counter: at most 0.5 s between polls keeps a commit within 1 s of searchable."""
OUTAGE_POLL_S = 1.0


def follower(index: VectorIndex, poll_s: float = POLL_S) -> Loop:
    """Return the loop that calls the index's `refresh()`."""
    return Loop(
        "index-follower",
        lambda: index.refresh(),
        poll_s,
        "The index cannot follow the database",
        retry_s=OUTAGE_POLL_S,
    )
