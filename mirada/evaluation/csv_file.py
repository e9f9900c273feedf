"""Sets as CSV: one judgement a line. What is wrong is named by its line and column, and nothing is kept.

    query,language,image,judgement
    a red bicycle,en,42,good
    a red bicycle,en,57,bad
    uma bicicleta vermelha,pt,42,good

`image` is the id of an image, or the SHA-256 of its file. A line without an image is a query that nobody
has judged yet.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.deadlocks import retried
from mirada.db.filters import in_scope
from mirada.db.models import Content, Image
from mirada.evaluation.kept_queries import KeptQuery
from mirada.evaluation.languages import checked_language
from mirada.evaluation.merging import Merged, merge_queries
from mirada.evaluation.queries import NewQuery, checked_query_text
from mirada.evaluation.sets import locked_set
from mirada.feedback.verdicts import image_hash
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.errors import InvalidInput
from mirada.kernel.ids import LARGEST_ID

COLUMNS = ("query", "language", "image", "judgement")
NEEDED = ("query", "image", "judgement")
GOOD = {"good", "1", "yes", "true"}
BAD = {"bad", "0", "no", "false"}
MOST_BYTES = 16 * 1024 * 1024
MOST_LINES = 200_000
"""As many judgements as a full set holds."""
TOLD_FAULTS = 20
"""Faults that are told at once."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a file; `line` counts from 1, the headings' line."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, column '{self.column}': {self.reason}"


@dataclass(slots=True)
class _Row:
    """One line: an image's name with the place it stands at."""

    line: int
    name: str
    is_good: bool


