"""The session with which a request reads; what each block would open is opened once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from mirada.db import waits


class ReadByRequest:
    """The session with which a request reads: one connection, from its first look to its end.

    Rows that a block has loaded are let go with it, so the next block loads them anew.
    """

    def __init__(self, session: Session, is_crowded: Callable[[], bool]) -> None:
        """Keep a session, which takes a connection at its first statement.

        Args:
            session: for reading, with nothing loaded.
            is_crowded: whether so many connections are taken that none should be kept for later.
        """
        self._session = session
        self._is_crowded = is_crowded
        self._waits = waits.current()
        self._used_at_s = 0.0
        self.is_lent = False

    def serves(self, engine: Engine) -> bool:
        """Return whether a block may have the session: not within another one, nor with other limits."""
        return not self.is_lent and self._session.bind is engine and self._waits == waits.current()

    @contextmanager
    def lent(self) -> Iterator[Session]:
        """Yield the session."""
        if time.monotonic() - self._used_at_s > waits.FRESH_S:
            # The pool sees whether the connection is alive still.
            self.close()
        self.is_lent = True
        try:
            yield self._session
        except BaseException:
            self.close()
            raise
        finally:
            self.is_lent = False
        self._session.expunge_all()
        self._used_at_s = time.monotonic()
        if self._is_crowded():
            self.close()

    def close(self) -> None:
        """Give the connection back; the next block takes one again."""
        self._session.close()
