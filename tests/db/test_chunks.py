"""Long IN lists: every value is asked for, once, in lists that every server takes."""

from __future__ import annotations

from sqlalchemy import func, select

from mirada.db.chunks import IN_LIST_ROWS, chunks, rows_in
from mirada.db.memory_models import TextContent
from mirada.db.models import utc_now
from mirada.db.session import Database


def test_chunks_keep_the_order_and_lose_nothing() -> None:
    values = list(range(2 * IN_LIST_ROWS + 1))

    found = list(chunks(values))

    assert [len(chunk) for chunk in found] == [IN_LIST_ROWS, IN_LIST_ROWS, 1]
    assert [value for chunk in found for value in chunk] == values
    assert list(chunks([])) == []


def test_rows_of_a_long_list_come_once_each(database: Database) -> None:
    names = [f"{number:064d}" for number in range(IN_LIST_ROWS + 10)]
    with database.transaction() as session:
        session.add_all(TextContent(sha256=name, body=name, created_at=utc_now()) for name in names)

    with database.reading() as session:
        query = select(TextContent.sha256)
        rows = list(rows_in(session, query, TextContent.sha256, [*names, *names, "none such"]))
        counts = rows_in(session, select(func.count()), TextContent.sha256, names)

        assert sorted(row.sha256 for row in rows) == names
        assert sum(count for (count,) in counts) == len(names)
