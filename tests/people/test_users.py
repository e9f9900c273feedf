"""Users: their names, their lists, and the local one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from mirada.db.models import ApiKey, User
from mirada.db.session import Database
from mirada.kernel.errors import Conflict, InvalidInput, NotFound, ScopeMissing
from mirada.people import users
from mirada.people.access import Authority, Scope
from mirada.people.identity import recognise_key
from mirada.people.keys import Asker
from mirada.runtime import Runtime


def add(database: Database, name: str) -> str:
    with database.transaction() as session:
        return users.create_user(session, name).username


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "ana maria",
        "ana\n",
        "a\x00b",
        "a\x1b[2Jb",
        "a\u202eb",
        "\ud800",
        "x" * 151,
        "../x",
        "<b>",
        "a/b",
    ],
)
def test_a_name_takes_letters_digits_and_few_signs(database: Database, name: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 150 letters"), database.transaction() as session:
        users.create_user(session, name)


@pytest.mark.parametrize("name", ["ana@example.org", "joão", "用户", "x" * 150, "a.b+c-d_e"])
def test_a_name_may_be_in_any_script(database: Database, name: str) -> None:
    assert add(database, name) == name


def test_letters_that_only_look_different_are_the_same_name(database: Database) -> None:
    assert add(database, "\uff41\uff4e\uff41") == "ana"
    with pytest.raises(Conflict, match="'ana' already"):
        add(database, "ana")


@pytest.mark.parametrize("name", ["ana", "ANA", "Ana", "aNa"])
def test_names_that_differ_by_case_alone_are_one_name(database: Database, name: str) -> None:
    add(database, "Ana")
    with pytest.raises(Conflict, match="'Ana' already"):
        add(database, name)
    add(database, "Anabel")


def test_a_user_is_found_by_the_name_as_it_is_written(database: Database) -> None:
    add(database, "Ana")
    with database.transaction() as session:
        assert users.user_named(session, "Ana").username == "Ana"
        for other in ("ana", "ANA", "An"):
            with pytest.raises(NotFound, match=f"no user '{other}'"):
                users.user_named(session, other)


@pytest.mark.parametrize("name", ["local", "Local", "LOCAL", "\uff4cocal", "l\xf3cal", "Loc\xc5l"])
def test_nobody_takes_the_local_user_s_name(database: Database, name: str) -> None:
    with pytest.raises(Conflict, match="calls without a key"):
        add(database, name)
    with database.transaction() as session:
        assert users.local_user(session).role == "administrator"


def test_another_user_never_passes_for_the_local_one(database: Database) -> None:
    with database.transaction() as session:
        # As from before such names were refused; MySQL takes it for "local", the others do not.
        session.add(User(username="l\xf3cal"))
    with suppress(Conflict), database.transaction() as session:
        local = users.local_user(session)
        assert (local.username, local.role) == ("local", "administrator")


def test_two_who_ask_for_one_name_at_once_get_one_user(
    make_runtime: Callable[..., Runtime], migrated_mariadb_url: str
) -> None:
    database = make_runtime(database_url=migrated_mariadb_url).database
    together, outcomes = threading.Barrier(4), []

    def ask(name: str) -> None:
        together.wait()
        try:
            outcomes.append(add(database, name))
        except Conflict:
            outcomes.append("")

    askers = [threading.Thread(target=ask, args=(name,)) for name in ("ana", "Ana", "ana", "ANA")]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert sorted(outcomes)[:3] == ["", "", ""]
    assert sorted(outcomes)[3].lower() == "ana"


def test_users_are_listed_newest_first_page_by_page(database: Database) -> None:
    for name in ("ana", "ben", "cleo"):
        add(database, name)
    with database.reading() as session:
        first = users.list_users(session, limit=2)
        second = users.list_users(session, cursor=first[-1].id, limit=2)
        assert users.list_users(session, cursor=2**70) == [*first, *second]
        assert users.get_user(session, first[0].id).username == "cleo"
        for absent in (0, -1, 99, 2**64):
            with pytest.raises(NotFound, match=f"no user {absent}"):
                users.get_user(session, absent)
    assert [user.username for user in (*first, *second)] == ["cleo", "ben", "ana"]


def test_a_user_and_the_first_key_are_made_together_or_not_at_all(database: Database) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    limited = Authority(is_administrator=True, scopes=frozenset({Scope.WRITE, Scope.ADMIN}))
    with pytest.raises(ScopeMissing), database.transaction() as session:
        users.create_with_key(session, "ana", asker=Asker(authority=limited))
    with database.transaction() as session:
        assert session.execute(select(func.count()).select_from(User)).scalar_one() == 0
        new = users.create_with_key(
            session,
            "ana",
            key_name="first",
            scopes=frozenset({Scope.WRITE}),
            expires_at=tomorrow,
            asker=Asker(authority=limited),
        )
    assert new.first_key.row.name == "first"
    with database.reading() as session:
        bearer = recognise_key(session, str(new.first_key.key))
    assert (bearer.user.username, bearer.key.scopes) == ("ana", "write")
    assert bearer.key.expires_at == tomorrow


def test_a_user_is_created_once_per_idempotency_key(database: Database) -> None:
    def create(name: str, **more: object) -> users.NewUser:
        with database.transaction() as session:
            return users.create_with_key(
                session,
                name,
                asker=Asker(7, idempotency_key="k1"),
                **more,  # type: ignore[arg-type]
            )

    first, again = create("ana"), create("ana")
    assert again.user.id == first.user.id
    assert again.first_key.row.id == first.first_key.row.id
    assert again.first_key.was_replayed
    assert again.first_key.key is None
    assert not first.first_key.was_replayed
    with pytest.raises(InvalidInput, match="another request"):
        create("ana", is_administrator=True)
    with database.reading() as session:
        assert session.execute(select(func.count()).select_from(ApiKey)).scalar_one() == 1
