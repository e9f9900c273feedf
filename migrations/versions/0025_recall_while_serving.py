"""Searches that a worker repeats exactly, what that showed, and what it led to."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

SAMPLES = f"{PREFIX}recall_samples"
COUNTS = f"{PREFIX}recall_counts"
LESSONS = f"{PREFIX}recall_lessons"
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Apply."""
    _create(
        SAMPLES,
        sa.Column("viewer_id", sa.BigInteger(), nullable=True),
        sa.Column("scope", sa.JSON(), nullable=False),
        *_way_of_searching(),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("query", BLOB, nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("permitted_count", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
    )
    op.create_index(f"ix_{SAMPLES}_space_id", SAMPLES, ["space_id"])
    op.create_index(f"ix_{SAMPLES}_viewer_id", SAMPLES, ["viewer_id"])
    _create(
        COUNTS,
        *_way_of_searching(),
        sa.Column("share", sa.String(length=10), nullable=False),
        sa.Column("queries", sa.BigInteger(), nullable=False),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint(
            "space_id", "snapshot", "form", "way", "factor", "share", name=op.f(f"uq_{COUNTS}_kind")
        ),
    )
    _create(
        LESSONS,
        *_way_of_searching(),
        sa.Column("is_left_out", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint(
            "space_id",
            "snapshot",
            "form",
            "way",
            name=op.f(f"uq_{LESSONS}_space_id_snapshot_form_way"),
        ),
    )


def downgrade() -> None:
    """Undo; what was measured is lost, and is measured again."""
    for table in (LESSONS, COUNTS, SAMPLES):
        op.drop_table(table)


def _create(table: str, *columns: Any) -> None:
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("space_id", ID, nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{table}_space_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


def _way_of_searching() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("form", sa.String(length=10), nullable=False),
        sa.Column("way", sa.String(length=20), nullable=False),
        sa.Column("factor", sa.Integer(), nullable=False),
    )
