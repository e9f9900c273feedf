"""`flask db`: bring the database to this version's tables."""

from __future__ import annotations

import click

from webapp.cli.terminal import AppGroup, command_errors, console, current_runtime

database_group = AppGroup("db", help="The database's tables.")


@database_group.command("upgrade")
@command_errors
def upgrade() -> None:
    """Apply the migrations that are missing; several callers at once wait for one another."""
    current_runtime().migrate()
    console().print("The database is up to date.")


@database_group.command("check")
@command_errors
def check() -> None:
    """Exit 1 when the database is not what this version needs; changes nothing."""
    missing = current_runtime().schema_differences()
    for difference in missing:
        console().print(str(difference))
    if missing:
        raise click.ClickException("The database differs; run: flask --app wsgi db upgrade")
    console().print("The database is up to date.")
