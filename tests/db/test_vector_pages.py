"""Pages of stored vectors: what they hold, alike on every engine, and what damage is."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update
from sqlalchemy.engine import make_url

from mirada.db import packed
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Embedding, Image
from mirada.db.session import Database, make_engine
from mirada.ports import VectorRows
from testing.vector_library import Library, random_vectors

DIMENSION = 8
PAGE = 16


@pytest.fixture
def postgresql_database(postgresql_url: str) -> Iterator[Database]:
    database = Database(make_engine(make_url(postgresql_url), 2))
    upgrade_to_head(database.engine)
    yield database
    database.close()


def library_of(database: Database, seed: int) -> Library:
    """A space with every kind of row, among rows of another space. Alike for the same seed."""
    rng = np.random.default_rng(seed)
    library = Library.create(database, DIMENSION)
    beside = Library.create(database, DIMENSION, owners=1)
    ids: list[int] = []
    for turn in range(6):
        vectors = random_vectors(int(rng.integers(1, 30)), DIMENSION, seed * 10 + turn)
        owners = [library.owners[n] for n in rng.integers(0, 3, len(vectors))]
        ids += library.add(vectors, owners, [bool(n) for n in rng.integers(0, 2, len(vectors))])
        beside.add(random_vectors(int(rng.integers(0, 20)), DIMENSION, turn))
    some = iter(rng.permutation(ids).tolist())
    for _ in range(3):
        library.share(next(some), library.owners[2], is_public=bool(rng.integers(0, 2)))
        library.remember(next(some), library.owners[0])
        library.publish(next(some), bool(rng.integers(0, 2)))
        library.replace(next(some), random_vectors(1, DIMENSION, seed)[0])
    library.delete([next(some), next(some)])
    library.damage(next(some))
    for cut in (b"", b"\0" * 31, b"\0" * 33):
        _store(database, next(some), cut)
    return library


def _store(database: Database, embedding_id: int, blob: bytes) -> None:
    """Store a vector of another length, with a checksum that fits it."""
    with database.transaction() as session:
        session.execute(
            update(Embedding)
            .where(Embedding.id == embedding_id)
            .values(vector=blob, crc32=zlib.crc32(blob))
        )


@dataclass
class Row:
    """A row as the tables have it."""

    change_seq: int
    dead: bool
    vector: list[float]
    access: list[tuple[int, bool]]


def rows_of(library: Library) -> dict[int, Row]:
    """Read every row of the space by the plainest means."""
    found = {}
    with library.database.reading() as session:
        for row in session.execute(
            select(Embedding).where(Embedding.space_id == library.space_id)
        ).scalars():
            whole = len(row.vector) == 4 * DIMENSION and zlib.crc32(row.vector) == row.crc32
            dead = row.is_deleted or not whole
            shown = select(Image.owner_id, Image.is_public).where(
                Image.content_id == row.content_id, Image.status == "READY"
            )
            sent = select(ClassifiedPicture.owner_id).where(
                ClassifiedPicture.content_id == row.content_id, ClassifiedPicture.sent_bytes
            )
            access = [(owner, public) for owner, public in session.execute(shown)]
            access += [(-owner, False) for (owner,) in session.execute(sent)]
            found[row.id] = Row(
                row.change_seq,
                dead,
                [0.0] * DIMENSION if dead else np.frombuffer(row.vector, "<f4").tolist(),
                [] if dead else sorted(access),
            )
    return found


def as_rows(pages: Sequence[VectorRows]) -> list[tuple[int, Row]]:
    found = []
    for page in pages:
        access: list[list[tuple[int, bool]]] = [[] for _ in page.ids]
        for at, owner, public in zip(
            page.access_rows, page.access_owners, page.access_public, strict=True
        ):
            access[at].append((int(owner), bool(public)))
        for at, id_ in enumerate(page.ids.tolist()):
            row = Row(
                int(page.change_seqs[at]),
                bool(page.dead[at]),
                page.vectors[at].tolist(),
                sorted(access[at]),
            )
            found.append((id_, row))
    return found


def changes(library: Library) -> list[VectorRows]:
    pages = []
    seq = 0
    while (page := library.source.changes_since(seq, PAGE)).ids.size:
        pages.append(page)
        seq = int(page.change_seqs[-1])
    return pages


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def any_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database of each engine, where even short results are packed in several groups."""
    database: Database = request.getfixturevalue(f"{request.param}_database")
    monkeypatch.setattr(packed, "GROUP_BYTES", 400)
    monkeypatch.setattr("mirada.db.vector_pages.FEW_ROWS", 4)
    return database


