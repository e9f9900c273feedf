"""The table of transfers: one run of an import or an export each; see `mirada.transfer.runs`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mirada.db.models import Base, LongText, Numbered, User
from mirada.db.names import PREFIX


class Transfer(Numbered, Base):
    """One run of `mirada import` or `mirada export`.

    `subject` is the name of the source, or of the folder of an export. `seen_at_ms` grows with its progress
    while it runs; times are of the database's clock, in Unix milliseconds. `resumed` counts the runs before
    it that came to no end. `in_hand` are keys of files that its next rows will name: where the run is killed,
    the next one removes those that no row names. `refusals` are the first of the refused rows.
    """

    __tablename__ = f"{PREFIX}transfers"
    __table_args__ = (Index(None, "owner_id", "id"), Index(None, "kind", "subject", "id"))

    kind: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str] = mapped_column(String(191))
    owner_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"))
    place: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(12))
    done: Mapped[int] = mapped_column(Integer, default=0)
    total: Mapped[int | None] = mapped_column(Integer)
    taken: Mapped[int] = mapped_column(Integer, default=0)
    already_there: Mapped[int] = mapped_column(Integer, default=0)
    refused: Mapped[int] = mapped_column(Integer, default=0)
    refusals: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    resumed: Mapped[int] = mapped_column(Integer, default=0)
    in_hand: Mapped[list[str]] = mapped_column(JSON, default=list)
    error: Mapped[str | None] = mapped_column(LongText)
    started_at_ms: Mapped[int] = mapped_column(BigInteger)
    seen_at_ms: Mapped[int] = mapped_column(BigInteger)
    ended_at_ms: Mapped[int | None] = mapped_column(BigInteger)

    owner: Mapped[User] = relationship()
