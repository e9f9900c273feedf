"""The time a key was last used, written in the background about once a minute per key."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

from sqlalchemy import or_, update

from mirada.db.models import ApiKey, utc_now
from mirada.db.session import Database
from mirada.kernel.errors import Unavailable

logger = logging.getLogger(__name__)

WRITE_EVERY = timedelta(minutes=1)
"""Fine enough to tell a key in use from a forgotten one, and no write on most requests."""
CLOSE_WITHIN_S = 10
MOST_REMEMBERED = 10_000
"""Keys whose last write this process remembers; beyond it starts afresh, at the price of a write each."""


class KeyUsage:
    """Writes `last_used_at` in a thread that lives only while there is something to write.

    A request hands over an id and goes on: it neither waits for the database nor fails with it.
    What a crash or an outage takes along is a minute's news of a key.
    """

    def __init__(self, database: Database) -> None:
        """Keep the database; nothing runs before the first note."""
        self._database = database
        self._changed = threading.Condition()
        self._noted: dict[int, datetime] = {}
        self._waiting: dict[int, datetime] = {}
        self._is_writing = False
        self._is_closed = False

    def note(self, key_id: int, last_used_at: datetime | None) -> None:
        """Remember that a key is being used.

        Args:
            key_id: which.
            last_used_at: what its row says.
        """
        now = utc_now()
        if last_used_at is not None and now - last_used_at < WRITE_EVERY:
            return
        with self._changed:
            noted = self._noted.get(key_id)
            if self._is_closed or (noted is not None and now - noted < WRITE_EVERY):
                return
            if len(self._noted) >= MOST_REMEMBERED:
                self._noted.clear()
            self._noted[key_id] = self._waiting[key_id] = now
            if not self._is_writing:
                self._is_writing = True
                threading.Thread(target=self._write, name="key-usage", daemon=True).start()

    def settle(self, timeout_s: float = CLOSE_WITHIN_S) -> bool:
        """Wait until what was noted is written, or was given up; False when that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_writing, timeout=timeout_s)

    def close(self) -> None:
        """Take no more notes, and let what was noted be written."""
        with self._changed:
            self._is_closed = True
        self.settle()

    def _write(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._is_writing = False
                    self._changed.notify_all()
                    return
                used, self._waiting = self._waiting, {}
            try:
                self._keep(used)
            except Unavailable as error:
                # The database's own probe tells of it; the key's next use after a minute is noted again.
                logger.debug("When keys were last used was not written: %s", error)
            except Exception:
                # The edge of a thread: were it to end here, `_is_writing` would stay true, and no key's use
                # would be written any more.
                logger.exception("When keys were last used could not be written")

    def _keep(self, used: dict[int, datetime]) -> None:
        with self._database.transaction() as session:
            # In one order, so that two processes cannot wait for each other.
            for key_id, at in sorted(used.items()):
                is_news = or_(
                    ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= at - WRITE_EVERY
                )
                session.execute(
                    update(ApiKey)
                    .where(ApiKey.id == key_id, is_news)
                    .values(last_used_at=at)
                    .execution_options(synchronize_session=False)
                )
