"""Migrations that go on where they were cut short, on MySQL and MariaDB.

There every statement that changes a table commits by itself. A migration that is cut short, because the
machine went down or the disk was full, leaves some of its tables, columns and indexes behind. Importing this
module makes Alembic leave alone what is there already, so that the next start does the rest. Names begin
with `names.PREFIX`, so what is there is ours; `first_look` has made sure of it.
"""

from __future__ import annotations

from typing import Any

from alembic.ddl.mysql import MariaDBImpl, MySQLImpl
from sqlalchemy import Column, Constraint, Index, Table, inspect


class _Resumable:
    """What Alembic does on MySQL, without what is done already."""

    connection: Any

    def create_table(self, table: Table, **options: Any) -> None:
        """Create a table and its indexes unless they are there."""
        if not self._has_table(table.name):
            super().create_table(table, **options)  # type: ignore[misc]
            return
        for index in table.indexes:
            self.create_index(index)

    def drop_table(self, table: Table, **options: Any) -> None:
        """Drop a table unless it is gone."""
        if self._has_table(table.name):
            super().drop_table(table, **options)  # type: ignore[misc]

    def add_column(self, table_name: str, column: Column[Any], **options: Any) -> None:
        """Add a column unless it is there."""
        if column.name not in self._columns(table_name):
            super().add_column(table_name, column, **options)  # type: ignore[misc]

    def drop_column(self, table_name: str, column: Column[Any], **options: Any) -> None:
        """Drop a column unless it is gone."""
        if column.name in self._columns(table_name):
            super().drop_column(table_name, column, **options)  # type: ignore[misc]

    def create_index(self, index: Index, **options: Any) -> None:
        """Create an index unless it is there."""
        if not self._has_index(index):
            super().create_index(index, **options)  # type: ignore[misc]

    def drop_index(self, index: Index, **options: Any) -> None:
        """Drop an index unless it is gone."""
        if self._has_index(index):
            super().drop_index(index, **options)  # type: ignore[misc]

    def add_constraint(self, const: Constraint, **options: Any) -> None:
        """Add a constraint unless it is there."""
        if not self._has_constraint(const):
            super().add_constraint(const, **options)  # type: ignore[misc]

    def drop_constraint(self, const: Constraint, **options: Any) -> None:
        """Drop a constraint unless it is gone."""
        if self._has_constraint(const):
            super().drop_constraint(const, **options)  # type: ignore[misc]

    def _has_table(self, name: str) -> bool:
        return bool(inspect(self.connection).has_table(name))

    def _columns(self, table: str) -> set[str]:
        return {column["name"] for column in inspect(self.connection).get_columns(table)}

    def _has_index(self, index: Index) -> bool:
        assert index.table is not None
        found = inspect(self.connection).get_indexes(index.table.name)
        return index.name in {each["name"] for each in found}

    def _has_constraint(self, constraint: Constraint) -> bool:
        table, inspector = constraint.table.name, inspect(self.connection)
        found = [*inspector.get_indexes(table), *inspector.get_foreign_keys(table)]
        found += inspector.get_check_constraints(table)
        return constraint.name in {each["name"] for each in found}


class ResumableMySql(_Resumable, MySQLImpl):
    """For MySQL."""

    __dialect__ = "mysql"


class ResumableMariaDb(_Resumable, MariaDBImpl):
    """For MariaDB."""

    __dialect__ = "mariadb"
