"""The tables of a classifier of stickers: embeddings, feedback, expansions, named by a mapping file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import URL

from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.errors import InvalidInput
from mirada.kernel.themes import theme_key
from mirada.transfer.records import Mark, Refused, moment
from mirada.transfer.sources.tables import (
    columns_of,
    quoted,
    quoted_table,
    reading,
    rows_in_table,
    rows_of,
)

MAPPING: Mapping[str, Mapping[str, str]] = {
    "embeddings": {
        "table": "embeddings",
        "image_hash": "image_hash",
        "vector": "embedding",
        "asset_id": "asset_id",
        "theme": "theme",
        "user": "user_id",
        "created_at": "created_at",
    },
    "feedback": {
        "table": "feedback",
        "image_hash": "image_hash",
        "theme": "theme",
        "accepted": "accepted",
        "asset_id": "asset_id",
        "user": "user_id",
        "created_at": "created_at",
    },
    "expansions": {
        "table": "label_expansions",
        "label": "label",
        "expansion": "expansion",
        "model": "model",
    },
}
"""What a mapping file need not say: our names, and the table and columns they are read from."""
NEEDED = {
    "embeddings": ("image_hash", "vector"),
    "feedback": ("image_hash", "theme", "accepted"),
    "expansions": ("label", "expansion"),
}
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Remembered:
    """A picture that was classified: its hash, its vector in any form, and what was said of it."""

    number: int
    sha256: str
    vector: Any
    asset_id: str | None
    theme: str | None
    by: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict on a picture."""

    number: int
    sha256: str
    theme: str
    mark: Mark
    by: str | None


def mapping_in(path: Path | None) -> Mapping[str, Mapping[str, str]]:
    """Return the mapping of a TOML file, completed by MAPPING. Raises InvalidInput."""
    if path is None:
        return MAPPING
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"The mapping {path} cannot be read: {error}.") from error
    for part, columns in found.items():
        known = MAPPING.get(part)
        if known is None or not isinstance(columns, dict):
            raise InvalidInput(f"The mapping has [{part}]; its parts are {', '.join(MAPPING)}.")
        odd = sorted(set(columns) - set(known))
        if odd:
            raise InvalidInput(f"[{part}] of the mapping has no {odd[0]}, but {', '.join(known)}.")
    return {part: {**columns, **found.get(part, {})} for part, columns in MAPPING.items()}


@dataclass(frozen=True, slots=True)
class ClassifierTables:
    """The tables of one classifier.

    Attributes:
        url: of the database.
        name: of the source.
        mapping: as `mapping_in` returns it. A table that is not there is empty.
    """

    url: URL
    name: str
    mapping: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MAPPING)

    def count(self) -> int | None:
        """Return how many pictures there are."""
        table = self.mapping["embeddings"]["table"]
        with reading(self.url) as connection:
            found = _columns(connection, table)
            return None if found is None else rows_in_table(connection, table)

    def remembered(self) -> Iterator[Remembered | Refused]:
        """Yield the pictures, by their hashes."""
        for number, row in self._rows("embeddings"):
            try:
                yield Remembered(
                    number,
                    _hash(row),
                    row.get("vector"),
                    checked_asset_id(_text(row.get("asset_id"))),
                    None if not row.get("theme") else theme_key(row["theme"]),
                    _text(row.get("user")),
                    moment(row.get("created_at")),
                )
            except InvalidInput as error:
                yield Refused(number, _text(row.get("image_hash")), error.detail)

    def verdicts(self) -> Iterator[Verdict | Refused]:
        """Yield the verdicts, by the hashes of their pictures."""
        for number, row in self._rows("feedback"):
            try:
                by, accepted = _text(row.get("user")), row.get("accepted")
                if accepted not in (True, False, b"\x00", b"\x01", "0", "1"):
                    raise InvalidInput("The verdict is neither true nor false.")
                mark = Mark(
                    by or "",
                    moment(row.get("created_at")),
                    accepted=accepted in (True, b"\x01", "1"),
                    asset_id=checked_asset_id(_text(row.get("asset_id"))),
                )
                yield Verdict(number, _hash(row), theme_key(row.get("theme")), mark, by)
            except InvalidInput as error:
                yield Refused(number, _text(row.get("image_hash")), f"Feedback: {error.detail}")

    def expansions(self) -> Iterator[dict[str, Any]]:
        """Yield the expansions: label, expansion and, where the table says it, model."""
        for _, row in self._rows("expansions"):
            yield row

    def _rows(self, part: str) -> Iterator[tuple[int, dict[str, Any]]]:
        columns = dict(self.mapping[part])
        table = columns.pop("table")
        with reading(self.url) as connection:
            there = _columns(connection, table)
            if there is None:
                if part == "embeddings":
                    raise InvalidInput(f"There is no table {table}; name it in the mapping file.")
                return
            lacking = [columns[name] for name in NEEDED[part] if columns[name] not in there]
            if lacking:
                raise InvalidInput(
                    f"The table {table} has no column {', '.join(lacking)}; name it under [{part}] of the "
                    f"mapping file. Its columns are {', '.join(there)}."
                )
            ours = {name: column for name, column in columns.items() if column in there}
            query = (
                f"SELECT {quoted(connection, list(dict.fromkeys(ours.values())))} "  # noqa: S608 - quoted
                f"FROM {quoted_table(connection, table)} "
                f"ORDER BY {quoted(connection, [columns[NEEDED[part][0]]])}"
            )
            for number, row in enumerate(rows_of(connection, query), 1):
                yield number, {name: row[column] for name, column in ours.items()}


def _columns(connection: Connection, table: str) -> list[str] | None:
    schema, _, name = table.rpartition(".")
    if not connection.dialect.has_table(connection, name, schema or None):
        return None
    return columns_of(connection, table)


def _hash(row: Mapping[str, Any]) -> str:
    text = (_text(row.get("image_hash")) or "").lower()
    if not _HASH.fullmatch(text):
        raise InvalidInput("Its image_hash is no SHA-256 of 64 hex digits.")
    return text


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return None if value is None or value == "" else str(value).strip()
