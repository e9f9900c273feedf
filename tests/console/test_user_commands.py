"""`mirada users`: people and their keys at the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mirada.kernel.errors import NotAuthenticated
from mirada.people import audit, users
from mirada.people.identity import Bearer, recognise_key
from mirada.people.product import person_of_product
from mirada.runtime import Runtime
from testing.console import run_command

Command = Callable[..., str]


@pytest.fixture
def command(runtime: Runtime) -> Command:
    """Return a function that runs `mirada users ARGUMENTS` and returns what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        result = run_command(runtime, "users", *arguments)
        assert result.exit_code == code, result.output
        return str(result.output)

    return run


def key_in(output: str) -> str:
    found = re.search(r"^mrd_[0-9a-f]{8}_[\w-]{43}$", output, re.MULTILINE)
    assert found, output
    return found.group()


def bearer(runtime: Runtime, key: str) -> Bearer | None:
    with runtime.reading() as session:
        try:
            return recognise_key(session, key)
        except NotAuthenticated:
            return None


def test_a_user_s_first_key_can_be_limited(command: Command, runtime: Runtime) -> None:
    output = command(
        "create",
        "ana",
        "--scopes",
        "read, metrics",
        "--expires-days",
        "30",
        "--key-name",
        "Prometheus",
    )
    found = bearer(runtime, key_in(output))
    assert found is not None
    assert (found.key.name, found.key.scopes) == ("Prometheus", "read metrics")
    assert found.key.expires_at is not None
    left = found.key.expires_at - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)


def test_a_further_key_can_be_limited(command: Command, runtime: Runtime) -> None:
    command("create", "ana")
    found = bearer(runtime, key_in(command("key", "ana", "--scopes", "read")))
    assert found is not None
    assert (found.key.scopes, found.key.expires_at, found.key.name) == ("read", None, None)


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("--scopes", "all"), "There is no scope 'all'", 1),
        (("--scopes", ""), "at least one scope", 1),
        (("--scopes", "admin"), "needs read or write", 1),
        (("--scopes", "admin,read"), "ana is no administrator", 1),
        (("--key-name", "a\x1b[31m"), "control or invisible", 1),
        (("--expires-days", "0"), "1<=x<=", 2),
        (("--expires-days", "99999"), "1<=x<=", 2),
        (("--expires-days", "soon"), "not a valid integer", 2),
    ],
)
def test_limits_that_make_no_sense_make_no_user(
    command: Command, runtime: Runtime, arguments: tuple[str, ...], said: str, code: int
) -> None:
    assert said in command("create", "ana", *arguments, code=code)
    with runtime.reading() as session:
        assert users.list_users(session) == []


def test_a_key_is_rotated(command: Command, runtime: Runtime) -> None:
    old = key_in(command("create", "ana", "--scopes", "read", "--key-name", "shop"))
    output = command("rotate", old[:12])
    new = bearer(runtime, key_in(output))
    assert new is not None
    assert (new.key.name, new.key.scopes) == ("shop", "read")
    assert f"{old[:12]} is void" in output
    assert bearer(runtime, old) is None
    assert "No key in force" in command("rotate", old[:12], code=1)


def test_a_rotated_key_may_stay_for_some_hours(command: Command, runtime: Runtime) -> None:
    old = key_in(command("create", "ana"))
    assert "ends in 24 hours" in command("rotate", old, "--grace-hours", "24")
    assert bearer(runtime, old) is not None
    assert "rotated already" in command("rotate", old[:12], code=1)
    command("rotate", old, "--grace-hours", "169", code=2)
    command("revoke", old)
    assert bearer(runtime, old) is None


