"""Changes of the image model, and which model judged a picture unsafe or not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

SWITCHES, GAPS = f"{PREFIX}model_switches", f"{PREFIX}model_switch_gaps"
PROCESSES = f"{PREFIX}model_processes"
SPACES, CONTENTS = f"{PREFIX}embedding_spaces", f"{PREFIX}contents"
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLE = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Apply; scores that are there were made by the one model that there was."""
    op.add_column(SPACES, sa.Column("source", sa.String(length=500), nullable=True))
    op.add_column(SPACES, sa.Column("source_tag", sa.String(length=500), nullable=True))
    op.add_column(SPACES, sa.Column("near_duplicate_cosine", sa.Double(), nullable=True))
    op.add_column(CONTENTS, sa.Column("judged_space_id", sa.BigInteger(), nullable=True))
    op.execute(
        f"UPDATE {CONTENTS} SET judged_space_id = "
        f"(SELECT image_space_id FROM {PREFIX}installation WHERE id = 1) WHERE judged_at IS NOT NULL"
    )
    op.create_table(
        SWITCHES,
        sa.Column("id", ID, nullable=False),
        sa.Column("active", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("step", sa.String(length=20), nullable=True),
        sa.Column("outcome", sa.String(length=12), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("source", sa.String(length=500), nullable=False),
        sa.Column("source_tag", sa.String(length=500), nullable=True),
        sa.Column("flips_by_itself", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("from_space_id", ID, nullable=False),
        sa.Column("to_space_id", ID, nullable=True),
        sa.Column("spare_id", sa.BigInteger(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("owner_id", sa.BigInteger(), nullable=True),
        sa.Column("comparison", sa.JSON(), nullable=True),
        sa.Column("flipped_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["from_space_id"], [f"{SPACES}.id"], name=op.f(f"fk_{SWITCHES}_from_space_id")
        ),
        sa.ForeignKeyConstraint(
            ["to_space_id"], [f"{SPACES}.id"], name=op.f(f"fk_{SWITCHES}_to_space_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{SWITCHES}")),
        sa.UniqueConstraint("active", name=op.f(f"uq_{SWITCHES}_active")),
        **TABLE,
    )
    op.create_table(
        GAPS,
        sa.Column("id", ID, nullable=False),
        sa.Column("switch_id", ID, nullable=False),
        sa.Column("content_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["switch_id"],
            [f"{SWITCHES}.id"],
            name=op.f(f"fk_{GAPS}_switch_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{GAPS}")),
        sa.UniqueConstraint(
            "switch_id", "content_id", name=op.f(f"uq_{GAPS}_switch_id_content_id")
        ),
        **TABLE,
    )
    op.create_table(
        PROCESSES,
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("space_id", sa.BigInteger(), nullable=True),
        sa.Column("ready_for_id", sa.BigInteger(), nullable=True),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f(f"pk_{PROCESSES}")),
        **TABLE,
    )


def downgrade() -> None:
    """Undo; pictures are judged anew after the next upgrade."""
    op.drop_table(PROCESSES)
    op.drop_table(GAPS)
    op.drop_table(SWITCHES)
    op.drop_column(CONTENTS, "judged_space_id")
    for column in ("near_duplicate_cosine", "source_tag", "source"):
        op.drop_column(SPACES, column)
