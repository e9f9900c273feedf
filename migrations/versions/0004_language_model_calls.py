"""Calls of a language model, and what a day costs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INNODB = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
CALLS = f"{PREFIX}language_model_calls"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        CALLS,
        sa.Column("id", ID, nullable=False),
        sa.Column("purpose", sa.String(length=30), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=191), nullable=True),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("utc_day", sa.Integer(), nullable=False),
        sa.Column("reserved_micros", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.String(length=30), nullable=True),
        sa.Column("detail", sa.String(length=255), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}language_model_calls")),
        sqlite_autoincrement=True,
        **INNODB,
    )
    for columns in (
        ["utc_day", "user_id"],
        ["user_id", "id"],
        ["state", "created_at_ms"],
        ["job_id"],
    ):
        op.create_index(f"ix_{CALLS}_{'_'.join(columns)}", CALLS, columns)
    op.create_table(
        f"{PREFIX}spending_days",
        sa.Column("utc_day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("committed_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("utc_day", "user_id", name=op.f(f"pk_{PREFIX}spending_days")),
        **INNODB,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table(f"{PREFIX}spending_days")
    op.drop_table(CALLS)
