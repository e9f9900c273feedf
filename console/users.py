"""`mirada users`: create users; issue, list, rotate and revoke their keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from console.site import FirstCommand, Group, current_runtime
from console.terminal import all_rows, console, print_table
from mirada.departures import ending
from mirada.people import keys, roles, sign_in_links, users
from mirada.people.access import LONGEST_GRACE, LONGEST_LIFE, Scopes, checked_scopes, key_state
from mirada.people.identity import Key
from mirada.people.keys import NewKey
from mirada.pictures import quota

group = Group("users", help="Who may call, and with which keys.")
WRITTEN_BY_PEOPLE = ("name", "scopes", "external id")
"""Columns that give way on a narrow terminal."""


def _key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what can be said of a new key to a command."""
    for option in (
        click.option(
            "--scopes",
            help="What it may do, such as read,write: of read, write, admin, metrics, act_for. "
            "Default: all that its owner may.",
        ),
        click.option(
            "--expires-days",
            type=click.IntRange(1, LONGEST_LIFE.days),
            help="Days until it expires. Default: never.",
        ),
        click.option("--key-name", help="What to call it in lists."),
    ):
        command = option(command)
    return command


@group.command("create", cls=FirstCommand)
@click.argument("name")
@click.option("--admin", is_flag=True, help="May see every job, rebuild indexes, make users.")
@_key_options
def create(
    name: str, admin: bool, scopes: str | None, expires_days: int | None, key_name: str | None
) -> None:
    """Create a user and print its API key, this once. Works before the first start."""
    runtime = current_runtime()
    runtime.migrate()
    with runtime.transaction() as session:
        new = users.create_with_key(
            session,
            name,
            is_administrator=admin,
            key_name=key_name,
            scopes=_scopes(scopes),
            expires_at=_in_days(expires_days),
        )
    _show_key(
        f"User {new.user.id} '{new.user.username}' was created. Its key, which is shown only now:",
        new.first_key,
    )


@group.command("key")
@click.argument("name")
@_key_options
def issue_key(
    name: str, scopes: str | None, expires_days: int | None, key_name: str | None
) -> None:
    """Issue a further key to user NAME, and print it, this once; its other keys stay in force."""
    with current_runtime().transaction() as session:
        new = keys.issue(
            session,
            users.user_named(session, name),
            name=key_name,
            scopes=_scopes(scopes),
            expires_at=_in_days(expires_days),
        )
    _show_key(f"A further key of '{name}', which is shown only now:", new)


@group.command("sign-in-link")
@click.argument("name")
def sign_in_link(name: str) -> None:
    """Print a link that signs a browser in as user NAME: once, within ten minutes."""
    runtime = current_runtime()
    with runtime.transaction() as session:
        token = sign_in_links.issue(session, users.user_named(session, name))
    # Links are copied, so nothing may break or colour them.
    click.echo(f"Opens the pages as '{name}', once, within ten minutes:")
    click.echo(f"{runtime.settings.address}/ui/sign-in/{token}")
    click.echo("Where the server has another address, put that before /ui.")


@group.command("rotate")
@click.argument("prefix")
@click.option(
    "--grace-hours",
    default=0,
    show_default=True,
    type=click.IntRange(0, int(LONGEST_GRACE.total_seconds()) // 3600),
    help="Hours for which the old key stays valid.",
)
def rotate(prefix: str, grace_hours: int) -> None:
    """Put a new key in the place of the one that begins with PREFIX, and print it, this once."""
    with current_runtime().transaction() as session:
        old = keys.key_beginning_with(session, prefix)
        new = keys.rotate(session, old.user_id, old.id, grace=timedelta(hours=grace_hours))
    ends = f"ends in {grace_hours} hours" if grace_hours else "is void"
    _show_key(f"The key {old.prefix} {ends}. In its place, shown only now:", new)


@group.command("revoke")
@click.argument("prefix")
def revoke(prefix: str) -> None:
    """Void a key. PREFIX is its first 12 characters, such as mrd_1a2b3c4d, or at least 8 of them."""
    with current_runtime().transaction() as session:
        key = keys.key_beginning_with(session, prefix)
        keys.revoke(session, key.user_id, key.id)
    console().print(f"The key {key.prefix} is revoked.")


@group.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(roles.ROLES))
def change_role(name: str, role: str) -> None:
    """Make user NAME an administrator, or a user again, whose keys for more than that end."""
    with current_runtime().transaction() as session:
        user = roles.change_role(session, users.user_named(session, name).id, role)
    console().print(f"'{user.username}' is {user.role} now.")


