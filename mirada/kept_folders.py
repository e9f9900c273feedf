"""Walk through a folder of many files, and set files of it aside for a while in place of deleting them.

What is set aside lies in `.quarantine/<day>/` of the same folder, so that moving it is one rename on one file
system. Hidden names are walked through only where a caller names one.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from mirada import private_files

QUARANTINE = ".quarantine"
KEPT_DAYS = 30
"""What was set aside is erased after so many days, as the trash is by default."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file, or a folder that is looked at as one thing, as it was when it was seen.

    Attributes:
        name: its path in the folder, with "/" between parts.
        byte_size: its bytes; of a folder those of its entry.
        changed_s: the latest time at which it was written, renamed or otherwise changed, in Unix seconds.
        identity: what tells that it was replaced since.
    """

    name: str
    byte_size: int
    changed_s: float
    identity: tuple[int, int, int]

    @classmethod
    def of(cls, name: str, seen: os.stat_result) -> FoundFile:
        """Return it from what `lstat` says."""
        # A file that was copied from a backup has its old time of writing, and a new one of its entry.
        changed_s = max(seen.st_mtime, seen.st_ctime)
        return cls(name, seen.st_size, changed_s, (seen.st_ino, seen.st_size, seen.st_mtime_ns))


def files_of(
    root: Path, within: str = "", unreadable: Callable[[str, OSError], None] = lambda *_: None
) -> Iterator[FoundFile]:
    """Yield the files below a folder, folder by folder in the order of their names.

    Only the names of one folder at a time, and of those it lies in, are held. Hidden names are left out,
    and so is what is neither a file nor a folder. What vanishes meanwhile is passed over.

    Args:
        root: the folder.
        within: a folder in it, to begin in; it may be hidden.
        unreadable: called with the name of a folder that cannot be read, and why.
    """
    try:
        with os.scandir(root / within) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        unreadable(within, error)
        return
    for entry in listed:
        if entry.name.startswith("."):
            continue
        name = f"{within}/{entry.name}" if within else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from files_of(root, name, unreadable)
            continue
        found = found_file(root, name)
        if found is not None:
            yield found


def found_file(root: Path, name: str) -> FoundFile | None:
    """Return a file as it is now; None where it is gone, or is no file."""
    try:
        seen = (root / name).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FoundFile.of(name, seen) if stat.S_ISREG(seen.st_mode) else None


def found_entry(root: Path, name: str) -> FoundFile | None:
    """Return a file or a folder as it is now; None where it is gone."""
    try:
        return FoundFile.of(name, (root / name).lstat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def set_aside(root: Path, found: FoundFile, today: date) -> Path | None:
    """Move a file or folder into the quarantine, and return where it lies now.

    None: it is gone, or is another one than was seen.

    Raises:
        OSError: it cannot be moved; it lies where it lay.
    """
    now = found_entry(root, found.name)
    if now is None or now.identity != found.identity:
        return None
    place = root / QUARANTINE / today.isoformat() / found.name
    private_files.make_folder(place.parent)
    free, number = place, 1
    while free.exists():
        number += 1
        free = place.with_name(f"{place.name}.{number}")
    try:
        (root / found.name).rename(free)
    except FileNotFoundError:
        return None
    return free


def put_back(root: Path, name: str, place: Path) -> None:
    """Move what was set aside back to where it lay, unless something lies there. Raises OSError."""
    if not (root / name).exists():
        place.rename(root / name)


def quarantined(root: Path) -> tuple[int, int]:
    """Return how many files are set aside in a folder, and their bytes. Raises OSError."""
    count = total = 0
    for day in _days(root):
        for folder, _, names in os.walk(day):
            for name in names:
                found = found_entry(Path(folder), name)
                count, total = count + 1, total + (found.byte_size if found else 0)
    return count, total


def erase_quarantined(root: Path, until: date) -> None:
    """Erase what was set aside on a day before, or on this day. Raises OSError."""
    for day in _days(root):
        if date.fromisoformat(day.name) <= until:
            shutil.rmtree(day)


def erase_expired(root: Path) -> None:
    """Erase what was set aside more than KEPT_DAYS ago. Raises OSError."""
    erase_quarantined(root, (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).date())


def _days(root: Path) -> Iterator[Path]:
    """Yield the quarantine's folders, each of one day."""
    quarantine = root / QUARANTINE
    if not quarantine.is_dir():
        return
    for day in sorted(quarantine.iterdir()):
        try:
            date.fromisoformat(day.name)
        except ValueError:
            continue
        if day.is_dir() and not day.is_symlink():
            yield day
