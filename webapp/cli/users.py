"""`flask users`: create users and their keys, revoke keys."""

from __future__ import annotations

import click

from mirada.usecases import users
from webapp.cli.terminal import AppGroup, command_errors, console, current_runtime

users_group = AppGroup("users", help="Who may call, and with which keys.")


@users_group.command("create")
@click.argument("name")
@click.option("--admin", is_flag=True, help="May see every job and rebuild indexes.")
@command_errors
def create(name: str, admin: bool) -> None:
    """Create a user and print its API key, this once."""
    with current_runtime().transaction() as session:
        user = users.create_user(session, name, is_administrator=admin)
        key = users.issue_key(session, user)
    out = console()
    out.print(f"User {user.id} '{name}' was created. Its key, which is shown only now:")
    out.print(key)
    out.print("Send it with every call:  Authorization: Bearer KEY")


@users_group.command("revoke")
@click.argument("prefix")
@command_errors
def revoke(prefix: str) -> None:
    """Void the keys that begin with PREFIX, such as mrd_1a2b3c4d."""
    with current_runtime().transaction() as session:
        count = users.revoke_keys(session, prefix)
    console().print(f"{count} key{'s' if count != 1 else ''} revoked.")
