"""Whether a socket has something to read, which says of an idle connection that its server closed it."""

from __future__ import annotations

import select


def has_something_to_read(descriptor: int) -> bool:
    """Return whether bytes, or the end of the connection, have come; no byte is read."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(0))
