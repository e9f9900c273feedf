"""The host product's own people: made once, whoever comes first, on every database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from mirada.db.models import Role, User
from mirada.db.session import Database
from mirada.kernel.errors import Conflict, InvalidInput
from mirada.people import keys, users
from mirada.people.access import checked_scopes
from mirada.people.product import checked_external_id, known_person, person_of_product

MANY = 12


def test_somebody_is_made_at_first_use_and_found_afterwards(database: Database) -> None:
    with database.reading() as session:
        assert known_person(session, "42") is None
    made = person_of_product(database, "42")
    assert (made.external_id, made.role) == ("42", "user")
    assert made.username.startswith("person:")
    assert "42" not in made.username.removeprefix("person:") or len(made.username) == 23
    assert person_of_product(database, "42") == made
    with database.reading() as session:
        assert known_person(session, "42") == made


def test_many_first_calls_at_once_make_one(database: Database) -> None:
    ids = [f"user-{number % 3}" for number in range(MANY)]
    with ThreadPoolExecutor(MANY) as pool:
        people = list(pool.map(lambda each: person_of_product(database, each), ids))
    assert [person.external_id for person in people] == ids
    assert len({person.id for person in people}) == 3
    with database.reading() as session:
        assert session.execute(select(func.count(User.id))).scalar_one() == 3


def test_it_is_so_on_postgresql_too(postgresql_url: str) -> None:
    from sqlalchemy.engine import make_url

    from mirada.db.migrate import upgrade_to_head
    from mirada.db.session import make_engine

    database = Database(make_engine(make_url(postgresql_url), MANY))
    try:
        upgrade_to_head(database.engine)
        test_many_first_calls_at_once_make_one(database)
    finally:
        database.close()


def test_ids_that_differ_at_all_are_different_people(database: Database) -> None:
    different = [
        "ana",
        "ANA",
        "aná",
        "an\u0061\u0301",
        "\uff41na",
        "ana ana",
        "ana  ana",
        "0",
        "00",
    ]
    different += ["😀", "😁", "ß", "ss"]
    people = [person_of_product(database, each) for each in different]
    assert [person.external_id for person in people] == different
    assert len({person.id for person in people}) == len(different)


@pytest.mark.parametrize(
    "given", ["1", "a" * 191, "😀" * 191, "auth0|5f", "a b", "ana@x.org", "{}"]
)
def test_ids_of_any_product_are_taken_as_they_are(database: Database, given: str) -> None:
    assert checked_external_id(given, "The id") == given
    assert person_of_product(database, given).external_id == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "a" * 192,
        " a",
        "a ",
        "\u00a0a",
        "a\n",
        "a\0",
        "a\x7f",
        "a\u200b",
        "\ud800",
        "a,b",
        5,
        None,
        ["a"],
        True,
    ],
    ids=repr,
)
def test_what_is_no_id_is_refused(given: object) -> None:
    with pytest.raises(InvalidInput, match="The id takes one id of 1 to 191 characters"):
        checked_external_id(given, "The id")


def test_nobody_takes_a_name_of_theirs(database: Database) -> None:
    person = person_of_product(database, "42")
    with database.transaction() as session, pytest.raises(InvalidInput):
        users.create_user(session, person.username)
    with database.transaction() as session:
        # A local user with the product's id for a name is somebody else.
        assert users.create_user(session, "42").id != person.id
        assert users.user_named(session, person.username) == person


def test_they_have_no_keys_whoever_asks(database: Database) -> None:
    person = person_of_product(database, "42")
    for scopes in (None, checked_scopes(["read"]), checked_scopes(["admin", "read"])):
        with (
            database.transaction() as session,
            pytest.raises(Conflict, match="no keys of their own"),
        ):
            keys.issue(session, person, scopes=scopes)
    with database.reading() as session:
        row = session.execute(select(User)).scalar_one()
        assert row.role == Role.USER
        assert row.created_at <= datetime.now(UTC)


@pytest.mark.parametrize("alone", [["act_for"], ["act_for", "metrics"], ["admin", "act_for"]])
def test_acting_for_others_needs_read_or_write_beside_it(alone: list[str]) -> None:
    with pytest.raises(InvalidInput, match="needs read or write"):
        checked_scopes(alone)
    assert checked_scopes([*alone, "read"]) is not None
