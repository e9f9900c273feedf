"""The tables of evaluations: sets of queries, the images judged for them, and reports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, CaseSensitive, Dated, Edited, LongText, Numbered, UtcDateTime
from mirada.db.names import PREFIX


class EvaluationSet(Numbered, Edited, Base):
    """A named set of queries of one person. Its row is the lock for its queries and judgements."""

    __tablename__ = f"{PREFIX}evaluation_sets"
    __table_args__ = (
        UniqueConstraint("owner_id", "name"),
        # Ids are not used again: an address may still name one that is gone.
        {"sqlite_autoincrement": True},
    )

    owner_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(CaseSensitive)


class EvaluationQuery(Numbered, Edited, Base):
    """A text that somebody searches for; `theme` is the one whose verdicts filled it, if any."""

    __tablename__ = f"{PREFIX}evaluation_queries"
    __table_args__ = (Index(None, "set_id", "id"), {"sqlite_autoincrement": True})

    set_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}evaluation_sets.id", ondelete="CASCADE")
    )
    text: Mapped[str] = mapped_column(LongText)
    language: Mapped[str | None] = mapped_column(String(35))
    theme: Mapped[str | None] = mapped_column(CaseSensitive)


class EvaluationJudgement(Base):
    """An image that belongs, or does not belong, among the results of a query.

    `image_id` is not a foreign key: a report says how many of the judged images are gone.
    """

    __tablename__ = f"{PREFIX}evaluation_judgements"

    query_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}evaluation_queries.id", ondelete="CASCADE"), primary_key=True
    )
    image_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    is_good: Mapped[bool] = mapped_column(Boolean)


class EvaluationReport(Numbered, Dated, Base):
    """The figures of one set in one space; `figures` is None until `finished_at`.

    `of_queries` holds the figures of each query. Lists do not read it, so it is a column of its own.
    The space is named and is not a foreign key: a report outlives the vectors that it measured.
    """

    __tablename__ = f"{PREFIX}evaluation_reports"
    __table_args__ = (Index(None, "set_id", "id"), {"sqlite_autoincrement": True})

    set_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}evaluation_sets.id", ondelete="CASCADE")
    )
    space_id: Mapped[int] = mapped_column(BigInteger)
    space_name: Mapped[str] = mapped_column(String(191))
    model: Mapped[str] = mapped_column(String(201))
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    figures: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    of_queries: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    failure: Mapped[str | None] = mapped_column(Text)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
