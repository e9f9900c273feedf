"""Long results packed by the server: the same rows as one by one, on every engine."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    Select,
    Table,
    func,
    insert,
    select,
)
from sqlalchemy.engine import make_url

from mirada.db import packed
from mirada.db.models import Blob
from mirada.db.session import Database, make_engine

SIZE = 12
ROWS = Table(
    "packed_rows",
    MetaData(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=True),
    Column("small", Integer),
    Column("flag", Boolean),
    Column("vector", Blob, quote=True),
)
NUMBERS = select(ROWS.c.id, ROWS.c.number, ROWS.c.small, ROWS.c.flag)
RECORDS = select(ROWS.c.id, ROWS.c.number, ROWS.c.flag, func.length(ROWS.c.vector), ROWS.c.vector)


@pytest.fixture(
    scope="module",
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ],
)
def rows_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database with the table, empty."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('packed') / 'rows.db'}"
        yield from _with_table(url)
        return
    server = request.getfixturevalue(request.param)
    with server.new_database() as name:
        yield from _with_table(server.url(name))


def _with_table(url: str) -> Iterator[Database]:
    database = Database(make_engine(make_url(url), 2))
    ROWS.metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture(autouse=True)
def _nothing_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_said", set())


def fill(database: Database, rows: list[dict[str, object]]) -> None:
    with database.transaction() as session:
        session.execute(ROWS.delete())
        if rows:
            session.execute(insert(ROWS), rows)


def row(id_: int, number: int | None = 0, blob: bytes = bytes(SIZE)) -> dict[str, object]:
    return {"id": id_, "number": number, "small": -id_ % 7, "flag": id_ % 2 == 0, "vector": blob}


@examples(max_examples=25)
@given(
    kept=st.dictionaries(
        st.integers(0, 2**63 - 1),
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.one_of(st.binary(min_size=SIZE, max_size=SIZE), st.binary(max_size=2 * SIZE)),
        ),
        max_size=12,
    ),
    step=st.sampled_from([1, 2, 4]),
)
def test_packed_rows_are_the_rows(
    rows_database: Database, kept: dict[int, tuple[int, bytes]], step: int
) -> None:
    fill(rows_database, [row(id_, number, blob) for id_, (number, blob) in kept.items()])
    expected = sorted((id_, number, -id_ % 7, id_ % 2 == 0) for id_, (number, _) in kept.items())
    with rows_database.reading() as session, pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "GROUP_BYTES", step * 60)
        found = packed.numbers(session, NUMBERS)
        whole = packed.records(session, RECORDS, SIZE)
    assert found.dtype == np.int64
    assert found.shape == (len(kept), 4)
    assert [tuple(one) for one in found.tolist()] == expected
    assert whole.numbers.tolist() == [
        [id_, kept[id_][0], id_ % 2 == 0, len(kept[id_][1])] for id_ in sorted(kept)
    ]
    blobs = [kept[id_][1] for id_ in sorted(kept)]
    assert [bytes(blob) for blob in whole.blobs] == [
        blob if len(blob) == SIZE else bytes(SIZE) for blob in blobs
    ]


def test_no_rows_are_no_numbers(rows_database: Database) -> None:
    fill(rows_database, [])
    with rows_database.reading() as session:
        assert packed.numbers(session, NUMBERS).shape == (0, 4)
        assert packed.records(session, RECORDS, SIZE).blobs.shape == (0,)


def test_a_missing_number_is_an_error_and_no_lost_row(rows_database: Database) -> None:
    fill(rows_database, [row(1), row(2, None)])
    with rows_database.reading() as session, pytest.raises(TypeError):
        packed.numbers(session, NUMBERS)


def test_many_rows_of_one_first_number_come_whole(rows_database: Database) -> None:
    # As of images that all show one picture.
    fill(rows_database, [row(id_, id_) for id_ in range(3_000)])
    shown: Select[tuple[int, ...]] = select(ROWS.c.small * 0 + 5, ROWS.c.id)
    with rows_database.reading() as session:
        found = packed.numbers(session, shown)
    assert set(found[:, 0]) == {5}
    assert sorted(found[:, 1].tolist()) == list(range(3_000))


@pytest.mark.parametrize("rows_database", ["sqlite"], indirect=True)
def test_sqlite_s_driver_brings_one_row(
    rows_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(rows_database, [row(id_, -id_, id_.to_bytes(SIZE)) for id_ in range(300)])

    def _each(*_given: object) -> packed.Records:
        raise AssertionError("they were read one by one")

    monkeypatch.setattr(packed, "_one_by_one", _each)
    with rows_database.reading() as session:
        found = packed.numbers(session, NUMBERS)
        last = packed.row_by_row(session, RECORDS.order_by(ROWS.c.id.desc()).limit(20), SIZE)
    assert found[:, 1].tolist() == [-id_ for id_ in range(300)]
    assert sorted(last.numbers[:, 0].tolist()) == list(range(280, 300))
    assert {int.from_bytes(blob) for blob in map(bytes, last.blobs)} == set(range(280, 300))


def test_few_rows_cross_the_wire(on_mariadb: Database) -> None:
    with on_mariadb.reading() as session:
        before = _rows_sent(session.connection())
        assert len(packed.numbers(session, NUMBERS)) == 50
        assert _rows_sent(session.connection()) - before < 10


def _rows_sent(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Rows_sent'").one()[1])


@pytest.fixture
def on_mariadb(mariadb_database: Database) -> Iterator[Database]:
    """A MariaDB database with 50 rows, and one connection."""
    url = mariadb_database.engine.url
    database = Database(make_engine(url, 1))
    ROWS.metadata.create_all(database.engine)
    fill(database, [row(id_, id_) for id_ in range(50)])
    yield database
    ROWS.metadata.drop_all(database.engine)
    database.close()


@pytest.mark.parametrize(
    ("permitted", "is_refused", "said"),
    [
        (1_048_576, True, None),  # MariaDB's default is enough.
        (70, True, None),  # Two rows a group.
        (20, True, "a group has 20 bytes at most"),
        (20, False, None),
    ],
)
def test_a_server_that_refuses_long_groups_is_read_in_short_ones_or_by_rows(
    on_mariadb: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    permitted: int,
    is_refused: bool,
    said: str | None,
) -> None:
    if is_refused:
        monkeypatch.setattr(packed, "_ASK_FOR_MORE", "SET SESSION there_is_no_such_thing = 1")
    with on_mariadb.reading() as session, caplog.at_level(logging.WARNING):
        session.connection().exec_driver_sql(f"SET SESSION group_concat_max_len = {permitted}")
        session.connection().info.clear()
        for _ in range(2):
            assert packed.numbers(session, NUMBERS)[:, 1].tolist() == list(range(50))
    assert [said in record.getMessage() for record in caplog.records if said] == [True] * bool(said)
    assert bool(caplog.records) == bool(said)


def test_a_group_that_was_cut_short_is_read_again_by_rows(
    on_mariadb: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with on_mariadb.reading() as session, caplog.at_level(logging.WARNING):
        assert len(packed.numbers(session, NUMBERS)) == 50
        session.connection().exec_driver_sql("SET SESSION group_concat_max_len = 100")
        assert packed.numbers(session, NUMBERS)[:, 1].tolist() == list(range(50))
    assert ["cut short" in record.getMessage() for record in caplog.records] == [True]
