"""Measures searches with a filter on MariaDB, through the flow of a search: first, and once remembered.

`python -m benchmarks.filters --rows 100000` fills a database and asks with filters that 50, 10, 1 and 0.1 %
of the images pass: by owner and by likes at random, by time in one piece, by a score of the pictures. Beside
times stand the recall against an exact comparison, and whether k results came.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import text
from sqlalchemy.engine import make_url

from benchmarks.serving_library import Filled, fill
from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.db import changes
from mirada.db.migrate import upgrade_to_head
from mirada.db.names import PREFIX
from mirada.db.session import Database, make_engine
from mirada.db.spaces import pin_space
from mirada.db.vector_rows import DatabaseVectors
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, l2_normalise
from mirada.kernel.filters import ImageFilter, Judged
from mirada.search.by_vector import find
from mirada.search.queries import Query, QueryKind
from testing.servers.mariadb import mariadb_server

DIMENSION, K = 512, 10
SPACE = EmbeddingSpace(SpaceKind.IMAGE, "benchmark", "v1", "none", DIMENSION)
PER_MILLE = (500, 100, 10, 1)
"""Of the images that pass."""
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = (
    "filter          passes   of the database   first search   after a change   remembered p50 / p99"
    "   recall   k of k"
)


@dataclass
class Place:
    """A filled database with an index of it."""

    database: Database
    source: DatabaseVectors
    index: FaissIndex
    filled: Filled
    space_id: int

    def forget(self) -> None:
        """Forget what passes any filter."""
        self.source.__dict__.pop("_passing", None)

    def change(self) -> None:
        """Change something in the library that concerns no filter."""
        with self.database.transaction() as session:
            changes.touch(session, [1])

    def passing(self, scope: Scope) -> np.ndarray:
        """Return (n,) the places among the vectors of those that pass."""
        return self.source.passing(scope) - 1


@contextmanager
def place(rows: int, *, is_built: bool) -> Iterator[Place]:
    """Yield a database of so many images; with `is_built` a snapshot was published."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mariadb_server("own") as mariadb,
        mariadb.new_database() as name,
    ):
        database = Database(make_engine(make_url(mariadb.url(name)), 4))
        upgrade_to_head(database.engine)
        with database.transaction() as session:
            space_id = pin_space(session, SPACE).id
        filled = fill(mariadb.url(name), rows)
        _spread(database)
        source = DatabaseVectors(database, space_id)
        index = FaissIndex(source, Path(folder), BuildSettings(recall_target=0.98))
        if is_built:
            index.rebuild(1, lambda done, total: None)
        index.refresh()
        yield Place(database, source, index, filled, space_id)
        index.close()
        database.close()


def _spread(database: Database) -> None:
    """Give images owners, times, likes and scores, so that the wanted shares pass."""
    images, contents = f"{PREFIX}images", f"{PREFIX}contents"
    chance = "CRC32(CONCAT('chance', {}.id)) % 1000"
    with database.engine.begin() as connection:
        for number in range(len(PER_MILLE)):
            connection.execute(
                text(
                    f"INSERT INTO {PREFIX}users (username, role, created_at) VALUES (:n, 'user', NOW())"
                ),
                {"n": f"share {number}"},
            )
        ids = (
            connection.execute(text(f"SELECT id FROM {PREFIX}users ORDER BY id"))
            .scalars()
            .all()[-4:]
        )
        low = 0
        for user_id, share in zip(ids, PER_MILLE, strict=True):
            drawn = chance.format(images)
            connection.execute(
                text(
                    f"UPDATE {images} SET owner_id = :u WHERE {drawn} >= :low AND {drawn} < :high"
                ),
                {"u": user_id, "low": low, "high": low + share},
            )
            low += share
            connection.execute(
                text(
                    f"INSERT INTO {PREFIX}likes (image_id, user_id, created_at) SELECT id, :u, NOW() "
                    f"FROM {images} WHERE {drawn} < :share"
                ),
                {"u": user_id, "share": share},
            )
        connection.execute(
            text(f"UPDATE {images} SET created_at = DATE_ADD(:begin, INTERVAL id SECOND)"),
            {"begin": BEGIN.replace(tzinfo=None)},
        )
        connection.execute(
            text(
                f"UPDATE {contents} SET judged_at = '2100-01-01', "
                f"nsfw_score = ({chance.format(contents)} + 0.5) / 1000"
            )
        )
        connection.execute(text(f"ANALYZE TABLE {images}, {contents}, {PREFIX}likes"))


