"""The HNSW index over a space's copies: built beside the running service, described in the space's row."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from sqlalchemy import Connection, text, update
from sqlalchemy.exc import DBAPIError

from mirada.db import waits
from mirada.db.pgvector.tables import name_of, version
from mirada.db.pgvector_models import PgvectorSpace
from mirada.db.session import Database, driver_errors_told
from mirada.kernel.errors import LeaseLost
from mirada.ports import RebuildProgress

REPORT_S = 1.0
LEAST_MEMORY_MB, MOST_MEMORY_MB = 64, 2_048
"""Bounds of what PostgreSQL may take for a build. A graph that does not fit is built several times slower."""

log = logging.getLogger(__name__)


class Graph:
    """A space's HNSW index and what is known of it."""

    def __init__(self, database: Database, space_id: int, dimension: int) -> None:
        """Keep the database; nothing is asked yet."""
        self._database = database
        self._space_id = space_id
        self._dimension = dimension
        self._table = name_of(space_id)

    def build(self, rows: int, m: int, ef_construction: int, progress: RebuildProgress) -> None:
        """Build the index anew and remove others; searches and changes go on meanwhile.

        Args:
            rows: about how many copies there are.
            m: links of a row, 2 to 100.
            ef_construction: beam while building, at least 2 m.
            progress: called about once a second; what it raises ends the build.

        Raises:
            Unavailable: the database cannot be reached.
        """
        name = f"{self._table}_hnsw_{m}_{ef_construction}"
        settings = [f"SET maintenance_work_mem = '{self._memory_mb(rows, m)}MB'"]
        if self._is_valid(name):
            statement = f"REINDEX INDEX CONCURRENTLY {name}"
        else:
            self._drop([name])
            statement = (
                f"CREATE INDEX CONCURRENTLY {name} ON {self._table} USING hnsw (v halfvec_ip_ops) "
                f"WITH (m = {m}, ef_construction = {ef_construction})"
            )
        try:
            self._run(statement, settings, rows, progress)
        except DBAPIError as error:
            # A container's shared memory is often too small for several workers.
            log.warning("The graph is built again by one process: %s", error.orig)
            self._drop_broken()
            if not statement.startswith("REINDEX"):
                self._drop([name])
            alone = [*settings, "SET max_parallel_maintenance_workers = 0"]
            with driver_errors_told(self._database.engine):
                self._run(statement, alone, rows, progress)
        except LeaseLost:
            self._drop_broken()
            raise
        self._drop([other for other in self._names() if other != name])

    def describe(self, described: Mapping[str, Any]) -> None:
        """Keep what is known of the index: its parameters and what was measured."""
        self._describe(dict(described))

    def remove(self) -> None:
        """Remove the index; searches compare every vector."""
        self._describe(None)
        self._drop(self._names())

    def version(self) -> str:
        """Return the version of pgvector."""
        with self._database.reading() as session:
            return version(session.connection())

    def byte_size(self) -> int:
        """Return the bytes of the index; 0 where there is none."""
        with self._database.reading() as session:
            return int(
                session.execute(
                    text(
                        "SELECT coalesce(sum(pg_relation_size(indexrelid)), 0) "
                        "FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
                        "WHERE indrelid = to_regclass(:table) AND relname LIKE :like"
                    ),
                    {"table": self._table, "like": f"{self._table}_hnsw%"},
                ).scalar_one()
            )

    def _describe(self, described: dict[str, Any] | None) -> None:
        with self._database.transaction() as session:
            session.execute(
                update(PgvectorSpace)
                .where(PgvectorSpace.space_id == self._space_id)
                .values(graph=described)
            )

    def _memory_mb(self, rows: int, m: int) -> int:
        # A row of the graph: the vector, 2 m links at the bottom and about as much again above.
        needed = rows * (2 * self._dimension + 24 * m + 200) * 1.2 / 1e6
        return int(min(max(needed, LEAST_MEMORY_MB), MOST_MEMORY_MB))

    def _run(
        self, statement: str, settings: list[str], rows: int, progress: RebuildProgress
    ) -> None:
        """Run one long statement in a thread of its own, and report from this one."""
        started = threading.Event()
        backend: list[int] = []

        def build() -> None:
            with waits.waiting_as(waits.MIGRATIONS), self._unbound() as connection:
                backend.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
                started.set()
                for setting in settings:
                    connection.execute(text(setting))
                try:
                    connection.execute(text(statement))
                finally:
                    # The pool would give these to the next.
                    connection.invalidate()

        with ThreadPoolExecutor(1, "pgvector-build") as pool:
            building = pool.submit(build)
            try:
                while not building.done():
                    wait([building], REPORT_S)
                    progress(min(self._rows_done(), rows), rows)
            except BaseException:
                if started.wait(REPORT_S):
                    self._cancel(backend[0])
                wait([building])
                raise
            building.result()

    def _rows_done(self) -> int:
        with self._database.reading() as session:
            done = session.execute(
                text(
                    "SELECT max(tuples_done) FROM pg_stat_progress_create_index "
                    "WHERE relid = to_regclass(:table)"
                ),
                {"table": self._table},
            ).scalar_one()
        return int(done or 0)

    def _cancel(self, backend: int) -> None:
        with self._database.reading() as session:
            session.execute(text("SELECT pg_cancel_backend(:pid)"), {"pid": backend})

    def _unbound(self) -> Connection:
        """Return a connection outside transactions, as CONCURRENTLY needs."""
        return self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def _names(self, *, only_broken: bool = False) -> list[str]:
        with self._database.reading() as session:
            return list(
                session.execute(
                    text(
                        "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
                        "WHERE indrelid = to_regclass(:table) AND relname LIKE :like "
                        "AND NOT (indisvalid AND :only_broken)"
                    ),
                    {
                        "table": self._table,
                        "like": f"{self._table}_hnsw%",
                        "only_broken": only_broken,
                    },
                ).scalars()
            )

    def _is_valid(self, name: str) -> bool:
        return name in set(self._names()) - set(self._names(only_broken=True))

    def _drop_broken(self) -> None:
        # What a build that did not end leaves behind is filled by every change and used by no search.
        self._drop(self._names(only_broken=True))

    def _drop(self, names: list[str]) -> None:
        if not names:
            return
        with (
            waits.waiting_as(waits.MIGRATIONS),
            driver_errors_told(self._database.engine),
            self._unbound() as connection,
        ):
            for name in names:
                connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
