"""Labels, classified pictures, feedback, label expansions and groups of pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.models import CaseSensitive, UtcDateTime
from mirada.db.names import PREFIX

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        f"{PREFIX}label_expansions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("label", CaseSensitive, nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("prompt_version", sa.Integer(), nullable=False),
        sa.Column("expansion", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}label_expansions")),
        sa.UniqueConstraint(
            "label",
            "model",
            "prompt_version",
            name=op.f(f"uq_{PREFIX}label_expansions_label_model_prompt_version"),
        ),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_table(
        f"{PREFIX}labels",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", CaseSensitive, nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("templates", sa.JSON(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}labels")),
        sa.UniqueConstraint("name", name=op.f(f"uq_{PREFIX}labels_name")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_table(
        f"{PREFIX}classified_pictures",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owner_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "content_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("sent_bytes", sa.Boolean(), nullable=False),
        sa.Column("asset_id", sa.String(length=191), nullable=True),
        sa.Column("theme", sa.String(length=191), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_id"],
            [f"{PREFIX}contents.id"],
            name=op.f(f"fk_{PREFIX}classified_pictures_content_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{PREFIX}classified_pictures_owner_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}classified_pictures")),
        sa.UniqueConstraint(
            "owner_id",
            "content_id",
            name=op.f(f"uq_{PREFIX}classified_pictures_owner_id_content_id"),
        ),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}classified_pictures", schema=None) as batch_op:
        batch_op.create_index(
            f"ix_{PREFIX}classified_pictures_content_id", ["content_id"], unique=False
        )
        batch_op.create_index(f"ix_{PREFIX}classified_pictures_job_id", ["job_id"], unique=False)

    op.create_table(
        f"{PREFIX}cluster_runs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("space_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{PREFIX}cluster_runs_space_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}cluster_runs")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}cluster_runs", schema=None) as batch_op:
        batch_op.create_index(
            f"ix_{PREFIX}cluster_runs_kind_finished_at", ["kind", "finished_at"], unique=False
        )

    op.create_table(
        f"{PREFIX}feedback",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "content_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("theme", CaseSensitive, nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("asset_id", sa.String(length=191), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_id"],
            [f"{PREFIX}contents.id"],
            name=op.f(f"fk_{PREFIX}feedback_content_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{PREFIX}feedback_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}feedback")),
        sa.UniqueConstraint(
            "user_id",
            "content_id",
            "theme",
            name=op.f(f"uq_{PREFIX}feedback_user_id_content_id_theme"),
        ),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}feedback", schema=None) as batch_op:
        batch_op.create_index(f"ix_{PREFIX}feedback_content_id", ["content_id"], unique=False)
        batch_op.create_index(f"ix_{PREFIX}feedback_theme", ["theme"], unique=False)

    op.create_table(
        f"{PREFIX}label_vectors",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("space_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("label", CaseSensitive, nullable=False),
        sa.Column(
            "vector",
            sa.LargeBinary()
            .with_variant(mysql.MEDIUMBLOB(), "mariadb")
            .with_variant(mysql.MEDIUMBLOB(), "mysql"),
            nullable=False,
            quote=True,
        ),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{PREFIX}label_vectors_space_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}label_vectors")),
        sa.UniqueConstraint("space_id", "key", name=op.f(f"uq_{PREFIX}label_vectors_space_id_key")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_table(
        f"{PREFIX}clusters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            [f"{PREFIX}cluster_runs.id"],
            name=op.f(f"fk_{PREFIX}clusters_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}clusters")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}clusters", schema=None) as batch_op:
        batch_op.create_index(f"ix_{PREFIX}clusters_run_id", ["run_id"], unique=False)

    op.create_table(
        f"{PREFIX}cluster_members",
        sa.Column(
            "cluster_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "content_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("similarity", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster_id"],
            [f"{PREFIX}clusters.id"],
            name=op.f(f"fk_{PREFIX}cluster_members_cluster_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["content_id"],
            [f"{PREFIX}contents.id"],
            name=op.f(f"fk_{PREFIX}cluster_members_content_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "cluster_id", "content_id", name=op.f(f"pk_{PREFIX}cluster_members")
        ),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}cluster_members", schema=None) as batch_op:
        batch_op.create_index(
            f"ix_{PREFIX}cluster_members_content_id", ["content_id"], unique=False
        )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table(f"{PREFIX}cluster_members", schema=None) as batch_op:
        batch_op.drop_index(f"ix_{PREFIX}cluster_members_content_id")

    op.drop_table(f"{PREFIX}cluster_members")
    with op.batch_alter_table(f"{PREFIX}clusters", schema=None) as batch_op:
        batch_op.drop_index(f"ix_{PREFIX}clusters_run_id")

    op.drop_table(f"{PREFIX}clusters")
    op.drop_table(f"{PREFIX}label_vectors")
    with op.batch_alter_table(f"{PREFIX}feedback", schema=None) as batch_op:
        batch_op.drop_index(f"ix_{PREFIX}feedback_theme")
        batch_op.drop_index(f"ix_{PREFIX}feedback_content_id")

    op.drop_table(f"{PREFIX}feedback")
    with op.batch_alter_table(f"{PREFIX}cluster_runs", schema=None) as batch_op:
        batch_op.drop_index(f"ix_{PREFIX}cluster_runs_kind_finished_at")

    op.drop_table(f"{PREFIX}cluster_runs")
    with op.batch_alter_table(f"{PREFIX}classified_pictures", schema=None) as batch_op:
        batch_op.drop_index(f"ix_{PREFIX}classified_pictures_job_id")
        batch_op.drop_index(f"ix_{PREFIX}classified_pictures_content_id")

    op.drop_table(f"{PREFIX}classified_pictures")
    op.drop_table(f"{PREFIX}labels")
    op.drop_table(f"{PREFIX}label_expansions")
