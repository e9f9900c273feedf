"""Rankings that are kept: whose they are, for how long, and how many."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, update

from mirada.db.paging_models import KeptRanking
from mirada.db.session import Database
from mirada.search import kept
from mirada.search.kept import NewRanking, by_id, by_ticket, complete, keep, sweep

ME, OTHER, STRANGER = "1" * 64, "2" * 64, "0" * 64


def new(number: int, caller: str = ME, size: int = 24) -> NewRanking:
    return NewRanking(f"{number:024x}", caller, b"", b"about", bytes(range(size)), size // 8)


def kept_by(database: Database, *rankings: NewRanking, is_stranger: bool = False) -> None:
    for one in rankings:
        with database.transaction() as session:
            assert keep(session, one, is_stranger=is_stranger)


def tickets(database: Database, caller: str) -> list[int]:
    query = select(KeptRanking.ticket).where(KeptRanking.caller == caller).order_by(KeptRanking.id)
    with database.reading() as session:
        return [int(ticket, 16) for ticket in session.execute(query).scalars()]


def age(database: Database, caller: str, seconds: int) -> None:
    older = KeptRanking.made_at_ms - seconds * 1000
    with database.transaction() as session:
        session.execute(
            update(KeptRanking).where(KeptRanking.caller == caller).values(made_at_ms=older)
        )


def test_a_ranking_is_its_callers_alone_and_read_in_part(database: Database) -> None:
    kept_by(database, new(1))
    with database.reading() as session:
        found = by_ticket(session, ME, new(1).ticket)
        assert found is not None
        assert (found.about, found.count, found.places) == (b"about", 3, b"")
        page = by_id(session, ME, found.id, 8, 8)
        assert page is not None
        assert page.places == bytes(range(8, 16))
        beyond = by_id(session, ME, found.id, 16, 800)
        assert beyond is not None
        assert beyond.places == bytes(range(16, 24))
        assert by_ticket(session, OTHER, new(1).ticket) is None
        assert by_id(session, OTHER, found.id, 0, 8) is None


def test_it_is_gone_after_ten_minutes_before_and_after_it_is_swept(database: Database) -> None:
    kept_by(database, new(1), new(2, OTHER))
    age(database, ME, kept.KEPT_FOR_S - 5)
    with database.reading() as session:
        assert by_ticket(session, ME, new(1).ticket) is not None
    age(database, ME, 5)
    with database.transaction() as session:
        assert by_ticket(session, ME, new(1).ticket) is None
        assert sweep(session) == 1
    assert (tickets(database, ME), tickets(database, OTHER)) == ([], [2])


def test_who_comes_second_with_a_ticket_finds_the_first_ones_ranking(database: Database) -> None:
    kept_by(database, new(1))
    with database.transaction() as session:
        assert not keep(session, new(1, size=80), is_stranger=False)
    with database.reading() as session:
        found = by_ticket(session, ME, new(1).ticket)
        assert found is not None
        assert found.count == 3


def test_a_question_gets_its_ranking_once(database: Database) -> None:
    question = NewRanking(new(1).ticket, ME, b"question")
    kept_by(database, question)
    with database.transaction() as session:
        found = by_ticket(session, ME, question.ticket)
        assert found is not None
        assert (found.count, found.question) == (None, b"question")
        assert complete(session, found.id, new(1))
        assert not complete(session, found.id, new(1, size=80))
        ranked = by_ticket(session, ME, question.ticket)
        assert ranked is not None
        assert (ranked.count, ranked.about, ranked.question) == (3, b"about", b"question")


def test_the_oldest_of_the_same_caller_go_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_OF_CALLER", 3)
    kept_by(database, new(100, OTHER), *(new(number) for number in range(1, 6)))
    assert (tickets(database, ME), tickets(database, OTHER)) == ([3, 4, 5], [100])


def test_bytes_of_a_caller_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES_OF_CALLER", 100)
    kept_by(database, *(new(number, size=40) for number in range(1, 6)))
    assert tickets(database, ME) == [4, 5]


def test_beyond_the_bound_in_all_the_oldest_of_who_has_most_goes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_IN_ALL", 4)
    kept_by(database, new(100, OTHER))
    kept_by(database, *(new(number, STRANGER) for number in range(1, 9)), is_stranger=True)
    assert (tickets(database, OTHER), tickets(database, STRANGER)) == ([100], [6, 7, 8])
    kept_by(database, new(101, OTHER))
    assert (tickets(database, OTHER), tickets(database, STRANGER)) == ([100, 101], [7, 8])


def test_bytes_in_all_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 100)
    for number in range(10):
        kept_by(database, new(number, f"{number:064x}", size=40))
    with database.reading() as session:
        assert session.scalar(select(func.sum(KeptRanking.byte_size))) <= 100  # type: ignore[operator]
