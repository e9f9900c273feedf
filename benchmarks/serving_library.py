"""A large library written by SQL alone, so that every version of Mirada gets the same one, quickly."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pymysql
from sqlalchemy.engine import make_url

from mirada.kernel.embeddings import Matrix
from testing.vector_library import clustered_vectors
from webapp.schemas.images import GENERATION_EXAMPLE

CLUSTERS = 300
ROWS_AT_ONCE = 1_000
KEY = "mrd_benchmrk_" + "b" * 43
NUMBERS = ("int", "bigint", "tinyint", "smallint", "double", "float", "decimal")


@dataclass(frozen=True)
class Filled:
    """A library: its vectors, the id of its first image (the others follow), and its caller's key."""

    vectors: Matrix
    first_id: int
    key: str = KEY


class Tables:
    """The tables of a database, whatever prefix their names have and whatever else they hold."""

    def __init__(self, connection: pymysql.Connection[Any]) -> None:
        """Read the columns of every table."""
        self._connection = connection
        self._columns: dict[str, dict[str, tuple[str, bool]]] = {}
        for table, column, kind, is_needed in self.rows(
            "SELECT table_name, column_name, data_type, is_nullable = 'NO' AND column_default IS NULL "
            "AND extra NOT LIKE '%auto_increment%' FROM information_schema.columns "
            "WHERE table_schema = DATABASE()"
        ):
            self._columns.setdefault(table, {})[column] = (kind, bool(is_needed))

    def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Return what a statement gives."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def name(self, plain: str) -> str:
        """Return the full name of a table."""
        return min((name for name in self._columns if name.endswith(plain)), key=len)

    def insert(self, plain: str, rows: Iterator[Mapping[str, object]]) -> None:
        """Insert rows that have the same columns; other columns that must have a value get an empty one."""
        columns = self._columns[self.name(plain)]
        some: list[str] = []
        first: Mapping[str, object] | None = None
        rest = ""
        for row in rows:
            if first is None:
                first = row
                needed = [name for name in columns if columns[name][1] and name not in row]
                rest = "".join(f", {_empty(columns[name][0])}" for name in needed)
                names = ", ".join(f"`{name}`" for name in [*row, *needed])
                head = f"INSERT INTO `{self.name(plain)}` ({names}) VALUES "
            some.append(f"({', '.join(map(_literal, row.values()))}{rest})")
            if len(some) == ROWS_AT_ONCE:
                self._run(head + ",".join(some))
                some = []
        if some:
            self._run(head + ",".join(some))

    def _run(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)


def fill(url: str, rows: int) -> Filled:
    """Write a library of public images with clustered vectors, owned by an administrator with a key.

    Args:
        url: of a migrated MariaDB database whose image space is pinned.
        rows: images.
    """
    address = make_url(url)
    connection = pymysql.connect(
        host=address.host or "",
        port=address.port or 0,
        user=address.username,
        password=address.password or "",
        database=address.database,
        charset="utf8mb4",
        init_command="SET time_zone = '+00:00'",
    )
    with closing(connection):
        tables = Tables(connection)
        ((space_id, dimension),) = tables.rows(
            f"SELECT id, dimension FROM `{tables.name('embedding_spaces')}` WHERE kind = 'image'"
        )
        vectors, _ = clustered_vectors(rows, dimension, CLUSTERS)
        tables.insert("users", iter([{"username": "benchmark", "role": "administrator"}]))
        ((owner_id,),) = tables.rows(
            f"SELECT id FROM `{tables.name('users')}` WHERE username = 'benchmark'"
        )
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        key = {"user_id": owner_id, "prefix": KEY[:12], "sha256": digest}
        tables.insert("api_keys", iter([key]))
        ((last_content, last_image),) = tables.rows(
            f"SELECT COALESCE((SELECT MAX(id) FROM `{tables.name('contents')}`), 0), "
            f"COALESCE((SELECT MAX(id) FROM `{tables.name('images')}`), 0)"
        )
        tables.insert("contents", _contents(rows, last_content))
        tables.insert("images", _images(rows, last_content, owner_id))
        tables.insert("embeddings", _embeddings(vectors, last_content, space_id))
        tables.rows(f"UPDATE `{tables.name('change_counter')}` SET v = 1 WHERE id = 1")
        connection.commit()
        tables.rows(
            f"ANALYZE TABLE `{tables.name('contents')}`, `{tables.name('images')}`, "
            f"`{tables.name('embeddings')}`"
        )
    return Filled(vectors, last_image + 1)


def _contents(rows: int, last_id: int) -> Iterator[Mapping[str, object]]:
    for number in range(1, rows + 1):
        sha = hashlib.sha256(f"benchmark {number}".encode()).hexdigest()
        yield {
            "id": last_id + number,
            "sha256": sha,
            "storage_key": sha,
            "byte_size": 48_210,
            "format": "PNG",
            "width": 512,
            "height": 512,
            "is_animated": False,
        }


def _images(rows: int, last_content: int, owner_id: int) -> Iterator[Mapping[str, object]]:
    generation = json.dumps(GENERATION_EXAMPLE)
    for number in range(1, rows + 1):
        yield {
            "owner_id": owner_id,
            "content_id": last_content + number,
            "filename": f"sticker-{number}.png",
            "prompt": f"a cat with sunglasses number {number}, film still, warm light",
            "caption": f"A cat with sunglasses, drawn {number} times",
            "caption_source": "person",
            "generation": generation,
            "is_public": True,
            "status": "READY",
            "version": 1,
            "auto_caption": False,
        }


def _embeddings(
    vectors: Matrix, last_content: int, space_id: int
) -> Iterator[Mapping[str, object]]:
    for number, vector in enumerate(vectors, 1):
        blob = vector.astype("<f4").tobytes()
        yield {
            "space_id": space_id,
            "content_id": last_content + number,
            "vector": blob,
            "crc32": zlib.crc32(blob),
            "is_deleted": False,
            "change_seq": 1,
        }


def _literal(value: object) -> str:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, bool | int | np.integer):
        return str(int(value))
    escaped = str(value).replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _empty(kind: str) -> str:
    if kind in NUMBERS:
        return "0"
    return f"'{datetime.now(UTC):%Y-%m-%d %H:%M:%S}'" if "time" in kind else "''"
