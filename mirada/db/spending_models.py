"""What was asked of a language model and what it cost: one row a call, one row a day.

Apart from `mirada.db.models` for their length alone. Lock order: a call, then the day's rows by
user id; taken in a transaction of their own, after everything that names the call was committed.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Id

EVERYBODY = 0
"""Whose row of a day holds what the installation spends; users are numbered from 1."""


class CallState(StrEnum):
    """How far a call has come, and whether it counts.

    RESERVED and UNKNOWN count with the most that the call can have cost, PAID with what it did cost,
    FREE with nothing. UNKNOWN is one whose end nobody saw: its worker died, or no answer came.
    SHARED is no call at all but the answer to somebody else's: it counts for its user alone, who is
    told that it was paid like any other.
    """

    RESERVED = "reserved"
    PAID = "paid"
    FREE = "free"
    UNKNOWN = "unknown"
    SHARED = "shared"


class LanguageModelCall(Base):
    """One request. `_micros` are millionths of a dollar; `_ms` the database's clock.

    `user_id` is whom it was made for; None: the installation. `subject` is what it was about, a
    content's SHA-256 or another key. `cost_micros` is None until paid, and where no price is known.
    """

    __tablename__ = "language_model_calls"
    __table_args__ = (
        Index("ix_language_model_calls_utc_day_user_id", "utc_day", "user_id"),
        Index("ix_language_model_calls_user_id_id", "user_id", "id"),
        Index("ix_language_model_calls_state_created_at_ms", "state", "created_at_ms"),
        Index("ix_language_model_calls_job_id", "job_id"),
        Index("ix_language_model_calls_subject", "subject"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    purpose: Mapped[str] = mapped_column(String(30))
    model: Mapped[str] = mapped_column(String(100))
    subject: Mapped[str | None] = mapped_column(String(191))
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    lease_token: Mapped[str | None] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(10))
    utc_day: Mapped[int] = mapped_column(Integer)
    reserved_micros: Mapped[int] = mapped_column(BigInteger)
    cost_micros: Mapped[int | None] = mapped_column(BigInteger)
    input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    failure: Mapped[str | None] = mapped_column(String(30))
    detail: Mapped[str | None] = mapped_column(String(255))
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    finished_at_ms: Mapped[int | None] = mapped_column(BigInteger)


class SpendingDay(Base):
    """What counts of one UTC day, for everybody or for one user. Its lock is the right to spend.

    `utc_day` is days since 1970-01-01. Always the sum of what that day's calls count with; shared
    ones in their user's row only.
    """

    __tablename__ = "spending_days"

    utc_day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    committed_micros: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