def scopes(rows: int) -> Iterator[tuple[str, Scope]]:
    """Yield what is asked, by name."""
    for number, share in enumerate(PER_MILLE):
        user_id = number + 2
        name = f"{share / 10:g} %"
        anybody = Audience(None)
        yield f"owner {name}", Scope(anybody, ImageFilter(owner_ids=frozenset([user_id])))
        after = BEGIN + timedelta(seconds=rows - rows * share // 1000 + 1)
        yield f"time {name}", Scope(anybody, ImageFilter(created_after=after))
        yield f"liked {name}", Scope(Audience(user_id), ImageFilter(is_liked=True))
        judged = Judged(True, 1 - share / 1000)
        yield f"score {name}", Scope(anybody, ImageFilter(nsfw=judged))


def milliseconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def near(vectors: Matrix, count: int) -> Matrix:
    """Return queries near random rows: cosine about 0.96 with them."""
    rng = np.random.default_rng(2)
    rows = vectors[rng.choice(len(vectors), count)]
    return l2_normalise(rows + rng.standard_normal(rows.shape) * 0.3 / np.sqrt(DIMENSION))


def measure(here: Place, scope: Scope, queries: Matrix) -> Sequence[float]:
    """Return the numbers of one line of the table."""

    def ask(vector: np.ndarray) -> list[int]:
        query = Query(vector, here.space_id, SPACE, QueryKind.VECTOR)
        with here.database.reading() as session:
            found = find(session, here.index, query, scope, k=K)
        return [result.image.id - here.filled.first_id for result in found.results]

    here.forget()
    database_ms = milliseconds(lambda: here.passing(scope))
    here.forget()
    first_ms = milliseconds(lambda: ask(queries[0]))
    here.change()
    here.index.refresh()
    changed_ms = milliseconds(lambda: ask(queries[0]))
    rows = here.passing(scope)
    truth = rows[np.argsort(-(queries @ here.filled.vectors[rows].T), axis=1)[:, :K]]
    times, hits, full = [], 0, 0
    for query, best in zip(queries, truth, strict=True):
        started = time.perf_counter()
        found = ask(query)
        times.append((time.perf_counter() - started) * 1e3)
        hits += len(set(found) & set(best.tolist()))
        full += len(found) == min(K, rows.size)
    p50, p99 = np.percentile(times, [50, 99])
    recall, share = hits / max(1, truth.size), full / len(queries)
    return rows.size, database_ms, first_ms, changed_ms, p50, p99, recall, share


def main() -> None:
    """Fill, ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--build", action="store_true", help="publish a snapshot first")
    arguments = parser.parse_args()
    with place(arguments.rows, is_built=arguments.build) as here:
        queries = near(here.filled.vectors, arguments.queries)
        whole = measure(here, Scope(Audience(None)), queries)
        print(f"{arguments.rows:,} images, load average {os.getloadavg()[0]:.1f}; milliseconds")
        print(f"without a filter: p50 {whole[4]:.1f}, p99 {whole[5]:.1f}")
        print(HEAD)
        for name, scope in scopes(arguments.rows):
            size, database, first, changed, p50, p99, recall, full = measure(here, scope, queries)
            print(
                f"{name:<14} {int(size):>7,}   {database:15.1f}   {first:12.1f}   {changed:14.1f}   "
                f"{p50:14.1f} / {p99:.1f}   {recall:.3f}   {full:.0%}"
            )


if __name__ == "__main__":
    main()
