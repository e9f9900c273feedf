"""Evaluations: sets of queries with judged images, and reports of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.models import CaseSensitive, UtcDateTime
from mirada.db.names import PREFIX

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
SETS = f"{PREFIX}evaluation_sets"
QUERIES = f"{PREFIX}evaluation_queries"
JUDGEMENTS = f"{PREFIX}evaluation_judgements"
REPORTS = f"{PREFIX}evaluation_reports"


def upgrade() -> None:
    """Apply."""
    _make(
        SETS,
        sa.Column("id", ID, nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("name", CaseSensitive, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        _owned(SETS, "owner_id", f"{PREFIX}users"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{SETS}")),
        sa.UniqueConstraint("owner_id", "name", name=op.f(f"uq_{SETS}_owner_id_name")),
        is_numbered=True,
    )
    _make(
        QUERIES,
        sa.Column("id", ID, nullable=False),
        sa.Column("set_id", ID, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("language", sa.String(length=35), nullable=True),
        sa.Column("theme", CaseSensitive, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        _owned(QUERIES, "set_id", SETS),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{QUERIES}")),
        is_numbered=True,
    )
    op.create_index(f"ix_{QUERIES}_set_id_id", QUERIES, ["set_id", "id"])
    _make(
        JUDGEMENTS,
        sa.Column("query_id", ID, nullable=False),
        sa.Column("image_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("is_good", sa.Boolean(), nullable=False),
        _owned(JUDGEMENTS, "query_id", QUERIES),
        sa.PrimaryKeyConstraint("query_id", "image_id", name=op.f(f"pk_{JUDGEMENTS}")),
    )
    _make(
        REPORTS,
        sa.Column("id", ID, nullable=False),
        sa.Column("set_id", ID, nullable=False),
        sa.Column("space_id", sa.BigInteger(), nullable=False),
        sa.Column("space_name", sa.String(length=191), nullable=False),
        sa.Column("model", sa.String(length=201), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("figures", sa.JSON(), nullable=True),
        sa.Column("of_queries", sa.JSON(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        _owned(REPORTS, "set_id", SETS),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{REPORTS}")),
        is_numbered=True,
    )
    op.create_index(f"ix_{REPORTS}_set_id_id", REPORTS, ["set_id", "id"])


def downgrade() -> None:
    """Undo; the sets and their reports are lost."""
    for table in (REPORTS, JUDGEMENTS, QUERIES, SETS):
        op.drop_table(table)


def _owned(table: str, column: str, owner: str) -> sa.ForeignKeyConstraint:
    """Return the reference to a row whose end is the end of this table's."""
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{owner}.id"], name=name, ondelete="CASCADE")


def _make(table: str, *parts: sa.schema.SchemaItem, is_numbered: bool = False) -> None:
    op.create_table(
        table,
        *parts,
        sqlite_autoincrement=is_numbered,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
