"""Alembic's entry: applies migrations over the connection it was handed."""

from __future__ import annotations

from alembic import context

from mirada.db import (  # noqa: F401 - declare tables on Base, and how Alembic changes them
    audit_models,
    batch_models,
    calibration_models,
    classifier_models,
    duplicate_models,
    evaluation_models,
    files_to_remove,
    memory_models,
    model_switch_models,
    pack_models,
    paging_models,
    pgvector_models,
    query_models,
    recall_models,
    recent_models,
    resumable,
    sign_in_models,
    spending_models,
    tag_models,
    transfer_models,
    webhook_models,
    word_models,
)
from mirada.db.models import Base
from mirada.db.names import VERSION_TABLE


def run() -> None:
    """Migrate on the given connection; `mirada.db.migrate` holds the lock."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        # SQLite cannot alter most things in place; batch mode copies the table instead.
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
