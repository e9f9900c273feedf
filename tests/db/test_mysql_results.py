"""Values come from MariaDB as PyMySQL itself reads them, whatever their type, length and number."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pymysql
import pytest
from pymysql.cursors import SSCursor
from sqlalchemy.engine import make_url

from mirada.db.bounded_mysql import BoundedConnection

pytestmark = pytest.mark.mariadb
STATEMENTS = [
    "SELECT 1, -7, NULL, 1.5, CAST('1.10' AS DECIMAL(5, 2)), 18446744073709551615, TRUE, ''",
    "SELECT CAST('2026-01-02 03:04:05.000678' AS DATETIME(6)), CAST('2026-01-02' AS DATE), "
    "CAST('-838:59:59' AS TIME), CAST('0000-00-00' AS DATE), YEAR('2026-01-02')",
    "SELECT 'naïve 猫', _binary'\\x00\\xff', x'00ff', CAST('a' AS BINARY(3)), b'101'",
    "SELECT JSON_OBJECT('a', '猫'), JSON_ARRAY(1, NULL)",
    # One byte says the length up to 250, then two, three and eight more.
    *(f"SELECT REPEAT('x', {size}), 7" for size in (0, 1, 250, 251, 252, 65535, 65536, 17_000_000)),
    "SELECT seq, REPEAT('a', seq) FROM seq_1_to_600",
    "SELECT 1 FROM DUAL WHERE FALSE",
    "SHOW VARIABLES LIKE 'version%'",
]


def read(kind: type[pymysql.Connection], url: str, statement: str, cursor: Any = None) -> Any:
    address = make_url(url)
    connection = kind(
        host=address.host,
        port=address.port,
        user=address.username,
        password=address.password,
        database=address.database,
        charset="utf8mb4",
        max_allowed_packet=64 * 1024 * 1024,
    )
    with closing(connection), connection.cursor(cursor) as asked:
        asked.execute("SET SESSION sql_mode = ''")
        asked.execute(statement)
        return asked.description, list(asked.fetchall())


@pytest.mark.parametrize("cursor", [None, SSCursor], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement[:30])
def test_values_are_those_that_pymysql_reads(
    mariadb_url: str, statement: str, cursor: type[SSCursor] | None
) -> None:
    expected = read(pymysql.Connection, mariadb_url, statement, cursor)
    # Twice: the second time the columns are known.
    for _ in range(2):
        found = read(BoundedConnection, mariadb_url, statement, cursor)
        assert found == expected
        assert [list(map(type, row)) for row in found[1]] == [
            list(map(type, row)) for row in expected[1]
        ]
