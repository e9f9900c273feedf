"""Old systems to move from: their pictures, tables and folders, filled with drawn pictures."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pymysql
from PIL import Image
from sqlalchemy import make_url

from mirada.kernel.embeddings import Matrix
from testing.pictures import pixels
from testing.servers.process import missing

SIZE = (64, 48)
FIRST_ID = 101
"""The old system's first id: some of its pictures had been deleted."""
PROMPT_EVERY = 20
"""In a table: of so many pictures one has a prompt."""


@dataclass(frozen=True)
class Old:
    """What an old system has: `count` pictures, number n in `folder/static/pn.png`.

    Attributes:
        folder: of the files.
        hashes: SHA-256 of each.
        vectors: (count, d) float32, of a model that is ours.
    """

    folder: Path
    hashes: Sequence[str]
    vectors: Matrix

    @property
    def count(self) -> int:
        return len(self.hashes)

    def id_of(self, number: int) -> int:
        return FIRST_ID + number

    def row(self, number: int) -> dict[str, Any]:
        """Return one picture as a gallery has it."""
        return {
            "id": self.id_of(number),
            "file": f"static/p{number}.png",
            "user_id": 900 + number % 3,
            "username": f"old-user-{number % 3}",
            "prompt": f"a lighthouse {number}, film still",
            "caption": f"lighthouse number {number}",
            "tags": "sea, night" if number % 2 else "",
            "is_public": number % 5 != 4,
            "created_at": f"2021-03-{number % 28 + 1:02}T12:00:00+00:00",
            "likes": [900 + (number + 1) % 3] if number % 2 else [],
        }


def drawn_pictures(folder: Path, count: int, encode: Callable[[Sequence[Any]], Matrix]) -> Old:
    """Draw pictures into a folder, and compute their vectors."""
    (folder / "static").mkdir(parents=True)
    hashes, parts = [], []
    for start in range(0, count, 64):
        drawn = [pixels(seed, SIZE) for seed in range(start, min(start + 64, count))]
        for number, image in enumerate(drawn, start):
            content = png(image)
            (folder / "static" / f"p{number}.png").write_bytes(content)
            hashes.append(hashlib.sha256(content).hexdigest())
        parts.append(encode([np.asarray(image) for image in drawn]))
    return Old(folder, hashes, np.concatenate(parts))


def png(image: Image.Image) -> bytes:
    """Return a picture as PNG, packed quickly."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def as_jsonl(old: Old, path: Path, *, with_vectors: bool = False) -> None:
    """Write the pictures' metadata as JSONL."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(old.count):
            row = old.row(number)
            if with_vectors:
                row["vector"] = old.vectors[number].astype(float).tolist()
            file.write(json.dumps(row) + "\n")


def as_pgvector_table(old: Old, url: str, table: str = "images") -> None:
    """Fill a PostgreSQL table with a pgvector column, as an image search has one."""
    at = make_url(url)
    with psycopg.connect(
        host=str(at.query["host"]), user=at.username, dbname=at.database, autocommit=True
    ) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(
            f"CREATE TABLE {table} (id bigint PRIMARY KEY, path text, user_id bigint, username text, "
            "is_public boolean, created_at timestamptz, prompt text, tags text, likes json, "
            f"embedding vector({old.vectors.shape[1]}))"
        )
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for number in range(old.count):
                row = old.row(number)
                numbers = ",".join(map(repr, old.vectors[number].tolist()))
                copy.write_row(
                    (
                        row["id"],
                        f"/static/p{number}.png",
                        row["user_id"],
                        row["username"],
                        row["is_public"],
                        row["created_at"],
                        row["prompt"] if number % PROMPT_EVERY == 0 else None,
                        row["tags"],
                        json.dumps(row["likes"]),
                        f"[{numbers}]",
                    )
                )


def as_classifier_tables(old: Old, url: str, *, with_people: bool = False) -> None:
    """Fill the tables of a classifier in MariaDB: vectors as bytes, every second with a verdict.

    With people, both tables say whose a row is, by `Old.row`, and when it was written.
    """
    at = make_url(url)
    connection = pymysql.connect(
        host=at.host,
        port=at.port or 3306,
        user=at.username,
        password=str(at.password),
        database=at.database,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE embeddings (id INT AUTO_INCREMENT PRIMARY KEY, image_hash CHAR(64), "
            "asset_id VARCHAR(100), theme VARCHAR(100), embedding MEDIUMBLOB, KEY (image_hash))"
        )
        cursor.execute(
            "CREATE TABLE feedback (id INT AUTO_INCREMENT PRIMARY KEY, image_hash CHAR(64), "
            "theme VARCHAR(100), accepted TINYINT(1), KEY (image_hash))"
        )
        if with_people:
            for table in ("embeddings", "feedback"):
                cursor.execute(
                    f"ALTER TABLE {table} ADD COLUMN user_id BIGINT, ADD COLUMN created_at DATETIME"
                )
        cursor.execute("CREATE TABLE label_expansions (label VARCHAR(100), expansion JSON)")
        cursor.executemany(
            "INSERT INTO embeddings (image_hash, asset_id, theme, embedding) VALUES (%s, %s, %s, %s)",
            [
                (sha256, f"asset-{number}", "pets", old.vectors[number].tobytes())
                for number, sha256 in enumerate(old.hashes)
            ],
        )
        cursor.executemany(
            "INSERT INTO feedback (image_hash, theme, accepted) VALUES (%s, %s, %s)",
            [
                (sha256, "reaction-meme", number % 4 == 0)
                for number, sha256 in enumerate(old.hashes)
                if number % 2 == 0
            ],
        )
        for number, sha256 in enumerate(old.hashes if with_people else ()):
            row = old.row(number)
            said = (row["user_id"], row["created_at"][:19], sha256)
            for table in ("embeddings", "feedback"):
                cursor.execute(
                    f"UPDATE {table} SET user_id = %s, created_at = %s WHERE image_hash = %s", said
                )
        expansion = {"subtags": ["happy dog"], "style_traits": ["cartoon"], "emotions": ["joy"]}
        cursor.execute(
            "INSERT INTO label_expansions VALUES (%s, %s)",
            ("dog", json.dumps({**expansion, "pack_suggestions": ["Good dogs"]})),
        )
        connection.commit()


def require_parquet() -> None:
    """Skip the test where pyarrow is not installed, and fail it where CI=true."""
    if find_spec("pyarrow") is None:
        missing("pyarrow", "pip install -r requirements-dev.txt")


def as_clip_retrieval(old: Old, folder: Path, parts: int = 3) -> None:
    """Write a folder as `clip-retrieval inference` does, in several parts."""
    import pyarrow
    from pyarrow import parquet

    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for part, numbers in enumerate(np.array_split(np.arange(old.count), parts)):
        np.save(folder / "img_emb" / f"img_emb_{part}.npy", old.vectors[numbers])
        rows = [
            {
                "image_path": str(old.folder / "static" / f"p{number}.png"),
                "caption": old.row(int(number))["caption"],
                "key": f"{part:05}{number:04}",
            }
            for number in numbers
        ]
        table = pyarrow.Table.from_pylist(rows)
        parquet.write_table(table, folder / "metadata" / f"metadata_{part}.parquet")