def test_users_and_keys_are_listed_without_a_secret(command: Command) -> None:
    key = key_in(command("create", "ana", "--admin", "--key-name", "desk"))
    gone = key_in(command("key", "ana", "--scopes", "read,write", "--expires-days", "9"))
    command("revoke", gone[:12])
    command("create", "ben")

    listed = command("list")
    assert re.search(r"^2 +ben +user +20", listed, re.MULTILINE)
    assert re.search(r"^1 +ana +administrator +20", listed, re.MULTILINE)

    listed = command("keys", "ana")
    assert re.search(rf"^{key[:12]} +desk +all +in force +20", listed, re.MULTILINE)
    assert re.search(rf"^{gone[:12]} +read +revoked 20", listed, re.MULTILINE)
    assert key[13:] not in listed
    assert "There is no user 'cleo'" in command("keys", "cleo", code=1)


def test_the_local_user_s_name_is_not_given_away(command: Command) -> None:
    assert "choose another name" in command("create", "Local", code=1)
    assert key_in(command("key", "local"))


def test_a_role_is_changed_and_the_product_s_id_is_listed(
    command: Command, runtime: Runtime
) -> None:
    person = person_of_product(runtime.database, "ana@product")
    command("create", "root", "--admin")
    command("create", "ben")
    assert "'ben' is administrator now." in command("role", "ben", "administrator")
    assert "'root' is user now." in command("role", "root", "user")
    assert "last administrator" in command("role", "ben", "user", code=1)
    assert "people of the host product are users" in (
        command("role", person.username, "administrator", code=1).lower()
    )
    command("role", "ben", "king", code=2)
    assert "There is no user 'cleo'" in command("role", "cleo", "user", code=1)
    assert "ana@product" in command("list")


def test_a_user_is_ended_by_name(command: Command, runtime: Runtime) -> None:
    key = key_in(command("create", "ana"))
    command("create", "ben")
    for wrong in ((), ("--delete-images", "--images-to", "ben")):
        assert "Say either" in command("end", "ana", *wrong, code=2)
    assert "There is no user 'cleo'" in command("end", "ana", "--images-to", "cleo", code=1)
    assert "somebody else" in command("end", "ana", "--images-to", "ana", code=1)
    assert bearer(runtime, key) is not None
    assert "'ana' is no user any more" in command("end", "ana", "--images-to", "ben")
    assert bearer(runtime, key) is None
    assert "There is no user 'ana'" in command("end", "ana", "--delete-images", code=1)
    assert "no end" in command("end", "local", "--delete-images", code=1)
    assert re.search(r"^\d+ +ana\b", command("list"), re.MULTILINE) is None


def test_a_quota_is_given_and_taken_back(command: Command) -> None:
    command("create", "ana")
    assert "'ana' keeps 0 images and 0 bytes." in command("quota", "ana")
    given = command("quota", "ana", "--images", "1000", "--bytes", "5000000")
    assert "0 of at most 1,000 images and 0 of at most 5,000,000 bytes" in given
    assert "0 of at most 1,000 images and 0 bytes" in command("quota", "ana", "--bytes", "default")
    assert "neither a number" in command("quota", "ana", "--images", "-1", code=2)
    assert "There is no user 'cleo'" in command("quota", "cleo", code=1)


def test_every_change_at_the_command_line_leaves_an_entry(
    command: Command, runtime: Runtime
) -> None:
    key = key_in(command("create", "ana"))
    command("create", "ben", "--admin")
    command("key", "ana")
    command("sign-in-link", "ana")
    renewed = key_in(command("rotate", key[:12]))
    command("revoke", renewed[:12])
    command("role", "ana", "administrator")
    command("quota", "ana", "--images", "5")
    command("end", "ana", "--images-to", "ben")
    with runtime.reading() as session:
        entries = audit.list_entries(session, audit.Wanted())
    assert [entry.action for entry in reversed(entries)] == [
        *("user.make", "key.make", "user.make", "key.make", "key.make", "link.make"),
        *("key.replace", "key.make", "key.revoke", "user.role", "user.quota", "user.end"),
    ]
    assert {(entry.via, entry.user_id, entry.role) for entry in entries} == {
        ("command_line", None, None)
    }
    assert not any(key[13:] in str(entry.detail) for entry in entries)
