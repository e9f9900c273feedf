"""The asker of a key: a caller with their rights, or the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mirada.db.idempotency import Once, once
from mirada.people.access import Authority, Scopes


@dataclass(frozen=True, slots=True)
class Asker:
    """The caller that asks for a key.

    Attributes:
        user_id: id of the caller, who owns `idempotency_key`.
        authority: the rights of the caller; None for the command line, which has no limits.
        key_id: the key they call with; None without one.
        idempotency_key: the request's; it makes one key, shown in the first reply only.
    """

    user_id: int = 0
    authority: Authority | None = None
    key_id: int | None = None
    idempotency_key: str | None = None

    def refuse_more(self, scopes: Scopes | None, until: datetime | None) -> None:
        """Check the rights of a new key; see `Authority.refuse_more`."""
        if self.authority is not None:
            self.authority.refuse_more(scopes, until)

    def once(self, kind: str, fields: Mapping[str, object]) -> Once:
        """Return the request's claim to be done once; see `idempotency.once`."""
        return once(self.user_id, self.idempotency_key, kind, fields)


COMMAND_LINE = Asker()
