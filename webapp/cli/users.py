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
    """Create a user and print its API key, this once. Works before the first start."""
    runtime = current_runtime()
    runtime.migrate()
    with runtime.transaction() as session:
        user = users.create_user(session, name, is_administrator=admin)
        key = users.issue_key(session, user)
    _show_key(f"User {user.id} '{name}' was created. Its key, which is shown only now:", key)


@users_group.command("key")
@click.argument("name")
@command_errors
def issue_key(name: str) -> None:
    """Issue a further key to user NAME, and print it, this once; its other keys stay in force."""
    with current_runtime().transaction() as session:
        key = users.issue_key(session, users.user_named(session, name))
    _show_key(f"A further key of '{name}', which is shown only now:", key)


@users_group.command("revoke")
@click.argument("prefix")
@command_errors
def revoke(prefix: str) -> None:
    """Void a key. PREFIX is its first 12 characters, such as mrd_1a2b3c4d, or at least 8 of them."""
    with current_runtime().transaction() as session:
        revoked = users.revoke_key(session, prefix)
    console().print(f"The key {revoked} is revoked.")


def _show_key(sentence: str, key: str) -> None:
    out = console()
    out.print(sentence)
    out.print(key)
    out.print("Send it with every call:  Authorization: Bearer KEY")
