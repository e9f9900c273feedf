"""Rankings that searches are paged through."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.names import PREFIX

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
TABLE = f"{PREFIX}kept_rankings"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        TABLE,
        sa.Column("id", ID, nullable=False),
        sa.Column("ticket", sa.String(length=24), nullable=False),
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("made_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("byte_size", sa.Integer(), nullable=False),
        sa.Column("ranked_count", sa.Integer(), nullable=True),
        sa.Column("question", BLOB, nullable=False),
        sa.Column("about", BLOB, nullable=False),
        sa.Column("places", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_index(f"ix_{TABLE}_ticket", TABLE, ["ticket"], unique=True)
    for columns in (["made_at_ms", "caller", "byte_size"], ["caller", "made_at_ms"]):
        op.create_index(f"ix_{TABLE}_{'_'.join(columns)}", TABLE, columns)


def downgrade() -> None:
    """Undo; whoever pages through a search begins again."""
    op.drop_table(TABLE)
