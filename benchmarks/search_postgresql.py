"""Engines of the search benchmark inside a PostgreSQL server: pgvector by hand, and ours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import psycopg
from sqlalchemy.engine import make_url

from benchmarks.search_engines import Engine, Rows, Search
from benchmarks.search_vectors import DIMENSION, Mask
from mirada.db.migrate import upgrade_to_head
from mirada.db.pgvector.tables import as_text
from mirada.db.session import Database, make_engine
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.similarity import QueryForm
from testing.servers.postgresql import postgresql_server
from testing.vector_library import Library, pgvector_index

M, EF_CONSTRUCTION, EF_SEARCH = 16, 64, 120


@contextmanager
def by_hand(vectors: Matrix, subsets: Mapping[str, Mask]) -> Iterator[Engine]:
    """Yield pgvector by hand: a table of halfvec, its usual graph, and SQL over a socket."""
    with ExitStack() as stack:
        server = stack.enter_context(postgresql_server(with_pgvector=True))
        where = f"host={server.folder} user=postgres dbname=postgres"
        connection = stack.enter_context(psycopg.connect(where, autocommit=True))
        run = connection.execute
        run("CREATE EXTENSION vector")
        columns = "".join(f", s{number} boolean" for number in range(len(subsets)))
        run(f"CREATE TABLE v (id bigint PRIMARY KEY{columns}, v halfvec({DIMENSION}))".encode())
        began = time.perf_counter()
        masks = np.array(list(subsets.values()), bool).reshape(len(subsets), len(vectors))
        with connection.cursor() as cursor, cursor.copy("COPY v FROM STDIN") as copy:
            for row, vector in enumerate(vectors):
                copy.write_row([row, *masks[:, row].tolist(), as_text(vector)])
        run("SET maintenance_work_mem = '1GB'")
        run(
            f"CREATE INDEX ON v USING hnsw (v halfvec_ip_ops) WITH (m = {M}, "
            f"ef_construction = {EF_CONSTRUCTION})".encode()
        )
        run("VACUUM ANALYZE v")
        spent = time.perf_counter() - began
        run(f"SET hnsw.ef_search = {EF_SEARCH}".encode())
        run("SET hnsw.iterative_scan = relaxed_order")
        run("SET jit = off")

        def search_where(condition: str) -> Search:
            statement = f"SELECT id FROM v {condition} ORDER BY v <#> %s::halfvec LIMIT %s".encode()

            def search(query: Vector, k: int, _: QueryForm) -> Rows:
                # A copy's rounding may swap the last ones, so a few more are scored from the vectors.
                found = run(statement, (as_text(query), k + 16)).fetchall()
                rows = np.array([row for (row,) in found], np.int64)
                return rows[np.argsort(-(vectors[rows] @ query), kind="stable")[:k]]

            return search

        [(size,)] = run("SELECT pg_total_relation_size('v')").fetchall()
        yield Engine(
            f"pgvector m {M}, ef {EF_SEARCH}",
            search_where(""),
            {name: search_where(f"WHERE s{n}") for n, name in enumerate(subsets)},
            spent,
            size / len(vectors),
            {"build": "by the clock, in the server"},
        )


@contextmanager
def ours(vectors: Matrix, subsets: Mapping[str, Mask], texts: Matrix) -> Iterator[Engine]:
    """Yield our pgvector index over a library in PostgreSQL: images, owners, visibility and all."""
    with postgresql_server(with_pgvector=True) as server, server.new_database() as name:
        database = Database(make_engine(make_url(server.url(name)), 4))
        upgrade_to_head(database.engine)
        library = Library.create(database, DIMENSION, owners=1 + len(subsets))
        everybody, *owners = library.owners
        ids: list[int] = []
        for start in range(0, len(vectors), 5_000):
            part = vectors[start : start + 5_000]
            ids += library.add(part, [everybody] * len(part))
        for owner, mask in zip(owners, subsets.values(), strict=True):
            library.share_many([ids[row] for row in np.flatnonzero(mask)], owner)
        index = pgvector_index(library, extra_queries=lambda: texts)
        began = time.perf_counter()
        index.rebuild(1, lambda done, total: None)
        spent = time.perf_counter() - began
        status, known = index.status(), np.array(ids, np.int64)

        def search_as(scope: Scope) -> Search:
            def search(query: Vector, k: int, form: QueryForm) -> Rows:
                [answer] = index.search(query[None], k, scope, form=form)
                return np.searchsorted(known, [match.id for match in answer.matches])

            return search

        yield Engine(
            "ours in PostgreSQL",
            search_as(Scope(Audience(None))),
            {
                name: search_as(Scope(Audience(None, owner_ids=frozenset({owner}))))
                for name, owner in zip(subsets, owners, strict=True)
            },
            spent,
            float(status.parameters.get("index_bytes", 0)) / len(vectors) + 1_200,
            {"parameters": dict(status.parameters), "build": "by the clock, in the server"},
        )
        database.close()
