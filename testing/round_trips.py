"""Counts what a thread sends to MariaDB or MySQL, each command being one round trip."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymysql.connections import Connection


@contextmanager
def counted() -> Iterator[list[str]]:
    """Yield a list that gets each command that this thread sends while the block runs."""
    sent: list[str] = []
    here, execute = threading.get_ident(), Connection._execute_command

    def note(connection: Any, command: int, sql: str | bytes) -> Any:
        if threading.get_ident() == here:
            text = sql if isinstance(sql, str) else sql.decode(errors="replace")
            sent.append(" ".join(text.split()) or f"command {command}")
        return execute(connection, command, sql)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "_execute_command", note)
        yield sent
