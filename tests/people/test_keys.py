"""Keys: issued, recognised, rotated and revoked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from mirada.db.models import ApiKey, User
from mirada.db.session import Database
from mirada.kernel.errors import (
    Conflict,
    InvalidInput,
    MiradaError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    ScopeMissing,
)
from mirada.people import keys, users
from mirada.people.access import Authority, Scope
from mirada.people.identity import recognise_by_id, recognise_key
from mirada.people.keys import Asker, NewKey
from mirada.runtime import Runtime

READ = frozenset({Scope.READ})
HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC)


def make_user(database: Database, name: str = "ana", *, is_administrator: bool = False) -> User:
    with database.transaction() as session:
        return users.create_user(session, name, is_administrator=is_administrator)


def issue(database: Database, owner: User, **limits: object) -> NewKey:
    with database.transaction() as session:
        return keys.issue(session, owner, **limits)  # type: ignore[arg-type]


def refusal(database: Database, new: NewKey) -> str:
    """Return why a key does not count; "" when it does."""
    try:
        with database.reading() as session:
            recognise_key(session, str(new.key))
    except NotAuthenticated as error:
        return error.detail
    return ""


def set_times(database: Database, new: NewKey, **times: datetime) -> None:
    with database.transaction() as session:
        row = session.get_one(ApiKey, new.row.id)
        for name, time in times.items():
            setattr(row, name, time)


def test_a_key_is_kept_as_its_hash_with_what_was_said_of_it(database: Database) -> None:
    ana, ends = make_user(database), now() + HOUR
    new = issue(database, ana, name="shop", scopes=READ, expires_at=ends)
    with database.reading() as session:
        bearer = recognise_key(session, str(new.key))
        assert recognise_by_id(session, new.row.id, new.row.prefix).key.id == new.row.id
        row = session.get_one(ApiKey, new.row.id)
    assert (bearer.user.id, bearer.key) == (ana.id, new.row)
    assert (row.name, row.scopes, row.expires_at, row.revoked_at) == ("shop", "read", ends, None)
    assert str(new.key).startswith(row.prefix)
    stored = {str(value) for value in vars(row).values()}
    assert not any(str(new.key) in value or str(new.key)[13:] in value for value in stored)


@pytest.mark.parametrize(
    "key",
    ["", "mrd_", "x" * 100_000, "mrd_00000000_" + "é" * 43, "mrd_00000000_" + "x" * 43, "\ud800"],
    ids=lambda key: f"{len(key)}{key[:14]!a}",
)
def test_what_is_no_key_is_not_recognised(database: Database, key: str) -> None:
    with pytest.raises(NotAuthenticated), database.reading() as session:
        recognise_key(session, key)


def test_every_character_of_a_key_counts(database: Database) -> None:
    new = issue(database, make_user(database))
    key = str(new.key)
    for place in range(len(key)):
        other = "0" if key[place] != "0" else "1"
        wrong = NewKey(new.row, key[:place] + other + key[place + 1 :])
        assert refusal(database, wrong), place
    for wrong_text in (key[:-1], key + "A", " " + key, key + "\n", key.upper(), key.swapcase()):
        assert refusal(database, NewKey(new.row, wrong_text)), wrong_text


def test_a_session_s_key_is_told_by_id_and_beginning(database: Database) -> None:
    new = issue(database, make_user(database))
    with database.reading() as session:
        for key_id, prefix in ((new.row.id, "mrd_00000000"), (new.row.id + 1, new.row.prefix)):
            with pytest.raises(NotAuthenticated):
                recognise_by_id(session, key_id, prefix)


def test_an_expired_key_counts_no_more(database: Database) -> None:
    new = issue(database, make_user(database), expires_at=now() + HOUR)
    assert refusal(database, new) == ""
    set_times(database, new, expires_at=now() - timedelta(seconds=1))
    assert "has expired" in refusal(database, new)


def test_a_revoked_key_counts_no_more_and_stays_in_the_list(database: Database) -> None:
    ana = make_user(database)
    new, other = issue(database, ana), issue(database, ana)
    for _ in range(2):
        with database.transaction() as session:
            revoked = keys.revoke(session, ana.id, new.row.id)
    assert "was revoked" in refusal(database, new)
    assert refusal(database, other) == ""
    with database.reading() as session:
        listed = keys.list_keys(session, ana.id)
    assert [key.id for key in listed] == [other.row.id, new.row.id]
    assert listed[1].revoked_at == revoked.revoked_at
    assert listed[1].revoked_at is not None


def test_keys_are_listed_page_by_page_and_nobody_else_s(database: Database) -> None:
    ana, ben = make_user(database), make_user(database, "ben")
    ids = [issue(database, ana).row.id for _ in range(3)]
    issue(database, ben)
    with database.reading() as session:
        first = keys.list_keys(session, ana.id, limit=2)
        second = keys.list_keys(session, ana.id, cursor=first[-1].id, limit=2)
        assert len(keys.list_keys(session, ana.id, cursor=2**70)) == 3
    assert [key.id for key in (*first, *second)] == ids[::-1]


def test_somebody_else_s_key_is_as_absent_as_none(database: Database) -> None:
    ana, ben = make_user(database), make_user(database, "ben")
    new = issue(database, ana)
    for key_id in (new.row.id, 0, -1, 999, 2**64):
        for verb in (keys.revoke, keys.rotate):
            with (
                pytest.raises(NotFound, match=f"There is no key {key_id}\\."),
                database.transaction() as session,
            ):
                verb(session, ben.id, key_id)
    assert refusal(database, new) == ""


def test_a_key_is_rotated_with_its_name_scopes_and_span(database: Database) -> None:
    ana = make_user(database)
    old = issue(database, ana, name="shop", scopes=READ, expires_at=now() + 10 * HOUR)
    began = now()
    set_times(database, old, created_at=began - 8 * HOUR, expires_at=began + 2 * HOUR)
    with database.transaction() as session:
        new = keys.rotate(session, ana.id, old.row.id)
    assert (new.row.name, new.row.scopes) == ("shop", "read")
    assert new.row.expires_at is not None
    assert abs(new.row.expires_at - (began + 10 * HOUR)) < timedelta(minutes=5)
    assert new.row.prefix != old.row.prefix
    assert "was revoked" in refusal(database, old)
    assert refusal(database, new) == ""


def test_a_key_without_end_is_rotated_into_one_without_end(database: Database) -> None:
    ana = make_user(database)
    old = issue(database, ana)
    with database.transaction() as session:
        assert keys.rotate(session, ana.id, old.row.id, grace=HOUR).row.expires_at is None


def test_both_keys_count_during_the_grace_period_and_no_longer(database: Database) -> None:
    ana = make_user(database)
    old = issue(database, ana)
    with database.transaction() as session:
        new = keys.rotate(session, ana.id, old.row.id, grace=HOUR)
    assert [refusal(database, key) for key in (old, new)] == ["", ""]
    set_times(database, old, revoked_at=now() - timedelta(seconds=1))
    assert "was revoked" in refusal(database, old)
    assert refusal(database, new) == ""


def test_a_key_in_its_grace_period_is_rotated_by_nobody_and_revoked_at_once(
    database: Database,
) -> None:
    ana = make_user(database)
    old = issue(database, ana)
    with database.transaction() as session:
        keys.rotate(session, ana.id, old.row.id, grace=HOUR)
    with pytest.raises(Conflict, match="rotated already"), database.transaction() as session:
        keys.rotate(session, ana.id, old.row.id)
    with database.transaction() as session:
        keys.revoke(session, ana.id, old.row.id)
    assert "was revoked" in refusal(database, old)


@pytest.mark.parametrize("end", ["revoked_at", "expires_at"])
def test_a_void_key_is_not_rotated(database: Database, end: str) -> None:
    ana = make_user(database)
    old = issue(database, ana)
    set_times(database, old, **{end: now() - HOUR})
    with (
        pytest.raises(Conflict, match=end.removesuffix("s_at").removesuffix("d_at")),
        database.transaction() as session,
    ):
        keys.rotate(session, ana.id, old.row.id)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_a_grace_period_is_a_week_at_most(database: Database, grace: timedelta) -> None:
    ana = make_user(database)
    old = issue(database, ana)
    with pytest.raises(InvalidInput, match="604800"), database.transaction() as session:
        keys.rotate(session, ana.id, old.row.id, grace=grace)
    assert refusal(database, old) == ""


def test_two_rotations_at_once_leave_one_new_key(
    make_runtime: Callable[..., Runtime], migrated_mariadb_url: str
) -> None:
    database = make_runtime(database_url=migrated_mariadb_url).database
    ana = make_user(database)
    old = issue(database, ana)
    outcomes = []

    def rotate() -> None:
        try:
            with database.transaction() as session:
                keys.rotate(session, ana.id, old.row.id, grace=HOUR)
            outcomes.append("rotated")
        except MiradaError as error:
            outcomes.append(error.code)

    others = [threading.Thread(target=rotate) for _ in range(3)]
    with database.transaction() as session:
        keys.rotate(session, ana.id, old.row.id, grace=HOUR)
        for other in others:
            other.start()
        # Long enough for them to have looked at the key before this one's commit.
        others[0].join(1)
    for other in others:
        other.join()
    assert outcomes == ["conflict"] * 3
    with database.reading() as session:
        assert session.execute(select(func.count()).select_from(ApiKey)).scalar_one() == 2


def test_a_narrow_key_rotates_no_wider_one_and_itself_always(database: Database) -> None:
    ana, soon = make_user(database), now() + HOUR
    wide = issue(database, ana)
    narrow = issue(database, ana, scopes=READ | {Scope.WRITE}, expires_at=soon)
    giver = Authority(False, READ | {Scope.WRITE}, narrow.row.expires_at)

    def rotate(target: NewKey) -> NewKey:
        with database.transaction() as session:
            return keys.rotate(session, ana.id, target.row.id, asker=Asker(0, giver, narrow.row.id))

    with pytest.raises(ScopeMissing):
        rotate(wide)
    endless = issue(database, ana, scopes=READ)
    with pytest.raises(NotAllowed, match="may not outlive"):
        rotate(endless)
    assert [refusal(database, key) for key in (wide, endless)] == ["", ""]
    new = rotate(narrow)
    assert new.row.scopes == "read write"
    assert refusal(database, narrow) != ""


def test_the_scope_admin_is_for_administrators(database: Database) -> None:
    scopes = frozenset({Scope.READ, Scope.ADMIN})
    with pytest.raises(InvalidInput, match="no administrator"):
        issue(database, make_user(database), scopes=scopes)
    assert issue(database, make_user(database, "root", is_administrator=True), scopes=scopes).key


@pytest.mark.parametrize("rotates", [False, True])
def test_one_idempotency_key_makes_one_key_and_shows_it_once(
    database: Database, rotates: bool
) -> None:
    ana = make_user(database)
    old = issue(database, ana)

    def ask(name: str = "shop") -> NewKey:
        with database.transaction() as session:
            if rotates:
                return keys.rotate(
                    session,
                    ana.id,
                    old.row.id,
                    grace=HOUR * len(name),
                    asker=Asker(ana.id, idempotency_key="k1"),
                )
            return keys.issue(session, ana, name=name, asker=Asker(ana.id, idempotency_key="k1"))

    first, again = ask(), ask()
    assert not first.was_replayed
    assert (again.row.id, again.key, again.was_replayed) == (first.row.id, None, True)
    with pytest.raises(InvalidInput, match="another request"):
        ask("other")
    with database.reading() as session:
        assert session.execute(select(func.count()).select_from(ApiKey)).scalar_one() == 2


def test_expired_keys_do_not_stand_in_the_way_of_a_beginning(database: Database) -> None:
    ana = make_user(database)
    old, new = issue(database, ana), issue(database, ana)
    with database.transaction() as session:
        for row_id in (old.row.id, new.row.id):
            session.get_one(ApiKey, row_id).prefix = "mrd_1a2b3c4d"
        session.get_one(ApiKey, old.row.id).expires_at = now() - HOUR
    with database.reading() as session:
        assert keys.key_beginning_with(session, "mrd_1a2b3").id == new.row.id
        for absent in ("mrd_9999", "mrd_é1a2b3c4d", "mrd_\ud800xxxx"):
            with pytest.raises(NotFound):
                keys.key_beginning_with(session, absent)


@pytest.mark.postgresql
def test_keys_live_and_end_on_postgresql(
    make_runtime: Callable[..., Runtime], postgresql_url: str
) -> None:
    runtime = make_runtime(database_url=postgresql_url)
    database = runtime.database
    ana = make_user(database, "Ñandú")
    with pytest.raises(Conflict, match="'Ñandú' already"):
        make_user(database, "ñandú")
    old = issue(database, ana, name="câmera", scopes=READ, expires_at=now() + HOUR)
    runtime.key_usage.note(old.row.id, None)
    assert runtime.key_usage.settle()
    with database.transaction() as session:
        new = keys.rotate(session, ana.id, old.row.id, asker=Asker(1, idempotency_key="k"))
    with database.transaction() as session:
        assert keys.rotate(
            session, ana.id, old.row.id, asker=Asker(1, idempotency_key="k")
        ).was_replayed
    assert "was revoked" in refusal(database, old)
    assert refusal(database, new) == ""
    with database.reading() as session:
        assert keys.get_key(session, ana.id, old.row.id).last_used_at is not None
        assert keys.key_beginning_with(session, str(new.key)).name == "câmera"
