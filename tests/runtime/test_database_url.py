"""DATABASE_URL as the programs that people come from write it."""

from __future__ import annotations

import pytest

from mirada.config import InvalidSettings, Settings
from mirada.db.session import make_engine


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("mysql://u:p@h/d", "mysql+pymysql://u:p@h/d"),
        ("mariadb://u:p@h:3307/d", "mysql+pymysql://u:p@h:3307/d"),
        ("mysql+aiomysql://u:p@h/d?charset=utf8mb4", "mysql+pymysql://u:p@h/d?charset=utf8mb4"),
        ("mysql+asyncmy://u:p@h/d", "mysql+pymysql://u:p@h/d"),
        ("mysql+mysqldb://u:p@h/d", "mysql+pymysql://u:p@h/d"),
        ("mariadb+mariadbconnector://u:p@h/d", "mysql+pymysql://u:p@h/d"),
        ("mysql2://u:p@h/d", "mysql+pymysql://u:p@h/d"),
        ("mysql://u:p%40ss@h/d", "mysql+pymysql://u:p%40ss@h/d"),
        ("mysql://u:p/a#@h/d", "mysql+pymysql://u:p%2Fa%23@h/d"),
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        (
            "postgresql+asyncpg://u:p@h/d?ssl=require",
            "postgresql+psycopg://u:p@h/d?sslmode=require",
        ),
        ("postgresql+asyncpg://u:p@h/d?ssl=true", "postgresql+psycopg://u:p@h/d?sslmode=require"),
        ("postgresql+psycopg2://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("sqlite:////data/mirada.db", "sqlite:////data/mirada.db"),
        ("sqlite+aiosqlite:////data/mirada.db", "sqlite:////data/mirada.db"),
        (" postgres://u:p@h/d\n", "postgresql+psycopg://u:p@h/d"),
    ],
)
def test_habits_of_other_programs_name_a_driver_of_ours(written: str, ours: str) -> None:
    settings = Settings.from_env(database_url=written)

    assert settings.url.render_as_string(hide_password=False) == ours
    make_engine(settings.url, 1).dispose()  # the driver is installed and takes the parameters


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("mongodb://u:sesame@h/d", "mongodb:// is none of the databases"),
        ("u:sesame@h/d", "not a database URL"),
        ("jdbc:mysql://u:sesame@h/d", "none of the databases|not a database URL"),
        ("mysql://u:sesame@h:port/d", "not a database URL"),
        ("mysql://u:ses@me@sesame:3306/d", "not a database URL.* @ .* in a password as %40"),
        ("postgres://u:sesame@db..example/d", "not a database URL"),
        ("mysql://u:sesame@h", "names no database"),
        ("postgres://u:sesame@h/", "names no database"),
        ("mysql://u:sesame@h/d?ssl-mode=REQUIRED", "belongs to another driver.*ssl_ca"),
        ("mysql://u:sesame@h/d?ssl=true", "belongs to another driver.*ssl_ca"),
        ("mysql://u:sesame@h/d?connection_limit=5", "connection_limit is not known"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_without_the_password(written: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said) as refused:
        Settings.from_env(database_url=written)

    assert "DATABASE_URL" in str(refused.value)
    assert "sesame" not in str(refused.value)
