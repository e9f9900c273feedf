"""Hashes of pictures, which contents are the same picture, and what people decided of duplicates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CONTENTS, IMAGES, USERS = f"{PREFIX}contents", f"{PREFIX}images", f"{PREFIX}users"
SAME, NOT = f"{PREFIX}same_pictures", f"{PREFIX}not_duplicates"
BY_EDITION = f"ix_{IMAGES}_duplicates_edition_id"
INNODB = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Apply; a job finds the duplicates of what is there already."""
    op.add_column(CONTENTS, sa.Column("picture_hash", sa.LargeBinary(), nullable=True))
    op.add_column(
        IMAGES,
        sa.Column("duplicates_edition", sa.SmallInteger(), nullable=False, server_default="0"),
    )
    op.create_index(BY_EDITION, IMAGES, ["duplicates_edition", "id"])
    op.create_table(
        SAME,
        *_pair(SAME, CONTENTS),
        sa.Column("bits", sa.SmallInteger(), nullable=False),
        sa.Column("is_mirrored", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("one_id", "other_id", name=op.f(f"pk_{SAME}")),
        **INNODB,
    )
    op.create_index(f"ix_{SAME}_other_id", SAME, ["other_id"])
    op.create_table(
        NOT,
        sa.Column("user_id", ID, nullable=False),
        *_pair(NOT, IMAGES),
        _key(NOT, "user_id", USERS),
        sa.PrimaryKeyConstraint("user_id", "one_id", "other_id", name=op.f(f"pk_{NOT}")),
        **INNODB,
    )
    for column in ("one_id", "other_id"):
        op.create_index(f"ix_{NOT}_{column}", NOT, [column])


def _pair(table: str, of: str) -> list[sa.Column[int] | sa.ForeignKeyConstraint]:
    names = ("one_id", "other_id")
    return [
        *(sa.Column(name, ID, nullable=False) for name in names),
        *(_key(table, name, of) for name in names),
    ]


def _key(table: str, column: str, of: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{of}.id"], name=name, ondelete="CASCADE")


def downgrade() -> None:
    """Undo; duplicates are forgotten, and what people decided of them."""
    for table in (NOT, SAME):
        op.drop_table(table)
    op.drop_index(BY_EDITION, IMAGES)
    op.drop_column(IMAGES, "duplicates_edition")
    op.drop_column(CONTENTS, "picture_hash")
