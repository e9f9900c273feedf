"""What the model sees of each image by the default label set; a worker judges those that are there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.models import CaseSensitive, UtcDateTime
from mirada.db.names import PREFIX

revision = "0033"
down_revision = "0030"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
LABELS = f"{PREFIX}image_labels"
BY_LABEL, BY_SPACE = f"ix_{LABELS}_label_space_id", f"ix_{LABELS}_space_id"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        LABELS,
        sa.Column("image_id", ID, nullable=False),
        sa.Column("space_id", ID, nullable=False),
        sa.Column("judged_by", sa.String(length=32), nullable=False),
        sa.Column("label", CaseSensitive, nullable=True),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("logits", BLOB, nullable=False),
        sa.Column("is_far", sa.Boolean(), nullable=False),
        sa.Column("nsfw_score", sa.Double(), nullable=True),
        sa.Column("computed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            [f"{PREFIX}images.id"],
            name=op.f(f"fk_{LABELS}_image_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{LABELS}_space_id"),
        ),
        sa.PrimaryKeyConstraint("image_id", "space_id", name=op.f(f"pk_{LABELS}")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_index(BY_LABEL, LABELS, ["label", "space_id"])
    op.create_index(BY_SPACE, LABELS, ["space_id"])


def downgrade() -> None:
    """Undo; labels are judged anew after the next upgrade."""
    op.drop_table(LABELS)
