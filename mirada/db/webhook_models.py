"""The tables of webhooks and of what is sent to them; see `mirada.webhooks`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mirada.db.models import Base, Dated, Id, Numbered, UtcDateTime
from mirada.db.names import PREFIX


class DeliveryState(StrEnum):
    """The state of a delivery: still tried, taken by its receiver, given up, or switched off before."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Webhook(Numbered, Dated, Base):
    """An address that is told what happens to one person's images and jobs.

    `events` are separated by blanks. `after_image_id` and `since_ms` (database's clock) say from where on
    things are told. `noticed_ms` is when it was last looked for them. `ended_reason` says why it was
    switched off by itself; None where it was not.
    """

    __tablename__ = f"{PREFIX}webhooks"
    __table_args__ = ({"sqlite_autoincrement": True},)

    user_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"), index=True
    )
    address: Mapped[str] = mapped_column(String(2000))
    events: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(String(200))
    secret: Mapped[str] = mapped_column(String(100))
    old_secret: Mapped[str | None] = mapped_column(String(100))
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_enabled: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())
    ended_reason: Mapped[str | None] = mapped_column(String(20))
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    after_image_id: Mapped[int] = mapped_column(BigInteger)
    since_ms: Mapped[int] = mapped_column(BigInteger)
    noticed_ms: Mapped[int] = mapped_column(BigInteger)


class WebhookDelivery(Numbered, Dated, Base):
    """One message to one webhook. `event`, `subject_id` and `moment` are told once."""

    __tablename__ = f"{PREFIX}webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event", "subject_id", "moment"),
        Index(None, "created_at"),
        {"sqlite_autoincrement": True},
    )

    webhook_id: Mapped[int] = mapped_column(
        Id, ForeignKey(f"{PREFIX}webhooks.id", ondelete="CASCADE")
    )
    message_id: Mapped[str] = mapped_column(String(40))
    event: Mapped[str] = mapped_column(String(30))
    subject_id: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    moment: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(12), default=DeliveryState.WAITING)
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(String(300))
    took_ms: Mapped[int | None] = mapped_column(Integer)
    attempted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    webhook: Mapped[Webhook] = relationship()