@pytest.mark.parametrize("seed", range(3))
def test_pages_hold_what_the_tables_hold(any_database: Database, seed: int) -> None:
    library = library_of(any_database, seed)
    expected = rows_of(library)

    found = as_rows(changes(library))
    by_number = sorted(expected.items(), key=lambda item: (item[1].change_seq, item[0]))
    assert found == by_number

    newest = library.source.current_seq()
    pages = list(library.source.live_rows_through(newest - 2, PAGE))
    with library.database.reading() as session:
        deleted = set(session.execute(select(Embedding.id).where(Embedding.is_deleted)).scalars())
    live = {
        id_: row
        for id_, row in expected.items()
        if row.change_seq <= newest - 2 and id_ not in deleted
    }
    assert as_rows(pages) == sorted(live.items())
    assert all(0 < page.ids.size <= PAGE for page in pages)
    assert len(pages) > 2


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_engines_give_the_same_arrays(
    sqlite_database: Database, request: pytest.FixtureRequest, engine: str
) -> None:
    other: Database = request.getfixturevalue(f"{engine}_database")
    ours, theirs = (library_of(database, 7) for database in (sqlite_database, other))
    for read in (changes, lambda library: list(library.source.live_rows_through(10**6, PAGE))):
        for one, two in zip(read(ours), read(theirs), strict=True):
            assert_identical(one, two)


def assert_identical(one: VectorRows, two: VectorRows) -> None:
    for name in VectorRows.__slots__:
        mine: Any = getattr(one, name)
        theirs: Any = getattr(two, name)
        assert mine.dtype == theirs.dtype, name
        assert mine.flags.c_contiguous or mine.ndim == 1
        assert mine.tobytes() == theirs.tobytes(), name


def test_damage_is_told_once_for_each_row(
    any_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library.create(any_database, DIMENSION)
    first, second, third = library.add(random_vectors(3, DIMENSION))
    library.damage(second)
    _store(any_database, third, b"\0")
    with caplog.at_level(logging.ERROR):
        (page,) = library.source.live_rows_through(10**6)
    assert page.ids.tolist() == [first, second, third]
    assert page.dead.tolist() == [False, True, True]
    assert not page.vectors[1:].any()
    assert [int(record.getMessage().split()[1]) for record in caplog.records] == [second, third]


def test_a_row_that_changes_while_it_is_read_is_still_shown(any_database: Database) -> None:
    """Its images are looked for by its id: by its old number it would be nobody's for a moment."""
    library = Library.create(any_database, DIMENSION)
    ids = library.add(random_vectors(12, DIMENSION))
    source = library.source
    pages = source._pages
    whole = type(pages)._access

    def meanwhile(self: Any, session: Any, conditions: Any, read: Any) -> Any:
        if any_database.engine.dialect.name != "sqlite":  # whose readers see one moment
            library.publish(ids[3], True)
        return whole(self, session, conditions, read)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pages), "_access", meanwhile)
        page = source.changes_since(0, 100)
        (live,) = source.live_rows_through(source.current_seq())
    for read in (page, live):
        assert set(read.access_rows.tolist()) == set(range(read.ids.size))
        assert read.ids.size >= 11
