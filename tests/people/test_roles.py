"""Roles: who may have which, and what ends with an administrator's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from mirada.db.models import Role, User
from mirada.db.session import Database
from mirada.kernel.errors import Conflict, NotFound
from mirada.people import keys, roles, users
from mirada.people.access import checked_scopes
from mirada.people.product import person_of_product


def user(database: Database, name: str, *, is_administrator: bool = True) -> int:
    with database.transaction() as session:
        return users.create_user(session, name, is_administrator=is_administrator).id


def change(database: Database, user_id: int, role: str) -> str:
    with database.transaction() as session:
        return roles.change_role(session, user_id, role).role


def ranked(database: Database) -> list[str]:
    with database.reading() as session:
        query = select(User.username).where(User.role == Role.ADMINISTRATOR)
        return sorted(session.execute(query).scalars())


def test_a_role_is_given_and_taken(database: Database) -> None:
    root, ana = user(database, "root"), user(database, "ana", is_administrator=False)
    assert change(database, ana, "administrator") == "administrator"
    assert ranked(database) == ["ana", "root"]
    assert change(database, root, "user") == "user"
    assert change(database, root, "user") == "user"
    assert ranked(database) == ["ana"]


def test_somebody_stays_an_administrator(database: Database) -> None:
    root = user(database, "root")
    with database.transaction() as session:
        users.local_user(session)
    with pytest.raises(Conflict, match="last administrator"):
        change(database, root, "user")
    assert change(database, root, "administrator") == "administrator"


def test_two_who_take_each_other_s_rank_at_once_leave_one(database: Database) -> None:
    both = [user(database, "root"), user(database, "boss")]

    def demote(user_id: int) -> bool:
        try:
            change(database, user_id, "user")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(demote, both)) == [False, True]
    assert len(ranked(database)) == 1


def test_keys_of_an_administrator_end_with_the_rank(database: Database) -> None:
    user(database, "root")
    ana = user(database, "ana")
    made = {}
    for scopes in (None, "read", "read write", "read admin", "metrics", "write act_for"):
        with database.transaction() as session:
            owner = users.get_user(session, ana)
            chosen = None if scopes is None else checked_scopes(scopes.split())
            made[scopes] = keys.issue(session, owner, scopes=chosen).row.id
    change(database, ana, "user")
    with database.reading() as session:
        ended = {
            scopes: keys.get_key(session, ana, key_id).revoked_at is not None
            for scopes, key_id in made.items()
        }
    assert ended == {
        None: False,
        "read": False,
        "read write": False,
        "read admin": True,
        "metrics": True,
        "write act_for": True,
    }


def test_who_has_no_role_to_change(database: Database) -> None:
    user(database, "root")
    with database.transaction() as session:
        local_id = users.local_user(session).id
    person_id = person_of_product(database, "42").id
    with pytest.raises(Conflict, match="OPEN_AS"):
        change(database, local_id, "user")
    with pytest.raises(Conflict, match="the product does not give rank"):
        change(database, person_id, "administrator")
    assert change(database, person_id, "user") == "user"
    for nobody in (99, 0, -1, 2**70):
        with pytest.raises(NotFound):
            change(database, nobody, "user")
