"""Changes of many images, what each has changed, and which images it left alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BATCHES, CHANGES, FAILURES = (
    f"{PREFIX}{name}" for name in ("batches", "batch_changes", "batch_failures")
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        BATCHES,
        sa.Column("id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("token", sa.String(length=43), nullable=False),
        sa.Column("action", sa.String(length=30), nullable=False),
        sa.Column("value", sa.JSON(), nullable=True),
        sa.Column("conditions", sa.JSON(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("cursor_id", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("is_ended", sa.Boolean(), nullable=False),
        sa.Column("undone_at", UtcDateTime(), nullable=True),
        sa.Column("undone", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{BATCHES}_owner_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{BATCHES}")),
        sa.UniqueConstraint("token", name=op.f(f"uq_{BATCHES}_token")),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_index(f"ix_{BATCHES}_owner_id", BATCHES, ["owner_id"])
    op.create_index(f"ix_{BATCHES}_created_at", BATCHES, ["created_at"])
    for table, columns, key in (
        (
            CHANGES,
            [
                sa.Column("before", sa.JSON(), nullable=False),
                sa.Column("after", sa.JSON(), nullable=False),
            ],
            ["batch_id", "image_id"],
        ),
        (
            FAILURES,
            [
                sa.Column("of_undo", sa.Boolean(), nullable=False),
                sa.Column("code", sa.String(length=40), nullable=False),
                sa.Column("detail", sa.String(length=500), nullable=False),
            ],
            ["batch_id", "of_undo", "image_id"],
        ),
    ):
        op.create_table(
            table,
            sa.Column("batch_id", ID, autoincrement=False, nullable=False),
            sa.Column("image_id", sa.BigInteger(), autoincrement=False, nullable=False),
            *columns,
            sa.ForeignKeyConstraint(
                ["batch_id"],
                [f"{BATCHES}.id"],
                name=op.f(f"fk_{table}_batch_id"),
                ondelete="CASCADE",
            ),
            sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
            sqlite_with_rowid=False,
            mysql_engine="InnoDB",
            mysql_charset="utf8mb4",
        )


def downgrade() -> None:
    """Undo; what could be undone can be no more."""
    op.drop_table(FAILURES)
    op.drop_table(CHANGES)
    op.drop_table(BATCHES)
