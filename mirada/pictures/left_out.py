"""The files that an import does not take: each with its reason, counted, and as a table."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from mirada.kernel.errors import (
    CorruptImage,
    ImageTooLarge,
    InvalidInput,
    QuotaReached,
    UnsupportedImage,
)


class Why(StrEnum):
    """The kinds of reasons, as a summary names them."""

    HIDDEN = "hidden"
    LEFTOVER = "of other programs"
    NO_PICTURE = "not pictures"
    LINK = "links"
    KNOWN = "already there"
    UNREADABLE = "unreadable"
    UNSUPPORTED = "of a kind that is not taken"
    DAMAGED = "damaged"
    TOO_LARGE = "too large"
    NO_ROOM = "beyond the quota"


SKIPPED = (Why.HIDDEN, Why.LEFTOVER, Why.NO_PICTURE, Why.LINK)
"""Reasons that need no look into the file."""
LEFTOVER_FOLDERS = frozenset(
    {
        *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("__macosx", "$recycle.bin", "recycler", "system volume information", "lost+found"),
    }
)
"""Names, in small letters, of folders in which storage servers, macOS and Windows keep thumbnails, copies
and deleted files."""
LEFTOVER_FILES = frozenset(
    {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"}
)
"""Names, in small letters, of files that they write beside pictures."""
COLUMNS = ("path", "kind", "reason")
KINDS_OF_ERRORS = (
    (UnsupportedImage, Why.UNSUPPORTED),
    (CorruptImage, Why.DAMAGED),
    (ImageTooLarge, Why.TOO_LARGE),
    (QuotaReached, Why.NO_ROOM),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file, or a folder with a slash at its end, that was not taken.

    Attributes:
        path: below the imported folder.
        reason: a sentence.
        kind: the kind of the reason.
    """

    path: str
    reason: str
    kind: Why = Why.UNREADABLE


def refused(path: str, error: InvalidInput | QuotaReached) -> Refusal:
    """Return the entry of a picture that was looked at and refused."""
    kind = next((kind for cls, kind in KINDS_OF_ERRORS if isinstance(error, cls)), Why.UNREADABLE)
    return Refusal(path, error.detail, kind)


def leftover_folder(name: str) -> bool:
    """Return whether a folder of this name holds what other programs left."""
    return name.lower() in LEFTOVER_FOLDERS


def leftover_file(name: str) -> bool:
    """Return whether a file of this name is what another program left beside pictures."""
    # macOS writes a second file with "._" for each on foreign disks, also where it is a picture's.
    return name.lower() in LEFTOVER_FILES or name.startswith("._")


def counted(entries: Iterable[Refusal]) -> str:
    """Return the numbers by kind, such as "2 damaged, 1 too large", the largest first."""
    numbers = Counter(entry.kind for entry in entries)
    ordered = sorted(numbers.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in ordered)


def write_table(entries: Iterable[Refusal], file: TextIO) -> None:
    """Write one line for each file as CSV, under a line of headings."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows((entry.path, entry.kind, entry.reason) for entry in entries)