@dataclass(slots=True)
class _Reading:
    """A file that is being read: rows by text and language, and what is wrong."""

    rows: dict[tuple[str, str | None], list[_Row]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def say(self, line: int, column: str, reason: str) -> None:
        """Keep a fault; past TOLD_FAULTS reading ends."""
        self.faults.append(Fault(line, column, reason))
        if len(self.faults) >= TOLD_FAULTS:
            raise refused(self.faults)


def refused(faults: Sequence[Fault]) -> InvalidInput:
    """Return the error that tells what is wrong."""
    ending = "" if len(faults) < TOLD_FAULTS else "\nThere may be more."
    listed = "\n".join(map(str, faults))
    return InvalidInput(f"Nothing was imported:\n{listed}{ending}")


def import_into(session: Session, set_id: int, owner_id: int, content: bytes) -> list[Merged]:
    """Put the queries of a CSV file into a set; known ones get further judgements.

    Args:
        session: a transaction.
        set_id: which set.
        owner_id: who asks: their set, and images that they see.
        content: the file, UTF-8 with or without a mark in front. Fields are separated by commas, or
            by semicolons or tabs where the headings are.

    Raises:
        InvalidInput: something is wrong in the file; the message names lines and columns.
        NotFound: there is no such set of theirs.
        Conflict: the set, or a query, would get more than it may have.
    """
    row = locked_set(session, set_id, owner_id)
    reading = _read(content)
    names = {each.name for rows in reading.rows.values() for each in rows}
    images = _images(session, owner_id, names)
    sent = []
    for (text, language), rows in reading.rows.items():
        judged = _judged(reading, rows, images)
        good = [image for image, is_good in judged.items() if is_good]
        bad = [image for image, is_good in judged.items() if not is_good]
        sent.append(NewQuery(text, language, good, bad))
    if reading.faults:
        raise refused(sorted(reading.faults, key=lambda fault: fault.line))
    return merge_queries(session, row, sent)


import_csv = retried(import_into)


def as_csv(queries: Iterable[KeptQuery]) -> Iterator[str]:
    """Yield the lines of a CSV file that `import_csv` reads, headings first."""
    yield _line(COLUMNS)
    for query in queries:
        begun = (query.text, query.language or "")
        if not query.good and not query.bad:
            yield _line((*begun, "", ""))
        for images, judgement in ((query.good, "good"), (query.bad, "bad")):
            for image in images:
                yield _line((*begun, str(image), judgement))


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _read(content: bytes) -> _Reading:
    text = _decoded(content)
    reading = _Reading()
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    try:
        headings = [name.strip().lower() for name in next(lines, [])]
        _check_headings(reading, headings)
        before = lines.line_num
        for cells in lines:
            # A text in quotes may go over several lines: a fault is told by the first one.
            line, before = before + 1, lines.line_num
            if line > MOST_LINES + 1:
                reading.say(line, COLUMNS[0], f"A file has {MOST_LINES:,} lines at most.")
                break
            if any(cell.strip() for cell in cells):
                _take(reading, line, headings, cells)
    except csv.Error as error:
        reading.say(lines.line_num, COLUMNS[0], f"This is no CSV: {error}.")
    if not reading.rows and not reading.faults:
        reading.say(1, COLUMNS[0], "There is no query below the headings.")
    return reading


def _decoded(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"The file has more than {MOST_BYTES // 1024 // 1024} MB.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise refused(
            [Fault(line, COLUMNS[0], "This is not UTF-8; save the file as CSV in UTF-8.")]
        ) from error


def _separator(text: str) -> str:
    """Return what separates the headings: spreadsheets of many countries write semicolons."""
    headings = text.partition("\n")[0]
    return max(",;\t", key=headings.count)


def _check_headings(reading: _Reading, headings: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in headings]
    unknown = [name for name in headings if name not in COLUMNS]
    twice = [name for name in COLUMNS if headings.count(name) > 1]
    for names, reason in (
        (missing, "This column is missing. The first line is: " + ",".join(COLUMNS)),
        (unknown, f"There is no such column. Columns are {', '.join(COLUMNS)}."),
        (twice, "This column stands there twice."),
    ):
        for name in names:
            reading.say(1, name, reason)
    if reading.faults:
        raise refused(reading.faults)


def _take(reading: _Reading, line: int, headings: Sequence[str], cells: Sequence[str]) -> None:
    """Keep one line of a file."""
    if len(cells) != len(headings):
        reason = f"The line has {len(cells)} fields and not {len(headings)}."
        reading.say(line, headings[min(len(cells), len(headings) - 1)], reason)
        return
    fields = dict(zip(headings, (cell.strip() for cell in cells), strict=True))
    text, language = _query(reading, line, fields)
    name, said = fields["image"], fields["judgement"].lower()
    is_judged = bool(name or said)
    if is_judged and _image_name(name) is None:
        reading.say(line, "image", f"{name[:80]!r} is neither an image's id nor a SHA-256.")
    elif is_judged and said not in GOOD | BAD:
        reading.say(line, "judgement", f"{said[:80]!r} is neither good nor bad.")
    elif text is not None:
        rows = reading.rows.setdefault((text, language), [])
        if is_judged:
            rows.append(_Row(line, _image_name(name) or "", said in GOOD))


def _query(
    reading: _Reading, line: int, fields: Mapping[str, str]
) -> tuple[str | None, str | None]:
    """Return the text and the language of a line; None for a text that cannot be one."""
    text = language = None
    try:
        text = checked_query_text(fields["query"])
    except InvalidInput as error:
        reading.say(line, "query", error.detail)
    try:
        language = checked_language(fields.get("language"))
    except InvalidInput as error:
        reading.say(line, "language", error.detail)
    return text, language


def _image_name(name: str) -> str | None:
    """Return an id without zeros in front, or a SHA-256 in small letters; None for anything else."""
    if name.isascii() and name.isdigit() and len(name) < 20 and 0 < int(name) <= LARGEST_ID:
        return str(int(name))
    return image_hash(name)


def _images(session: Session, owner_id: int, names: Collection[str]) -> dict[str, int]:
    """Return the image that each name means for the owner; what they do not see is left out."""
    seen = in_scope(Scope(Audience(owner_id)))
    ids = {int(name) for name in names if len(name) < 20}
    hashes = {name for name in names if len(name) >= 20}
    by_id = select(Image.id).where(seen)
    found = {str(image): image for (image,) in rows_in(session, by_id, Image.id, ids)}
    by_hash = (
        select(Content.sha256, Image.id, Image.owner_id)
        .join(Content, Content.id == Image.content_id)
        .where(seen)
    )
    best: dict[str, tuple[bool, int]] = {}
    for sha256, image, owner in rows_in(session, by_hash, Content.sha256, hashes):
        ranked = (owner != owner_id, image)
        best[sha256] = min(best.get(sha256, ranked), ranked)
    return found | {sha256: image for sha256, (_, image) in best.items()}


def _judged(reading: _Reading, rows: Sequence[_Row], images: Mapping[str, int]) -> dict[int, bool]:
    """Return whether each image of one query is good; what contradicts itself is a fault."""
    judged: dict[int, bool] = {}
    first: dict[int, int] = {}
    for row in rows:
        image = images.get(row.name)
        if image is None:
            reading.say(row.line, "image", f"There is no image {row.name} that the owner sees.")
        elif judged.setdefault(image, row.is_good) is not row.is_good:
            reason = f"Line {first[image]} says the opposite of the same image and query."
            reading.say(row.line, "judgement", reason)
        else:
            first.setdefault(image, row.line)
    return judged
