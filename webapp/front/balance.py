"""The numbers of connections of this server's processes, so that a new one goes to the process with fewest.

All processes listen on one socket, and the kernel wakes whoever is quickest: of eight clients that keep
their connections, six may stay with one process.
"""

from __future__ import annotations

import mmap
import time

from mirada.sockets import has_something_to_read

PLACES = 64
"""Processes that are told apart; with more, some share a number and are less well balanced."""
ABSENT = -1
LEAVE_S = 0.002
"""How long a connection is left to a process with fewer. One that is idle takes it in a twentieth of that."""
LOOK_EVERY_S = 0.00025


class Balance:
    """Numbers in memory that processes share when they are forked."""

    def __init__(self, places: int = PLACES) -> None:
        """Begin with every process absent."""
        self._memory = mmap.mmap(-1, 4 * places)
        self.counts = memoryview(self._memory).cast("i")
        for place in range(places):
            self.counts[place] = ABSENT

    def place(self, number: int) -> Place:
        """Return the place of a process by its number."""
        return Place(self, number % len(self.counts))


class Place:
    """One process among the others."""

    def __init__(self, balance: Balance, index: int) -> None:
        """Keep where its number is."""
        self._counts = balance.counts
        self._index = index
        self._has_left = False

    def tell(self, connections: int) -> None:
        """Tell the others how many connections this process has; nothing after it has left."""
        if not self._has_left:
            self._counts[self._index] = connections

    def leave(self) -> None:
        """Tell the others that this process takes no more connections."""
        self._has_left = True
        self._counts[self._index] = ABSENT

    def has_most(self) -> bool:
        """Return whether another process that takes connections has fewer."""
        mine = self._counts[self._index]
        return any(ABSENT < count < mine for count in self._counts)

    def give_way(self, listener: int) -> None:
        """Leave what waits at a socket to a process with fewer, for a moment; a busy one does not take it.

        Args:
            listener: descriptor of the socket that is listened to.
        """
        until_s = time.monotonic() + LEAVE_S
        while self.has_most() and has_something_to_read(listener) and time.monotonic() < until_s:
            time.sleep(LOOK_EVERY_S)


_shared: Balance | None = None


def share() -> Balance:
    """Return the numbers of this server; call it before processes are forked."""
    global _shared
    _shared = _shared or Balance()
    return _shared


def place_of(number: int) -> Place:
    """Return the place of a process of this server; alone where nothing is shared."""
    return (_shared or Balance(1)).place(number)
