"""The audit trail on every database: one transaction with the act, pages, filters, and its end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from mirada.db.audit_models import AuditEntry
from mirada.db.models import User, utc_now
from mirada.db.session import Database
from mirada.kernel.audit import Actor, acting
from mirada.people import audit, keys, roles, users
from mirada.people.audit import Action, Via, Wanted


@pytest.fixture
def boss(database: Database) -> Actor:
    with database.transaction() as session:
        made = users.create_user(session, "boss", is_administrator=True)
    return Actor(Via.SESSION, made.id, made.role, 5)


def user(database: Database, name: str) -> int:
    with database.transaction() as session:
        return users.create_user(session, name).id


def actions(database: Database, wanted: Wanted, **page: int) -> list[str]:
    with database.reading() as session:
        return [each.action for each in audit.list_entries(session, wanted, **page)]


def test_an_entry_tells_who_did_what_to_whom(database: Database, boss: Actor) -> None:
    ana = user(database, "ana")
    with acting(boss), database.transaction() as session:
        roles.change_role(session, ana, "administrator")
    with database.reading() as session:
        newest = audit.list_entries(session, Wanted())[0]
    assert (newest.action, newest.kind, newest.subject_id) == (Action.USER_ROLE, "user", ana)
    assert (newest.user, newest.role, newest.via, newest.key_id) == (
        *("boss", "administrator", Via.SESSION, 5),
    )
    assert (newest.owner, newest.detail) == ("ana", {"role": "administrator"})
    assert newest.created_at <= utc_now()


def test_of_a_key_that_acted_for_somebody_only_its_owner_reads_the_number(
    database: Database,
) -> None:
    with database.transaction() as session:
        shop, ana = (users.create_user(session, name) for name in ("shop", "ana"))
        shops, hers = (keys.issue(session, each).row.id for each in (shop, ana))
        ana_id = ana.id
    for key_id in (shops, hers):
        acted = Actor(Via.KEY, ana_id, "user", key_id)
        with acting(acted), database.transaction() as session:
            keys.issue(session, session.get_one(User, ana_id))
    own = Wanted(user_id=ana_id)
    with database.reading() as session:
        told = [each.key_id for each in audit.list_entries(session, own, reader_id=ana_id)]
        whole = [each.key_id for each in audit.list_entries(session, own)]
    assert (told[:2], whole[:2]) == ([hers, None], [hers, shops])


def test_what_is_rolled_back_was_not_done(database: Database, boss: Actor) -> None:
    ana = user(database, "ana")
    before = actions(database, Wanted())

    def fail() -> None:
        with acting(boss), database.transaction() as session:
            roles.change_role(session, ana, "administrator")
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert actions(database, Wanted()) == before
    with database.reading() as session:
        assert session.execute(select(User.role).where(User.id == ana)).scalar_one() == "user"


def test_a_list_is_narrowed_and_goes_on_by_ids(database: Database, boss: Actor) -> None:
    ana = user(database, "ana")
    user(database, "ben")
    with acting(boss), database.transaction() as session:
        owner = users.get_user(session, ana)
        made = [keys.issue(session, owner).row for _ in range(3)]
        keys.revoke(session, ana, made[0].id)
    of_ana = Wanted(ana)
    told = ["key.revoke", "key.make", "key.make", "key.make", "user.make"]
    assert actions(database, of_ana) == told
    assert actions(database, Wanted(boss.user_id)) == [*told[:4], "user.make"]
    assert actions(database, Wanted(ana, ("key.make",))) == ["key.make"] * 3
    with database.reading() as session:
        first = audit.list_entries(session, of_ana, limit=2)
    assert actions(database, of_ana, cursor=first[-1].id, limit=9) == told[2:]
    later = utc_now() + timedelta(minutes=1)
    assert actions(database, Wanted(since=later)) == []
    assert actions(database, Wanted(ana, until=later)) == told


def test_old_entries_go_some_at_a_time(
    database: Database, boss: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ana", "ben", "cleo"):
        user(database, name)
    monkeypatch.setattr(audit, "PURGE_ROWS", 2)
    with database.transaction() as session:
        old = update(AuditEntry).where(AuditEntry.owner_id != boss.user_id)
        session.execute(old.values(created_at=utc_now() - timedelta(days=366)))
    gone = []
    for _ in range(3):
        with database.transaction() as session:
            gone.append(audit.forget_old(session, 365))
    assert gone == [2, 1, 0]
    assert actions(database, Wanted()) == ["user.make"]
