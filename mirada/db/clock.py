"""The database's clock, by which due times, leases and the order of changes are told."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import BigInteger


class now_ms(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """The SQL expression of the database's clock in Unix milliseconds; leases and due times use it."""

    type = BigInteger()
    inherit_cache = True


_CLOCKS = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "mysql": "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
    "mariadb": "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
}


@compiles(now_ms)
def _now_ms(element: now_ms, compiler: SQLCompiler, **_: Any) -> str:
    return _CLOCKS.get(compiler.dialect.name, _CLOCKS["postgresql"])
