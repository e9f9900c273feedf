"""A connection to MySQL or MariaDB whose limits can be changed while it is open."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pymysql.connections import Connection
from pymysql.constants.CR import CR_SERVER_LOST
from pymysql.constants.SERVER_STATUS import SERVER_STATUS_AUTOCOMMIT, SERVER_STATUS_IN_TRANS
from pymysql.err import MySQLError, OperationalError

from mirada.db.mysql_results import QuickResult
from mirada.sockets import has_something_to_read

UNKNOWN_VARIABLE = 1193


class BoundedConnection(Connection):  # type: ignore[misc]
    """PyMySQL's connection."""

    _next_seq_id: int

    def is_quiet(self) -> bool:
        """Return whether it is open and the server has said nothing unasked, such as goodbye."""
        return self._sock is not None and not has_something_to_read(self._sock.fileno())

    def _read_query_result(self, unbuffered: bool = False) -> Any:
        """Read a result as PyMySQL does, with a quicker reader."""
        self._result = None
        result = QuickResult(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        return result.affected_rows

    def arrived(self) -> bytes:
        """Return what the server has sent and nobody has read; waits where that is nothing.

        Raises:
            OperationalError: the connection is lost.
        """
        try:
            arrived: bytes = self._rfile.peek()
        except OSError as error:
            self._force_close()
            raise OperationalError(
                CR_SERVER_LOST, f"Lost connection to MySQL server during query ({error})"
            ) from error
        return arrived

    def take(self, size: int, packets: int) -> None:
        """Mark the first bytes of what has arrived as read: so many packets, whole."""
        if size:
            self._rfile.read(size)
            self._next_seq_id = (self._next_seq_id + packets) % 256

    def commit(self) -> None:
        """Commit, where the server says that there is a transaction; else send nothing."""
        if self._may_be_in_transaction():
            super().commit()

    def rollback(self) -> None:
        """Roll back, where the server says that there is a transaction; else send nothing."""
        if self._may_be_in_transaction():
            super().rollback()

    def _may_be_in_transaction(self) -> bool:
        # Each of the server's replies says both. Rows that nobody has read yet hide its last word.
        is_reading = self._result is not None and self._result.unbuffered_active
        by_itself = self.server_status & SERVER_STATUS_AUTOCOMMIT
        return bool(is_reading or not by_itself or self.server_status & SERVER_STATUS_IN_TRANS)

    def wait_at_most(self, reply_s: float) -> None:
        """Give up a server that says nothing for `reply_s` seconds."""
        # PyMySQL takes both with a new connection only, and looks at them before every packet.
        self._read_timeout = self._write_timeout = reply_s

    def limit(self, lock_s: int, statement_s: float) -> None:
        """Have the server end waits for locks after `lock_s`, and statements after `statement_s`.

        `lock_wait_timeout` counts for tables and for FLUSH TABLES WITH READ LOCK, which a backup holds.
        MariaDB's limit of statements counts for all of them, MySQL's for SELECT; each server reads only
        its own comment.
        """
        locks = [f"innodb_lock_wait_timeout = {lock_s}", f"lock_wait_timeout = {lock_s}"]
        statements = (
            f"/*M!100101 , max_statement_time = {statement_s} */"
            f"/*!50708 , max_execution_time = {int(statement_s * 1000)} */"
        )
        with self.cursor() as cursor:
            try:
                cursor.execute(f"SET SESSION {', '.join(locks)} {statements}")
            except MySQLError as error:
                if error.args[0] != UNKNOWN_VARIABLE:
                    raise
                # A compatible server that lacks one of them: the driver's limit is left.
                for one in locks:
                    with suppress(OperationalError):
                        cursor.execute(f"SET SESSION {one}")
