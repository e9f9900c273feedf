"""Rows of imports and exports, as `mirada import` writes them while it runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from mirada.db.session import now_ms
from mirada.db.transfer_models import Transfer
from mirada.people import users
from mirada.runtime import Runtime
from mirada.transfer.claims import LEASE_S, this_place

SILENT_MS = (LEASE_S + 1) * 1000
"""So long ago a run was heard of that it is stopped."""


def keep_run(runtime: Runtime, username: str, silent_ms: int = 0, **values: Any) -> int:
    """Insert an import of this process that goes on, and return its id.

    Args:
        runtime: a migrated one.
        username: whose it is.
        silent_ms: how long ago it was heard of last.
        **values: of other columns, or others in place of these.
    """
    with runtime.transaction() as session:
        owner_id = users.user_named(session, username).id
        seen_at_ms = session.execute(select(now_ms())).scalar_one() - silent_ms
        usual: dict[str, Any] = {
            "kind": "import",
            "subject": "shop",
            "place": this_place(),
            "state": "running",
            "done": 12,
            "total": 40,
            "taken": 12,
            "started_at_ms": seen_at_ms - 60_000,
            "seen_at_ms": seen_at_ms,
        }
        run = Transfer(owner_id=owner_id, **{**usual, **values})
        session.add(run)
        session.flush()
        return run.id
