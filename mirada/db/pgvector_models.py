"""The table of the spaces whose vectors PostgreSQL also keeps in a form that pgvector searches."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Dated
from mirada.db.names import PREFIX


class PgvectorSpace(Dated, Base):
    """A space with a table of its own for pgvector; without a row here, nobody fills or searches one.

    `graph` describes the HNSW index and what was measured with it; None before the first. On other
    databases this table stays empty.
    """

    __tablename__ = f"{PREFIX}pgvector_spaces"

    space_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}embedding_spaces.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    dimension: Mapped[int] = mapped_column(Integer)
    graph: Mapped[dict[str, Any] | None] = mapped_column(JSON)
