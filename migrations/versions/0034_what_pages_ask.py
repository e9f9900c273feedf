"""Codes of jobs' errors, the times by which changes are told, and days of the indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

JOBS = f"{PREFIX}jobs"
IMAGES = f"{PREFIX}images"
DAYS = f"{PREFIX}index_days"
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JOBS_BY_CHANGE = f"ix_{JOBS}_changed_at_ms"
IMAGES_BY_CHANGE = f"ix_{IMAGES}_updated_at"


def upgrade() -> None:
    """Apply."""
    op.add_column(JOBS, sa.Column("error_code", sa.String(length=40), nullable=True))
    op.add_column(
        JOBS, sa.Column("changed_at_ms", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.create_index(JOBS_BY_CHANGE, JOBS, ["changed_at_ms"])
    op.create_index(IMAGES_BY_CHANGE, IMAGES, ["updated_at"])
    op.create_table(
        DAYS,
        sa.Column("space_id", ID, nullable=False),
        sa.Column("utc_day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("queries", sa.BigInteger(), nullable=False),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"], [f"{PREFIX}embedding_spaces.id"], name=op.f(f"fk_{DAYS}_space_id")
        ),
        sa.PrimaryKeyConstraint("space_id", "utc_day", name=op.f(f"pk_{DAYS}")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    """Undo; the days are lost, and cancelled jobs count as failed."""
    op.drop_table(DAYS)
    op.drop_index(IMAGES_BY_CHANGE, table_name=IMAGES)
    op.drop_index(JOBS_BY_CHANGE, table_name=JOBS)
    jobs = sa.table(JOBS, sa.column("state", sa.String()))
    op.execute(jobs.update().where(jobs.c.state == "cancelled").values(state="failed"))
    op.drop_column(JOBS, "changed_at_ms")
    op.drop_column(JOBS, "error_code")
