"""Which of the pool's connections is used next."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url

from mirada.db.session import make_engine


def test_of_sqlite_the_connection_that_was_used_last_is_used_next(tmp_path: Path) -> None:
    engine = make_engine(make_url(f"sqlite:///{tmp_path / 'a.db'}"), 4)
    with engine.connect() as first:
        used_last = first.connection.dbapi_connection
        with engine.connect() as second:
            assert second.connection.dbapi_connection is not used_last
    try:
        with engine.connect() as again:
            assert again.connection.dbapi_connection is used_last
    finally:
        engine.dispose()
