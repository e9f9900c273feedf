"""Texts in small letters, alike on every engine."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import String


class lowered(FunctionElement[str]):  # noqa: N801 - reads as the SQL function it is
    """The SQL expression of a text in small letters, compared letter by letter on every engine."""

    type = String()
    inherit_cache = True


@compiles(lowered)
def _lowered(element: lowered, compiler: SQLCompiler, **more: Any) -> str:
    text = compiler.process(element.clauses, **more)
    match compiler.dialect.name:
        case "sqlite":
            # `db.session` defines it: SQLite's own knows ASCII alone.
            return f"mirada_lower({text})"
        case "mysql" | "mariadb":
            return f"LOWER({text}) COLLATE utf8mb4_bin"
        case _:
            return f"LOWER({text})"
