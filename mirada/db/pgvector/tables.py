"""The table of a space's copies, the type of its vectors, and whether this database can have any."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import UserDefinedType

from mirada.db.names import PREFIX
from mirada.kernel.embeddings import Vector

LEAST_VERSION = (0, 8)
"""Before it a search with a filter ends early, with too few results: there is no iterative scan."""
MAX_DIMENSION = 4_000
"""HNSW over half-precision vectors takes so many numbers at most."""
_NAME = re.compile(rf"{PREFIX}pgvector_\d+")


class HalfVector(UserDefinedType[Any]):
    """The column type halfvec(d); values are float32 vectors, rounded to 11 bits each.

    Rounding halves what a scan reads and what the graph takes, and costs no recall: what is found is
    scored anew from the BLOBs.
    """

    cache_ok = True

    def __init__(self, dimension: int) -> None:
        """Keep the dimension."""
        self.dimension = dimension

    def get_col_spec(self, **_: Any) -> str:
        """Return the type as DDL writes it."""
        return f"halfvec({self.dimension})"

    def bind_processor(self, _: Any) -> Callable[[Any], str]:
        """Return what turns a vector into text that PostgreSQL reads."""
        return as_text


def as_text(vector: Vector) -> str:
    """Return a vector as the text of a halfvec."""
    return f"[{','.join(map(str, vector.astype(np.float16).tolist()))}]"


def as_bytes(vectors: npt.NDArray[np.float32]) -> list[bytes]:
    """Return rows in the binary form of halfvec: dimension and zero as int16, then big-endian halves."""
    header = np.array([vectors.shape[1], 0], ">i2").tobytes()
    return [header + row.tobytes() for row in vectors.astype(">f2")]


def table_of_copies(space_id: int, dimension: int) -> Table:
    """Return the table of a space's copies.

    Its columns: `id` of the embedding, `crc32` of the BLOB that was copied, `sample` by which the smallest
    are the background sample, and the vector `v`.
    """
    return Table(
        name_of(space_id),
        MetaData(),
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("crc32", BigInteger, nullable=False),
        Column("sample", BigInteger, nullable=False),
        Column("v", HalfVector(dimension), nullable=False),
    )


def name_of(space_id: int) -> str:
    """Return the name of the table of a space's copies."""
    return f"{PREFIX}pgvector_{space_id}"


def is_table_of_copies(name: str) -> bool:
    """Return whether a table with that name holds copies, and so belongs to no migration."""
    return _NAME.fullmatch(name) is not None


def why_not(connection: Connection) -> str | None:
    """Return why pgvector cannot be used here, as a sentence; None when it can.

    The extension is made where it is missing and may be made.
    """
    if connection.dialect.name != "postgresql":
        return "The database is not PostgreSQL."
    found = _installed(connection)
    if found is None:
        offered = connection.execute(
            text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        ).first()
        if offered is None:
            return "The PostgreSQL server has no pgvector: install its package there."
        try:
            with connection.begin_nested():
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        except DBAPIError as error:
            if error.connection_invalidated:
                raise  # Nobody was refused anything: the server went away.
            return (
                "The database's user may not make the extension: an administrator runs "
                f"CREATE EXTENSION vector in this database. ({_first_line(error)})"
            )
        found = _installed(connection)
    if found is None or found < LEAST_VERSION:
        return "pgvector is older than 0.8: install a newer one, then run ALTER EXTENSION vector UPDATE."
    return None


def version(connection: Connection) -> str:
    """Return the extension's version in this database, such as "0.8.5"."""
    return str(
        connection.execute(
            text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        ).scalar_one()
    )


def _installed(connection: Connection) -> tuple[int, ...] | None:
    found = connection.execute(
        text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    ).scalar_one_or_none()
    return None if found is None else tuple(int(part) for part in re.findall(r"\d+", found)[:2])


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", error)).partition("\n")[0]
