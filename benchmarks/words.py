"""Measures word search at size on each database: carrying over, one upload's words, and queries.

python -m benchmarks.words [--texts 50000] [--databases sqlite mariadb postgresql]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import insert, text
from sqlalchemy.engine import make_url

from mirada.db import word_index
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Content, Image, User, utc_now
from mirada.db.session import Database, make_engine
from mirada.kernel.images import ImageStatus
from mirada.search.by_words import find_by_words
from testing.scopes import seen_by
from testing.servers.mariadb import mariadb_server
from testing.servers.postgresql import postgresql_server

ROWS = 1_000
OWNERS = 10
K = 200
ROUNDS = 15
QUERIES = {
    "one rare word": "word4999",
    "one word of every text": "masterpiece",
    "two words of every text": "masterpiece quality",
    "five common words": "best quality word0 word1 word2",
    "some of ten words": " ".join(f"word{n}" for n in range(100, 110)),
    "30 common words": " ".join(f"word{n}" for n in range(30)),
}


def texts(count: int) -> Iterator[str]:
    """Yield prompts of about 25 words: three that all have, others by Zipf's law."""
    chance = random.Random(1)
    words = [f"word{n}" for n in range(5_000)]
    shares = [1 / (n + 5) for n in range(5_000)]
    for _ in range(count):
        picked = chance.choices(words, shares, k=chance.randint(10, 35))
        yield "masterpiece, best quality, " + ", ".join(picked)


def fill(database: Database, count: int) -> None:
    """Insert images that have texts and no words yet, a tenth of them each owner's, half public."""
    with database.transaction() as session:
        session.add_all(User(username=f"u{n}") for n in range(OWNERS))
    now = utc_now()
    written = texts(count)
    for first in range(1, count + 1, ROWS):
        numbers = range(first, min(first + ROWS, count + 1))
        common = {"created_at": now}
        contents = [
            {"id": n, "sha256": f"{n:064x}", "storage_key": str(n), "byte_size": 1, "format": "GIF"}
            | {"width": 1, "height": 1, "is_animated": False, **common}
            for n in numbers
        ]
        images = [
            {"id": n, "owner_id": 1 + n % OWNERS, "content_id": n, "prompt": next(written)}
            | {"is_public": n % 2 == 0, "status": ImageStatus.READY, "updated_at": now, **common}
            for n in numbers
        ]
        with database.engine.begin() as connection:
            connection.execute(insert(Content), contents)
            connection.execute(insert(Image), images)


def measure(name: str, url: str, count: int) -> None:
    """Print what one database takes."""
    database = Database(make_engine(make_url(url), 4))
    upgrade_to_head(database.engine)
    fill(database, count)
    began = time.perf_counter()
    word_index.write_missing(database)
    took = time.perf_counter() - began
    print(f"{name}: {count} texts carried over in {took:.1f} s, {count / took:.0f} a second")
    if name == "postgresql":
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("VACUUM ANALYZE"))
    with database.transaction() as session:
        began = time.perf_counter()
        for image_id in range(1, 101):
            word_index.rewrite(session, [image_id])
        print(f"{name}: rewriting one image's words {(time.perf_counter() - began) * 10:.2f} ms")
    for what, query in QUERIES.items():
        for who, audience in {"anybody": seen_by(None), "an owner": seen_by(2)}.items():
            times = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                with database.reading() as session:
                    found = find_by_words(session, query, audience, k=K)
                times.append(1_000 * (time.perf_counter() - began))
            print(
                f"{name}: {what} by {who}: {statistics.median(times):.1f} ms "
                f"(worst {max(times):.1f}), {found.complete} with all of {len(found.image_ids)}, "
                f"order {hash(tuple(found.image_ids)) % 10_000:04d}"
            )
    database.close()


@contextmanager
def database_url(name: str) -> Iterator[str]:
    """Yield the URL of an empty database of that kind."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'mirada.db'}"
    elif name == "mariadb":
        with mariadb_server() as mariadb, mariadb.new_database() as database:
            yield mariadb.url(database)
    else:
        with postgresql_server() as postgresql, postgresql.new_database() as database:
            yield postgresql.url(database)


def main() -> None:
    """Measure each database in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "mariadb", "postgresql"])
    asked = parser.parse_args()
    for name in asked.databases:
        with database_url(name) as url:
            measure(name, url, asked.texts)


if __name__ == "__main__":
    main()
