"""Migrations are one chain, and each is called by its number."""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory

from mirada.db.migrate import MIGRATIONS_DIR, last_revision


def test_migrations_are_one_chain_in_the_order_of_their_numbers() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    chain = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
    files = sorted(path.name[:4] for path in (MIGRATIONS_DIR / "versions").glob("0*.py"))
    assert chain[::-1] == files
    assert chain[0] == last_revision()
