"""The pictures in a ZIP, one after the other: read from where it lies, and never unpacked beyond its limits.

What a ZIP says of itself is not believed: sizes are counted as bytes come out, and no name is ever a path.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mirada.kernel.errors import CorruptImage, ImageTooLarge, InvalidInput, MiradaError

MOST_ENTRIES = 1_000
"""Entries of a ZIP, folders among them; its list is read whole, before any picture."""
MOST_LIST_BYTES = 4 * 1024 * 1024
"""Of the list at its end: names of a thousand entries are a tenth of it."""
MOST_TAIL_BYTES = 20 + 22 + 65_535
"""Of the end of the file: the place of the long form's record, the short form's record, and a comment."""
END_RECORD, LONG_RECORD = b"PK\x05\x06", b"PK\x06\x07"
CHUNK = 64 * 1024
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Ways of packing that are read: `zipfile` unpacks others as a whole, 64 kB of bzip2 to a gigabyte."""
IGNORED = ("__MACOSX/", ".DS_Store", "Thumbs.db")
"""What systems put beside the files that people meant."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a ZIP.

    Attributes:
        name: as the ZIP has it; only ever displayed.
        refusal: why it is not read; None where it is.
    """

    name: str
    refusal: MiradaError | None = None


def is_archive(path: Path) -> bool:
    """Return whether a file begins as a ZIP does."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


class Archive:
    """A ZIP that is open for reading; use it in a `with` statement."""

    def __init__(
        self, path: Path, *, most_pictures: int, max_bytes_each: int, max_bytes: int
    ) -> None:
        """Read the list of what it holds.

        Args:
            path: of the ZIP.
            most_pictures: files that are read.
            max_bytes_each: of one file, unpacked.
            max_bytes: of all of them together.

        Raises:
            CorruptImage: it is no ZIP that can be read.
            InvalidInput: it holds too many entries or files.
        """
        self._max_bytes_each, self._left = max_bytes_each, max_bytes
        self._max_bytes = max_bytes
        try:
            _require_short_list(path)
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, RuntimeError, OSError) as error:
            raise CorruptImage("The ZIP cannot be read: it is cut off or damaged.") from error
        self._infos = [each for each in self._zip.infolist() if not _is_ignored(each)]
        if len(self._infos) > most_pictures:
            self.close()
            raise InvalidInput(
                f"The ZIP holds {len(self._infos):,} files; at most {most_pictures} are taken at once. "
                "Send several."
            )

    def __enter__(self) -> Archive:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def __iter__(self) -> Iterator[tuple[Entry, zipfile.ZipInfo]]:
        """Yield what it holds, in its order, each with what `copy` takes."""
        for info in self._infos:
            yield Entry(info.filename, _refusal(info)), info

    def read(self, info: zipfile.ZipInfo, most_bytes: int) -> bytes:
        """Return a small file. Raises as `copy` does; ImageTooLarge: it has more than `most_bytes`."""
        target = io.BytesIO()
        self._unpack(info, target, most_bytes, f"It is larger than {most_bytes // 1024} KB.")
        return target.getvalue()

    def copy(self, info: zipfile.ZipInfo, target: IO[bytes]) -> None:
        """Unpack a file into another one.

        Raises:
            ImageTooLarge: it is larger than one may be, or all together would be.
            CorruptImage: it is damaged.
        """
        megabytes = self._max_bytes_each // 1024**2
        too_large = f"It is larger than {megabytes} MB, the most that is accepted (MAX_UPLOAD_MB)."
        self._unpack(info, target, self._max_bytes_each, too_large)

    def _unpack(
        self, info: zipfile.ZipInfo, target: IO[bytes], most_bytes: int, too_large: str
    ) -> None:
        size = 0
        try:
            with self._zip.open(info) as source:
                while chunk := source.read(CHUNK):
                    size += len(chunk)
                    self._left -= len(chunk)
                    if size > most_bytes:
                        raise ImageTooLarge(too_large)
                    if self._left < 0:
                        raise ImageTooLarge(
                            f"The files of the ZIP are larger than {self._max_bytes // 1024**2} MB "
                            "together once unpacked. Send several."
                        )
                    target.write(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
            # ValueError: a name that is no text, or a place before the file's beginning.
            raise CorruptImage("It is damaged in the ZIP.") from error


def _require_short_list(path: Path) -> None:
    """Refuse a ZIP by the record at its end, before its list is read into memory.

    Raises:
        InvalidInput: it lists too many entries.
        BadZipFile: it has no such record.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MOST_TAIL_BYTES))
        tail = file.read()
    place = tail.rfind(END_RECORD)
    if place < 0 or len(tail) < place + 22:
        raise zipfile.BadZipFile("no end record")
    entries, list_bytes = struct.unpack("<HL", tail[place + 10 : place + 16])
    # The long form is for more than 65,535 entries or 4 GB, and would be believed before the short one.
    is_long = tail[max(0, place - 20) : place].startswith(LONG_RECORD)
    if is_long or entries > MOST_ENTRIES or list_bytes > MOST_LIST_BYTES:
        raise InvalidInput(
            f"The ZIP lists too much: one of {MOST_ENTRIES:,} entries at most is read, in the usual form "
            "and not ZIP64. Send several."
        )


def _is_ignored(info: zipfile.ZipInfo) -> bool:
    # Python 3.11's own `is_dir` fails on a name that is empty.
    return (
        info.filename.endswith("/")
        or info.filename.startswith(IGNORED)
        or info.filename.endswith(IGNORED)
    )


def _refusal(info: zipfile.ZipInfo) -> MiradaError | None:
    if not info.filename:
        return InvalidInput("It has no name, so it is not read.")
    parts = PurePosixPath(info.filename.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        return InvalidInput("Its name leads out of the ZIP, so it is not read.")
    if stat.S_ISLNK(info.external_attr >> 16):
        return InvalidInput("It is a link and no file, so it is not read.")
    if info.flag_bits & 1:
        return InvalidInput("It is encrypted, so it cannot be read.")
    if info.compress_type not in PACKINGS:
        return InvalidInput(
            "It is packed in a way that is not read here. Pack it as usual (deflate), or not at all."
        )
    return None
