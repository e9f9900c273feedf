"""Values that were read of the database, remembered with the number of the change counter of that moment.

Every change of who may see an image takes a number, in the transaction that makes it
(`mirada.db.changes`). So nothing is taken from memory that the viewer may see no more.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from mirada.db import changes

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Known(Generic[Value]):
    value: Value
    change_seq: int
    read_at: float
    nbytes: int


class KnownByChange(Generic[Key, Value]):
    """Values by their keys, as long as nothing has changed since they were read. Thread-safe."""

    def __init__(
        self,
        nbytes: Callable[[Value], int],
        max_bytes: int,
        *,
        max_age_s: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing remembered.

        Args:
            nbytes: the memory that a value takes, roughly.
            max_bytes: of all values; of those that were used least lately the memory lets go.
            max_age_s: seconds after which a value is read again though no number was taken: for values
                that also rest on what takes none.
            clock: seconds.
        """
        self._nbytes = nbytes
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[Key, _Known[Value]] = OrderedDict()
        self._bytes = 0

    def value(self, session: Session, key: Key, read: Callable[[], Value]) -> Value:
        """Return the value of a key, read with `read` unless it is remembered.

        Args:
            session: that `read` reads with, so that both see the same state of the database.
            key: all that the value follows from beside the database: the viewer too.
            read: makes the value.
        """
        # Read first: what is found afterwards is at least as new as this number.
        change_seq, now = changes.current_seq(session), self._clock()
        with self._lock:
            known = self._known.get(key)
            # Another number is newer, or of another database: this one was restored from a backup.
            if known and known.change_seq == change_seq and now < known.read_at + self._max_age_s:
                self._known.move_to_end(key)
                return known.value
        value = read()
        self._keep(key, _Known(value, change_seq, now, self._nbytes(value)))
        return value

    def _keep(self, key: Key, known: _Known[Value]) -> None:
        with self._lock:
            before = self._known.pop(key, None)
            self._known[key] = known
            self._bytes += known.nbytes - (before.nbytes if before else 0)
            while self._bytes > self._max_bytes and self._known:
                self._bytes -= self._known.popitem(last=False)[1].nbytes
