"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.models import CaseSensitive, UtcDateTime
from mirada.db.names import PREFIX

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        f"{PREFIX}change_counter",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("v", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}change_counter")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_table(
        f"{PREFIX}contents",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("storage_key", sa.String(length=191), nullable=False),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.String(length=10), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("is_animated", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}contents")),
        sa.UniqueConstraint("sha256", name=op.f(f"uq_{PREFIX}contents_sha256")),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_table(
        f"{PREFIX}embedding_spaces",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=191), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("encoder", sa.String(length=100), nullable=False),
        sa.Column("pretrained", sa.String(length=100), nullable=False),
        sa.Column("preprocessing", sa.String(length=100), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}embedding_spaces")),
        sa.UniqueConstraint("name", name=op.f(f"uq_{PREFIX}embedding_spaces_name")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_table(
        f"{PREFIX}idempotency_keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("key", CaseSensitive, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}idempotency_keys")),
        sa.UniqueConstraint(
            "owner_id", "key", name=op.f(f"uq_{PREFIX}idempotency_keys_owner_id_key")
        ),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}idempotency_keys", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f(f"ix_{PREFIX}idempotency_keys_created_at"), ["created_at"], unique=False
        )

    op.create_table(
        f"{PREFIX}jobs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=True),
        sa.Column("space_id", sa.BigInteger(), nullable=True),
        sa.Column("same_work", sa.String(length=150), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("progress_done", sa.BigInteger(), nullable=False),
        sa.Column("progress_total", sa.BigInteger(), nullable=True),
        sa.Column("next_run_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("rung_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("finished_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}jobs")),
        sa.UniqueConstraint("same_work", name=op.f(f"uq_{PREFIX}jobs_same_work")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}jobs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f(f"ix_{PREFIX}jobs_owner_id"), ["owner_id"], unique=False)
        batch_op.create_index(
            f"ix_{PREFIX}jobs_state_next_run_at_ms", ["state", "next_run_at_ms"], unique=False
        )

    op.create_table(
        f"{PREFIX}leases",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=100), nullable=True),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f(f"pk_{PREFIX}leases")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_table(
        f"{PREFIX}users",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("username", sa.String(length=150), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}users")),
        sa.UniqueConstraint("username", name=op.f(f"uq_{PREFIX}users_username")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_table(
        f"{PREFIX}api_keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{PREFIX}api_keys_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}api_keys")),
        sa.UniqueConstraint("sha256", name=op.f(f"uq_{PREFIX}api_keys_sha256")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}api_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f(f"ix_{PREFIX}api_keys_user_id"), ["user_id"], unique=False)

    op.create_table(
        f"{PREFIX}embeddings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("space_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("content_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "vector",
            sa.LargeBinary()
            .with_variant(mysql.MEDIUMBLOB(), "mariadb")
            .with_variant(mysql.MEDIUMBLOB(), "mysql"),
            nullable=False,
            quote=True,
        ),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{PREFIX}embeddings_space_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}embeddings")),
        sa.UniqueConstraint(
            "space_id", "content_id", name=op.f(f"uq_{PREFIX}embeddings_space_id_content_id")
        ),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}embeddings", schema=None) as batch_op:
        batch_op.create_index(f"ix_{PREFIX}embeddings_content_id", ["content_id"], unique=False)
        batch_op.create_index(
            f"ix_{PREFIX}embeddings_space_id_change_seq_id",
            ["space_id", "change_seq", "id"],
            unique=False,
        )

    op.create_table(
        f"{PREFIX}images",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owner_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "content_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("filename", sa.String(length=255), nullable=True),
        sa.Column(
            "prompt",
            sa.Text()
            .with_variant(mysql.MEDIUMTEXT(), "mariadb")
            .with_variant(mysql.MEDIUMTEXT(), "mysql"),
            nullable=True,
        ),
        sa.Column(
            "caption",
            sa.Text()
            .with_variant(mysql.MEDIUMTEXT(), "mariadb")
            .with_variant(mysql.MEDIUMTEXT(), "mysql"),
            nullable=True,
        ),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_id"], [f"{PREFIX}contents.id"], name=op.f(f"fk_{PREFIX}images_content_id")
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], [f"{PREFIX}users.id"], name=op.f(f"fk_{PREFIX}images_owner_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}images")),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}images", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f(f"ix_{PREFIX}images_content_id"), ["content_id"], unique=False
        )
        batch_op.create_index(f"ix_{PREFIX}images_owner_id_id", ["owner_id", "id"], unique=False)
        batch_op.create_index(batch_op.f(f"ix_{PREFIX}images_status"), ["status"], unique=False)

    op.create_table(
        f"{PREFIX}index_snapshots",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("space_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("db_epoch", sa.String(length=36), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("set_aside_at", UtcDateTime(), nullable=True),
        sa.Column("set_aside_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{PREFIX}index_snapshots_space_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}index_snapshots")),
        sa.UniqueConstraint("name", name=op.f(f"uq_{PREFIX}index_snapshots_name")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    with op.batch_alter_table(f"{PREFIX}index_snapshots", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f(f"ix_{PREFIX}index_snapshots_space_id"), ["space_id"], unique=False
        )

    op.create_table(
        f"{PREFIX}installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("db_epoch", sa.String(length=36), nullable=False),
        sa.Column(
            "image_space_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True
        ),
        sa.Column("tombstone_floor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("secret_key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{PREFIX}installation_image_space_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}installation")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table(f"{PREFIX}installation")
    with op.batch_alter_table(f"{PREFIX}index_snapshots", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f(f"ix_{PREFIX}index_snapshots_space_id"))

    op.drop_table(f"{PREFIX}index_snapshots")
    with op.batch_alter_table(f"{PREFIX}images", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f(f"ix_{PREFIX}images_status"))
        batch_op.drop_index(f"ix_{PREFIX}images_owner_id_id")
        batch_op.drop_index(batch_op.f(f"ix_{PREFIX}images_content_id"))

    op.drop_table(f"{PREFIX}images")
    with op.batch_alter_table(f"{PREFIX}embeddings", schema=None) as batch_op:
        batch_op.drop_index(f"ix_{PREFIX}embeddings_space_id_change_seq_id")
        batch_op.drop_index(f"ix_{PREFIX}embeddings_content_id")

    op.drop_table(f"{PREFIX}embeddings")
    with op.batch_alter_table(f"{PREFIX}api_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f(f"ix_{PREFIX}api_keys_user_id"))

    op.drop_table(f"{PREFIX}api_keys")
    op.drop_table(f"{PREFIX}users")
    op.drop_table(f"{PREFIX}leases")
    with op.batch_alter_table(f"{PREFIX}jobs", schema=None) as batch_op:
        batch_op.drop_index(f"ix_{PREFIX}jobs_state_next_run_at_ms")
        batch_op.drop_index(batch_op.f(f"ix_{PREFIX}jobs_owner_id"))

    op.drop_table(f"{PREFIX}jobs")
    with op.batch_alter_table(f"{PREFIX}idempotency_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f(f"ix_{PREFIX}idempotency_keys_created_at"))

    op.drop_table(f"{PREFIX}idempotency_keys")
    op.drop_table(f"{PREFIX}embedding_spaces")
    op.drop_table(f"{PREFIX}contents")
    op.drop_table(f"{PREFIX}change_counter")
