"""A connection to PostgreSQL whose limits can be changed while it is open."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, OperationalError, errors

from mirada.sockets import has_something_to_read


class BoundedConnection(Connection[Any]):
    """Psycopg's connection."""

    _reply_s: float | None = None

    def is_quiet(self) -> bool:
        """Return whether it is open and the server has said nothing unasked, such as goodbye."""
        return not self.closed and not has_something_to_read(self.fileno())

    def wait_at_most(self, reply_s: float) -> None:
        """Give up a server that says nothing for `reply_s` seconds."""
        self._reply_s = reply_s

    def limit(self, lock_s: int, statement_s: float) -> None:
        """Have the server end waits for locks after `lock_s`, and statements after `statement_s`."""
        with self.cursor() as cursor:
            cursor.execute(
                f"SET SESSION lock_timeout = {lock_s * 1000};"
                f"SET SESSION statement_timeout = {int(statement_s * 1000)}".encode()
            )
        self.commit()

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server, at most as long as it was told to."""
        try:
            return super().wait(
                gen, interval=interval, timeout=self._reply_s if timeout is None else timeout
            )
        except errors._WaitTimeout as error:
            # It is in the middle of an answer that may still come; nobody can use it any more.
            self.close()
            raise OperationalError("The server's reply timed out.") from error
