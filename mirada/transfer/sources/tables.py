"""Tables of other systems' databases: PostgreSQL with pgvector or JSON columns, MySQL and MariaDB, SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from mirada.kernel.errors import InvalidInput
from mirada.kernel.external_ids import CAPTIONED_POSTS, CREATIVE_MEMORY, IMAGE_SEARCH
from mirada.transfer.records import NAMES, Record, Refused, record_of

ROWS = 64
"""Rows that are fetched at once: 64 vectors of 768 numbers as text are half a megabyte."""
TABLES: Mapping[str, str] = {
    CREATIVE_MEMORY: "images",
    IMAGE_SEARCH: "images",
    CAPTIONED_POSTS: "image_posts",
}
"""By the kind of the system, where no table is named."""


@contextmanager
def reading(url: URL) -> Iterator[Connection]:
    """Connect to a database that is only read.

    Raises:
        InvalidInput: it cannot be reached, or a statement cannot be run.
    """
    try:
        engine = create_engine(url, poolclass=NullPool)
        options: dict[str, Any] = {"stream_results": True, "max_row_buffer": ROWS}
        if engine.dialect.name == "postgresql":
            options["postgresql_readonly"] = True
        with engine.connect() as connection:
            yield connection.execution_options(**options)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise InvalidInput(f"The database of the import says: {reason}") from error


def rows_of(connection: Connection, query: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a statement by the names of its columns, a few at a time."""
    # No parameters: a statement of the operator's own may hold % and :.
    with closing(connection.exec_driver_sql(query)) as result:
        for rows in iter(lambda: result.fetchmany(ROWS), []):
            yield from (dict(row._mapping) for row in rows)


def columns_of(connection: Connection, table: str) -> list[str]:
    """Return the names of a table's columns."""
    quoted = quoted_table(connection, table)
    # Not streamed: a cursor of the server's would stay open where there is no such table.
    found = connection.exec_driver_sql(
        f"SELECT * FROM {quoted} WHERE 1 = 0",  # noqa: S608 - quoted
        execution_options={"stream_results": False},
    )
    return list(found.keys())


def quoted_table(connection: Connection, table: str) -> str:
    """Return a table's name, or schema.name, quoted for SQL."""
    return ".".join(map(connection.dialect.identifier_preparer.quote_identifier, table.split(".")))


def quoted(connection: Connection, names: Sequence[str]) -> str:
    """Return the names of columns, quoted and separated by commas."""
    return ", ".join(map(connection.dialect.identifier_preparer.quote_identifier, names))


def rows_in_table(connection: Connection, table: str) -> int:
    """Return how many rows a table has."""
    query = f"SELECT count(*) FROM {quoted_table(connection, table)}"  # noqa: S608 - quoted
    options = {"stream_results": False}
    return int(connection.exec_driver_sql(query, execution_options=options).scalar_one())


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table, or a statement that gives rows, with one picture a row.

    Attributes:
        url: of the database, as SQLAlchemy takes it.
        name: of the source.
        table: its name; None: `query` is asked.
        query: a SELECT of the operator's, which orders its rows by their ids.
        columns: our name of a field -> the table's; the rest is found by NAMES.
    """

    url: URL
    name: str
    table: str | None = None
    query: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    keeps_names: bool = True

    def count(self) -> int | None:
        """Return how many rows the table has; None for a statement of the operator's."""
        if self.query is not None or self.table is None:
            return None
        with reading(self.url) as connection:
            return rows_in_table(connection, self.table)

    def records(self) -> Iterator[Record | Refused]:
        """Yield a record for each row, by ascending id."""
        with reading(self.url) as connection:
            query = self.query or self._query(connection)
            for number, row in enumerate(rows_of(connection, query), 1):
                yield record_of(number, row, self.columns)

    def _query(self, connection: Connection) -> str:
        assert self.table is not None
        there = columns_of(connection, self.table)
        absent = sorted(set(self.columns.values()) - set(there))
        if absent:
            raise InvalidInput(
                f"The table {self.table} has no column {', '.join(absent)}. Its columns are "
                f"{', '.join(there)}."
            )
        chosen = {
            ours: next((name for name in self._names(ours) if name in there), None)
            for ours in NAMES
        }
        id_column, picture = chosen["id"], chosen["picture"]
        if id_column is None or picture is None:
            lacking = "id" if id_column is None else "picture"
            raise InvalidInput(
                f"No column of {self.table} is its {lacking}. Name one by --column {lacking}=NAME. Its "
                f"columns are {', '.join(there)}."
            )
        wanted = [name for name in dict.fromkeys(chosen.values()) if name is not None]
        return (
            f"SELECT {quoted(connection, wanted)} "  # noqa: S608 - names are quoted
            f"FROM {quoted_table(connection, self.table)} "
            f"ORDER BY {quoted(connection, [id_column])}"
        )

    def _names(self, ours: str) -> tuple[str, ...]:
        return (self.columns[ours],) if ours in self.columns else NAMES[ours]
