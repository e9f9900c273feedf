"""Files of lines: JSONL and CSV with one picture a line, and Qdrant's points as JSON or JSONL."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirada.kernel.errors import InvalidInput
from mirada.transfer.records import NAMES, Record, Refused, record_of

MAX_LINE_BYTES = 16 * 1024 * 1024
METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "images.jsonl", "images.csv")
SUFFIXES = (".jsonl", ".ndjson", ".csv")


def metadata_in(folder: Path) -> Path | None:
    """Return the file with the metadata of a folder's pictures: one of METADATA_NAMES, or the only one."""
    for name in METADATA_NAMES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class LinesSource:
    """A JSONL or CSV file with one picture a line.

    Attributes:
        path: of the file; what ends in .csv is CSV with a line of headings.
        name: of the source.
        columns: our name of a field -> the file's.
        are_points: the lines are points of Qdrant.
    """

    path: Path
    name: str
    columns: Mapping[str, str] = field(default_factory=dict)
    are_points: bool = False
    keeps_names: bool = True

    def count(self) -> int | None:
        """Return how many lines a JSONL file has; None for other forms, whose rows may have several."""
        if self.path.suffix.lower() in (".csv", ".json"):
            return None
        try:
            with self.path.open("rb") as file:
                parts = iter(lambda: file.read(MAX_LINE_BYTES), b"")
                ends, last = 0, b"\n"
                for part in parts:
                    ends, last = ends + part.count(b"\n"), part[-1:]
                return ends + (last != b"\n")
        except OSError as error:
            raise InvalidInput(f"{self.path} cannot be read: {error.strerror}.") from error

    def records(self) -> Iterator[Record | Refused]:
        """Yield a record for each line; a broken one is refused by its number, and the rest go on."""
        try:
            if self.path.suffix.lower() == ".csv":
                yield from self._of_csv()
            elif self.are_points and self.path.suffix.lower() == ".json":
                yield from self._of_points_in_one()
            else:
                yield from self._of_jsonl()
        except OSError as error:
            raise InvalidInput(f"{self.path} cannot be read: {error.strerror}.") from error

    def _of_jsonl(self) -> Iterator[Record | Refused]:
        with self.path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    while line and not line.endswith(b"\n"):
                        line = file.readline(MAX_LINE_BYTES)
                    yield Refused(number, None, "The line is longer than 16 MB.")
                elif line.strip():
                    yield self._of_line(number, line)

    def _of_line(self, number: int, line: bytes) -> Record | Refused:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            return Refused(number, None, "The line is no JSON.")
        return self._of_fields(number, fields)

    def _of_fields(self, number: int, fields: Any) -> Record | Refused:
        if not isinstance(fields, dict):
            return Refused(number, None, "The line is no JSON object.")
        if self.are_points:
            fields = fields_of_point(fields, self.columns.get("vector"))
        columns = {name: each for name, each in self.columns.items() if name != "vector"}
        return record_of(
            number, with_id(fields, self.columns), columns if self.are_points else self.columns
        )

    def _of_points_in_one(self) -> Iterator[Record | Refused]:
        try:
            found = json.loads(self.path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{self.path} is no JSON.") from error
        for key in ("result", "points"):
            found = found.get(key, found) if isinstance(found, dict) else found
        if not isinstance(found, list):
            raise InvalidInput(
                f"{self.path} holds no list of points, as Qdrant's scroll gives one."
            )
        for number, each in enumerate(found, 1):
            yield self._of_fields(number, each)

    def _of_csv(self) -> Iterator[Record | Refused]:
        csv.field_size_limit(MAX_LINE_BYTES)
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = csv.reader(file)
            headings = next(lines, [])
            if not headings or len(set(headings)) < len(headings):
                raise InvalidInput(f"{self.path} begins with no line of different headings.")
            while True:
                number = lines.line_num + 1
                try:
                    row = next(lines)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Refused(number, None, f"The line is no CSV: {error}.")
                    continue
                if row:
                    yield self._of_row(number, headings, row)

    def _of_row(self, number: int, headings: list[str], row: list[str]) -> Record | Refused:
        if len(row) != len(headings):
            told = f"The line has {len(row)} fields; the headings are {len(headings)}."
            return Refused(number, None, told)
        if any("\udc80" <= each <= "\udcff" for text in row for each in text):
            return Refused(number, None, "The line is no UTF-8.")
        fields = dict(zip(headings, row, strict=True))
        return record_of(number, with_id(fields, self.columns), self.columns)


def with_id(fields: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the fields, with the picture's path for an id where there is none; slashes become colons."""
    names = (columns["id"],) if "id" in columns else NAMES["id"]
    if "id" in columns or any(fields.get(name) not in (None, "") for name in names):
        return fields
    pictures = (columns["picture"],) if "picture" in columns else NAMES["picture"]
    named = next((fields[name] for name in pictures if fields.get(name)), None)
    return {**fields, "id": named.replace("/", ":")} if isinstance(named, str) else fields


def fields_of_point(point: Mapping[str, Any], vector_name: str | None) -> dict[str, Any]:
    """Return the fields of a point of Qdrant: its payload, its id, and its vector of that name."""
    payload, vector = point.get("payload"), point.get("vector", point.get("vectors"))
    if isinstance(vector, dict):
        chosen = vector_name if vector_name is not None else next(iter(vector), None)
        vector = vector.get(chosen)
    fields = dict(payload) if isinstance(payload, dict) else {}
    return {**fields, "id": point.get("id"), "vector": vector}
