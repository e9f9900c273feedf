"""The tables of spending on language models: a row for each call, and a row for each day and user.

They are apart from `mirada.db.models` because of its length. Locks are taken in this order: a call, then
the day's rows by user id. They are taken in a transaction of their own, after everything that refers to
the call was committed.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Numbered
from mirada.db.names import PREFIX

EVERYBODY = 0
"""The user id of the day's row for the whole installation; users are numbered from 1."""


class CallState(StrEnum):
    """The state of a call, which decides how much of the budget it counts.

    RESERVED and UNKNOWN count the most that the call can cost, PAID counts its cost, FREE counts
    nothing. UNKNOWN is a call without a known end: its worker died, or no reply came. SHARED is not
    a call but the reply to somebody else's. It counts for its user alone, to whom it is shown as
    paid.
    """

    RESERVED = "reserved"
    PAID = "paid"
    FREE = "free"
    UNKNOWN = "unknown"
    SHARED = "shared"


class LanguageModelCall(Numbered, Base):
    """A call of a language model.

    `_micros` columns are millionths of a US dollar, `_ms` columns Unix milliseconds of the database's
    clock. `user_id` is the user it was made for; None for the installation. `subject` identifies its
    input: a content's SHA-256 or another key. `cost_micros` is None until the call is paid, and where
    the model has no known price.
    """

    __tablename__ = f"{PREFIX}language_model_calls"
    __table_args__ = (
        Index(None, "utc_day", "user_id"),
        Index(None, "user_id", "id"),
        Index(None, "state", "created_at_ms"),
        Index(None, "job_id"),
        Index(None, "subject"),
        Index(None, "model", "id"),
        {"sqlite_autoincrement": True},
    )

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
    """The spending of one UTC day, of one user or of the installation. Its lock is the right to spend.

    `utc_day` is the number of days since 1970-01-01. `committed_micros` is always the sum of the day's
    calls; a shared call counts in its user's row only.
    """

    __tablename__ = f"{PREFIX}spending_days"

    utc_day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    committed_micros: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
