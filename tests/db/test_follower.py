"""Followers of the change counter end up with exactly the database's rows, whatever writers do."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update
from sqlalchemy.engine import make_url

from mirada.adapters.vector_index.faiss.following import follower
from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.db import changes
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Embedding, Image
from mirada.db.session import Database, make_engine
from mirada.db.vector_rows import DatabaseVectors
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import Matrix, to_blob
from mirada.kernel.errors import Unavailable
from mirada.ports import IndexStatus
from testing.exact_index import ExactIndex
from testing.patience import PATIENCE_S, Stopwatch
from testing.scopes import seen_by
from testing.vector_library import Library, no_progress, random_vectors

WRITERS = 5
SECONDS = 5.0
DIMENSION = 8


class _RolledBack(Exception):
    pass


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ]
)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated, empty database on each engine that the counter's promise was made for."""
    if request.param != "postgresql":
        yield request.getfixturevalue(f"{request.param}_database")
        return
    database = Database(make_engine(make_url(request.getfixturevalue("postgresql_url")), 16))
    upgrade_to_head(database.engine)
    yield database
    database.close()


@pytest.fixture
def library(database: Database) -> Library:
    return Library.create(database, DIMENSION, owners=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "faiss_indexes"


def _write_at_random(
    library: Library,
    seed: int,
    is_over: threading.Event,
    outcomes: dict[str, int],
    troubles: list[str],
) -> None:
    """Insert, change, publish, delete and roll back, holding transactions open for random times."""
    chance = random.Random(seed)
    own: list[int] = []
    number = 0
    while not is_over.is_set():
        number += 1
        action = chance.choice(["insert", "insert", "replace", "publish", "delete", "roll back"])
        try:
            if action == "insert" or not own:
                own += _insert(library, chance, seed * 100_000 + number)
            elif action == "delete":
                library.delete([own.pop(chance.randrange(len(own)))])
            else:
                _change(library, chance, action, chance.choice(own), seed * 100_000 + number)
            outcomes[action] = outcomes.get(action, 0) + 1
        except _RolledBack:
            outcomes["roll back"] = outcomes.get("roll back", 0) + 1
        except Unavailable as error:
            # A busy database asks to try again; the transaction is rolled back, which is the point.
            troubles.append(str(error))
        time.sleep(chance.random() * 0.01)  # writers of uneven pace


def _insert(library: Library, chance: random.Random, seed: int) -> list[int]:
    count = chance.randint(1, 6)
    return library.add(
        random_vectors(count, DIMENSION, seed),
        [chance.choice(library.owners) for _ in range(count)],
        [chance.random() < 0.5 for _ in range(count)],
    )


def _change(
    library: Library, chance: random.Random, action: str, embedding_id: int, seed: int
) -> None:
    with library.database.transaction() as session:
        content_id = session.execute(
            select(Embedding.content_id).where(Embedding.id == embedding_id)
        ).scalar_one()
        if action == "publish":
            session.execute(
                update(Image)
                .where(Image.content_id == content_id)
                .values(is_public=chance.random() < 0.5)
            )
        else:
            blob, crc32 = to_blob(random_vectors(1, DIMENSION, seed)[0])
            session.execute(
                update(Embedding)
                .where(Embedding.id == embedding_id)
                .values(vector=blob, crc32=crc32)
            )
        changes.touch(session, [content_id])
        # A transaction that began early may commit late: what polling by id or time loses.
        time.sleep(chance.random() ** 4 * 0.1)
        if action == "roll back":
            raise _RolledBack


def _everything(index: FaissIndex | ExactIndex, permitted: Scope) -> list[tuple[int, float]]:
    query: Matrix = random_vectors(1, DIMENSION, seed=123)
    [answer] = index.search(query, 10**6, permitted)
    return [(match.id, match.similarity) for match in answer.matches]


@pytest.fixture
def followed(library: Library, folder: Path) -> Iterator[list[FaissIndex]]:
    """Two processes' worth of followers over one folder of snapshots."""
    indexes = [
        FaissIndex(library.source, folder, BuildSettings(recall_target=0.98, threads=1))
        for _ in range(2)
    ]
    followers = [follower(index, poll_s=0.02) for index in indexes]
    for each in followers:
        each.start()
    yield indexes
    for each in followers:
        each.stop()


def test_followers_hold_exactly_the_database_after_writers_did_their_worst(
    library: Library, folder: Path, followed: list[FaissIndex]
):
    outcomes: dict[str, int] = {}
    troubles: list[str] = []
    is_over, ends_at_s = threading.Event(), time.monotonic() + SECONDS
    writers = [
        threading.Thread(target=_write_at_random, args=(library, seed, is_over, outcomes, troubles))
        for seed in range(1, WRITERS + 1)
    ]
    for writer in writers:
        writer.start()
    # Snapshots are published, and tombstones purged, in the middle of it.
    builder = FaissIndex(library.source, folder, BuildSettings(recall_target=0.98, threads=1))
    rebuilds = 0
    while time.monotonic() < ends_at_s or rebuilds < 2:
        time.sleep(0.6)  # so that rows arrive before, during and after a rebuild
        rebuilds += builder.rebuild(rebuilds + 1, no_progress) is not None
    is_over.set()
    for writer in writers:
        writer.join()
    seq = library.source.current_seq()
    truth = ExactIndex(library.source)
    late = FaissIndex(library.source, folder, BuildSettings(recall_target=0.98))
    for index in (*followed, late):
        index.wait_for(seq, timeout_s=PATIENCE_S)
        for permitted in (seen_by(None), *(seen_by(owner) for owner in library.owners)):
            assert _everything(index, permitted) == _everything(truth, permitted)
    assert rebuilds >= 2
    assert {"insert", "replace", "publish", "delete", "roll back"} <= set(outcomes), outcomes
    assert len(troubles) <= sum(outcomes.values()) // 10, troubles[:3]


def test_a_commit_is_searchable_within_a_second_without_asking(library: Library, folder: Path):
    index = FaissIndex(library.source, folder, BuildSettings(recall_target=0.98))
    following = follower(index)
    following.start()
    try:
        index.wait_for(library.source.current_seq())
        delays = []
        for seed in range(5):
            vectors = random_vectors(1, DIMENSION, seed)
            ids = library.add(vectors)
            watch = Stopwatch()
            while index.search(vectors, 1, seen_by(None))[0].matches[:1] == [] or (
                index.search(vectors, 1, seen_by(None))[0].matches[0].id != ids[0]
            ):
                assert watch.seconds < 1.0
                time.sleep(0.01)  # freshness is what is measured, so it is asked often
            delays.append(watch.seconds)
        assert max(delays) < 1.0
    finally:
        following.stop()


def test_changes_are_paged_without_splitting_a_number(library: Library):
    source = library.source
    for count in (3, 5, 2):
        library.add(random_vectors(count, DIMENSION))
    seen: list[int] = []
    since, pages = 0, []
    while (page := source.changes_since(since, 2)).ids.size:
        since = int(page.change_seqs[-1])
        pages.append(page.ids.size)
        seen += page.ids.tolist()
    assert pages == [3, 5, 2]
    assert len(set(seen)) == 10
    assert sum(len(p.ids) for p in source.live_rows_through(since, page_rows=4)) == 10
    assert source.count_live() == source.count_changed_since(0) == 10
    assert source.count_changed_since(0, through_id=seen[3]) == 4


class _Interrupted(DatabaseVectors):
    """A source whose n-th call fails, once."""

    def __init__(self, library: Library) -> None:
        super().__init__(library.database, library.space_id)
        self.fails_in = 0

    def __getattribute__(self, name: str) -> Any:
        if name in {"current_seq", "db_epoch", "tombstone_floor", "changes_since", "snapshots"}:
            self.fails_in -= 1
            if self.fails_in == 0:
                raise Unavailable("interrupted")
        return super().__getattribute__(name)


def test_an_outage_in_the_middle_of_a_refresh_loses_nothing(library: Library, folder: Path):
    source = _Interrupted(library)
    index = FaissIndex(source, folder, BuildSettings(recall_target=0.98))
    truth = ExactIndex(library.source)
    library.add(random_vectors(2, DIMENSION))
    index.rebuild(1, no_progress)
    interruptions = 0
    for fails_in in range(1, 11):
        ids = library.add(random_vectors(2, DIMENSION, fails_in))
        library.delete(ids[:1])
        source.fails_in = fails_in
        try:
            index.refresh()
        except Unavailable:
            interruptions += 1
        source.fails_in = 0
        index.refresh()
        truth.refresh()
        assert _everything(index, seen_by(None)) == _everything(truth, seen_by(None))
        if fails_in % 3 == 0:
            index.close()
    assert interruptions >= 4


class _FlakyIndex:
    """An index whose database goes away and comes back."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_down = True

    def refresh(self) -> int:
        self.calls += 1
        if self.is_down:
            raise Unavailable("down") if self.calls % 2 else RuntimeError("worse")
        return self.calls

    def status(self) -> IndexStatus:
        raise NotImplementedError


def test_a_follower_survives_an_outage_and_says_so_once(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "mirada.background")
    index = _FlakyIndex()
    following = follower(index, poll_s=0.01)  # type: ignore[arg-type]
    following.start()
    watch = Stopwatch()
    while index.calls < 2:
        assert not watch.is_over(PATIENCE_S)
        time.sleep(0.02)  # another thread does it; asking is the only way
    index.is_down = False
    while "No longer: The index cannot follow the database" not in caplog.text:
        assert not watch.is_over(PATIENCE_S)
        time.sleep(0.02)  # another thread does it; asking is the only way
    watch = Stopwatch()
    following.stop()
    following.stop()
    assert watch.seconds < 0.5
    assert len([r for r in caplog.records if r.levelname in ("WARNING", "ERROR")]) == 1


def test_every_read_sees_what_was_committed_a_moment_ago(library: Library):
    source = library.source
    for seed in range(20):
        library.add(random_vectors(1, DIMENSION, seed))
        seq = source.current_seq()
        assert int(source.changes_since(seq - 1, 10).change_seqs[-1]) == seq
        assert np.isin(seq, source.changes_since(0, 1000).change_seqs)
