"""What a worker measures of each space, by which searches tell relevant results from near misses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.names import PREFIX

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

TABLE = f"{PREFIX}relevance_calibrations"
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        TABLE,
        sa.Column("id", ID, nullable=False),
        sa.Column("space_id", ID, nullable=False),
        sa.Column("form", sa.String(length=10), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("vectors", sa.BigInteger(), nullable=False),
        sa.Column("near_miss", sa.Double(), nullable=False),
        sa.Column("near_miss_high", sa.Double(), nullable=False),
        sa.Column("find_low", sa.Double(), nullable=False),
        sa.Column("find", sa.Double(), nullable=False),
        sa.Column("finds", sa.Integer(), nullable=False),
        sa.Column("near_misses", sa.Integer(), nullable=False),
        sa.Column("rivals", BLOB, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{TABLE}_space_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
        sa.UniqueConstraint("space_id", "form", name=op.f(f"uq_{TABLE}_space_id_form")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    """Undo; a worker measures again after the next upgrade."""
    op.drop_table(TABLE)
