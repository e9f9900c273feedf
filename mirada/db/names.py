"""The names of Mirada's tables, which all begin alike, so that they live beside an application's own."""

from __future__ import annotations

PREFIX = "mirada_"
"""What every table, index, constraint and trigger of ours bears in its name."""
VERSION_TABLE = f"{PREFIX}alembic_version"
"""The table of the last migration. Alembic's usual name would be that of the application beside us."""
