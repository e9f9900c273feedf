"""The tables of batches: one change of many images, what it changed, and what not; see `mirada.batches`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Dated, Numbered, UtcDateTime
from mirada.db.names import PREFIX


class Batch(Numbered, Dated, Base):
    """One change of many images.

    `conditions` are the filter's, as `kernel.conditions.read_conditions` takes them; None for a list of
    ids. A job goes through the owner's images by id, from behind `cursor_id` to `last_id`. `token` is what
    its owner names it by, and undoes it with. `undone_at` stops the job.
    """

    __tablename__ = f"{PREFIX}batches"
    __table_args__ = (Index(None, "created_at"), {"sqlite_autoincrement": True})

    owner_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"), index=True
    )
    token: Mapped[str] = mapped_column(String(43), unique=True)
    action: Mapped[str] = mapped_column(String(30))
    value: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    conditions: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    last_id: Mapped[int] = mapped_column(BigInteger, default=0)
    cursor_id: Mapped[int] = mapped_column(BigInteger, default=0)
    total: Mapped[int | None] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    is_ended: Mapped[bool] = mapped_column(Boolean, default=False)
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    undone: Mapped[int] = mapped_column(Integer, default=0)


class BatchChange(Base):
    """An image that a batch has changed, with what it was and what it became; it goes as it is undone."""

    __tablename__ = f"{PREFIX}batch_changes"
    __table_args__ = ({"sqlite_with_rowid": False},)

    batch_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}batches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    image_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    before: Mapped[Any] = mapped_column(JSON)
    after: Mapped[Any] = mapped_column(JSON)


class BatchFailure(Base):
    """An image that a batch left alone, or that its undoing did, and why."""

    __tablename__ = f"{PREFIX}batch_failures"
    __table_args__ = ({"sqlite_with_rowid": False},)

    batch_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}batches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    of_undo: Mapped[bool] = mapped_column(Boolean, primary_key=True)
    image_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(String(40))
    detail: Mapped[str] = mapped_column(String(500))
