"""The table of the audit trail; see `mirada.db.audit`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Dated, Numbered
from mirada.db.names import PREFIX


class AuditEntry(Numbered, Dated, Base):
    """One act. `user_id`, `role`, `via` and `key_id` are of whoever did it; `owner_id` is whose thing it was.

    Ids are no foreign keys: an entry outlives what it tells of, and writing it locks no other row.
    """

    __tablename__ = f"{PREFIX}audit_entries"
    __table_args__ = (
        Index(None, "created_at"),
        Index(None, "user_id"),
        Index(None, "owner_id"),
        {"sqlite_autoincrement": True},
    )

    action: Mapped[str] = mapped_column(String(30))
    subject_id: Mapped[int | None] = mapped_column(BigInteger)
    owner_id: Mapped[int | None] = mapped_column(BigInteger)
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    role: Mapped[str | None] = mapped_column(String(20))
    via: Mapped[str] = mapped_column(String(20))
    key_id: Mapped[int | None] = mapped_column(BigInteger)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