@group.command("quota")
@click.argument("name")
@click.option("--images", metavar="N", help="Most images; 'default' takes QUOTA_IMAGES again.")
@click.option("--bytes", "size", metavar="N", help="Most bytes; 'default' takes QUOTA_BYTES again.")
def change_quota(name: str, images: str | None, size: str | None) -> None:
    """Show what user NAME keeps and may keep, or give NAME a quota of their own."""
    runtime = current_runtime()
    asked = {"quota_images": images, "quota_bytes": size}
    changes = {field: _limit(text) for field, text in asked.items() if text is not None}
    with runtime.transaction() as session:
        user = users.user_named(session, name)
        if changes:
            quota.change_quota(session, user.id, changes)
        kept = quota.kept_by(session, user.id, quota.of_everybody(runtime.settings))
    console().print(
        f"'{name}' keeps {_of(kept.images, kept.quota.images)} images and "
        f"{_of(kept.bytes, kept.quota.bytes)} bytes."
    )


@group.command("end")
@click.argument("name")
@click.option("--delete-images", is_flag=True, help="Delete their images.")
@click.option("--images-to", "heir", metavar="NAME", help="Who gets their images.")
def end(name: str, delete_images: bool, heir: str | None) -> None:
    """End user NAME: keys count no more; a worker deletes their images, or hands them over."""
    if delete_images == (heir is not None):
        raise click.UsageError("Say either --delete-images or --images-to NAME.")
    runtime = current_runtime()
    with runtime.transaction() as session:
        user = users.user_named(session, name)
        heir_id = None if heir is None else users.user_named(session, heir).id
        job = ending.end_user(session, user.id, heir_id=heir_id)
    runtime.doorbell.ring(job.id, job.kind)
    console().print(f"'{name}' is no user any more. Job {job.id} clears away what was theirs.")


@group.command("list")
def list_users() -> None:
    """Show every user."""
    print_table(
        ("id", "name", "role", "external id", "created"),
        (
            (user.id, user.username, user.role, user.external_id, _day(user.created_at))
            for user in all_rows(
                lambda session, cursor, limit: users.list_users(session, cursor=cursor, limit=limit)
            )
        ),
        wrapping=WRITTEN_BY_PEOPLE,
    )


@group.command("keys")
@click.argument("name")
def list_keys(name: str) -> None:
    """Show the keys of user NAME, newest first; the keys themselves are nowhere."""
    now = datetime.now(UTC)
    with current_runtime().transaction() as session:
        owner_id = users.user_named(session, name).id
    print_table(
        ("key", "name", "scopes", "state", "created", "expires", "last used"),
        (
            (
                key.prefix,
                key.name,
                "all" if key.scopes is None else key.scopes,
                _state(key, now),
                _day(key.created_at),
                _day(key.expires_at),
                _day(key.last_used_at),
            )
            for key in all_rows(
                lambda session, cursor, limit: keys.list_keys(
                    session, owner_id, cursor=cursor, limit=limit
                )
            )
        ),
        wrapping=WRITTEN_BY_PEOPLE,
    )


def _limit(text: str) -> int | None:
    if text == "default":
        return None
    if not text.isascii() or not text.isdecimal() or int(text) > quota.MOST:
        raise click.UsageError(f"'{text}' is neither a number up to 2^53 nor 'default'.")
    return int(text)


def _of(kept: int, most: int | None) -> str:
    return f"{kept:,}" if most is None else f"{kept:,} of at most {most:,}"


def _scopes(text: str | None) -> Scopes | None:
    return None if text is None else checked_scopes(text.replace(",", " ").split())


def _in_days(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)


def _day(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d}"


def _state(key: Key, now: datetime) -> str:
    state = key_state(key.expires_at, key.revoked_at, now).replace("_", " ")
    if key.revoked_at is None:
        return state
    return f"{'revoked' if key.revoked_at <= now else 'ends'} {_day(key.revoked_at)}"


def _show_key(sentence: str, new: NewKey) -> None:
    console().print(f"{sentence}\n{new.key}\nSend it with every call:  Authorization: Bearer KEY")
