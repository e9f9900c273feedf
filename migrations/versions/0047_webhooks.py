"""Webhooks, and what is sent to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WEBHOOKS = f"{PREFIX}webhooks"
DELIVERIES = f"{PREFIX}webhook_deliveries"
OPTIONS = {
    "sqlite_autoincrement": True,
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        WEBHOOKS,
        sa.Column("id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("address", sa.String(length=2000), nullable=False),
        sa.Column("events", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=True),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("old_secret", sa.String(length=100), nullable=True),
        sa.Column("old_secret_until", UtcDateTime(), nullable=True),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("ended_reason", sa.String(length=20), nullable=True),
        sa.Column("failing_since", UtcDateTime(), nullable=True),
        sa.Column("after_image_id", sa.BigInteger(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("noticed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{WEBHOOKS}_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{WEBHOOKS}")),
        **OPTIONS,
    )
    op.create_index(f"ix_{WEBHOOKS}_user_id", WEBHOOKS, ["user_id"])
    op.create_table(
        DELIVERIES,
        sa.Column("id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("webhook_id", ID, nullable=False),
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("event", sa.String(length=30), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("moment", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=300), nullable=True),
        sa.Column("took_ms", sa.Integer(), nullable=True),
        sa.Column("attempted_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            [f"{WEBHOOKS}.id"],
            name=op.f(f"fk_{DELIVERIES}_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{DELIVERIES}")),
        sa.UniqueConstraint(
            "webhook_id",
            "event",
            "subject_id",
            "moment",
            name=op.f(f"uq_{DELIVERIES}_webhook_id_event_subject_id_moment"),
        ),
        **OPTIONS,
    )
    op.create_index(f"ix_{DELIVERIES}_created_at", DELIVERIES, ["created_at"])


def downgrade() -> None:
    """Undo; nobody is told any more."""
    op.drop_table(DELIVERIES)
    op.drop_table(WEBHOOKS)
