"""Originals as files below one folder, durable before anybody hears of them."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from mirada.kernel.errors import InvalidInput, NotFound, StorageFull, Unavailable
from mirada.ports import StagedFile

logger = logging.getLogger(__name__)

STAGING = ".staging"
LEFTOVER_AGE_S = 24 * 3600
"""research, reliability 4: no upload takes a day, so what is older was left by a crash."""
BUFFER_BYTES = 256 * 1024
KEY = re.compile(r"(?:[0-9A-Za-z_][0-9A-Za-z._-]{0,127}/){0,7}[0-9A-Za-z_][0-9A-Za-z._-]{0,127}")
"""Relative, no empty or hidden part, so never `..`: a key cannot leave the folder."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space, no quota left, and a file beyond the process's limit: all need room, not a retry."""


class LocalImageStore:
    """ports.ImageStore on a local file system. Thread-safe; several processes may share the folder.

    A file is staged on the file system it will stay on, so that committing it is one rename.
    """

    def __init__(self, root: Path) -> None:
        """Make the folder and remove what a crash left in its staging area a day ago or earlier.

        Raises:
            StorageFull, Unavailable: the folder cannot be made or read.
        """
        self._root = root
        self._staging = root / STAGING
        with _storage_errors("prepared"):
            self._staging.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()

    def stage(self) -> StagedFile:
        """Begin a file. Raises StorageFull or Unavailable."""
        with _storage_errors("written"):
            self._staging.mkdir(parents=True, exist_ok=True)
            return LocalStagedFile(self._staging / secrets.token_hex(16))

    def commit(self, staged: StagedFile, key: str) -> None:
        """Make the staged bytes durable under `key`; if the key exists, drop them.

        The file is synced, then renamed, then every folder that gained an entry is synced: a power
        cut leaves either no such key or all of its bytes.

        Raises:
            InvalidInput: not a key.
            StorageFull, Unavailable: nothing was committed.
        """
        target = self._locate(key)
        assert isinstance(staged, LocalStagedFile)
        with _storage_errors("kept"):
            staged.sync_and_close()
            if target.exists():
                staged.discard()
                return
            grown = _make_folders(target.parent)
            staged.move_to(target)
            for folder in (target.parent, *grown):
                _sync_folder(folder)

    def path(self, key: str) -> Path:
        """Return the file's path.

        Raises:
            NotFound: there are no such bytes.
            Unavailable: the store itself is not there.
        """
        path = self._locate(key)
        with _storage_errors("read"):
            is_there = path.is_file()
            is_mounted = is_there or self._staging.is_dir()
        if not is_mounted:
            raise Unavailable("The file store is not there; is its volume mounted?")
        if not is_there:
            raise NotFound(
                "The picture's file is missing from the store. If the store was restored from a "
                "backup, restore a later one."
            )
        return path

    def delete(self, key: str) -> None:
        """Remove the bytes; harmless when absent. Raises Unavailable."""
        with _storage_errors("removed"):
            self._locate(key).unlink(missing_ok=True)

    def probe(self) -> None:
        """Write and remove a byte. Raises StorageFull or Unavailable."""
        staged = self.stage()
        try:
            staged.stream.write(b"\0")
            assert isinstance(staged, LocalStagedFile)
            with _storage_errors("written"):
                staged.sync_and_close()
        finally:
            staged.discard()

    def _locate(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise InvalidInput("This is not the key of a stored picture.")
        return self._root / key

    def _remove_leftovers(self) -> None:
        oldest = time.time() - LEFTOVER_AGE_S
        for leftover in self._staging.iterdir():
            try:
                if leftover.lstat().st_mtime < oldest:
                    leftover.unlink()
                    logger.info("Removed an upload that a crash had left behind.")
            except FileNotFoundError:
                # Another process starts at the same time and was quicker.
                continue


class LocalStagedFile:
    """ports.StagedFile: a nameless file below the staging folder, hashed as it is written."""

    def __init__(self, path: Path) -> None:
        """Create the file. Raises OSError."""
        self._path = path
        self._stream = _HashingWriter(path)
        self._is_gone = False

    @property
    def stream(self) -> BinaryIO:
        """Write here; the hash and the size follow every write."""
        return cast(BinaryIO, self._stream)

    @property
    def path(self) -> Path:
        """Where the bytes are until they are committed, written out completely."""
        self._stream.flush()
        return self._path

    @property
    def sha256(self) -> str:
        """64 lower-case hex digits of what was written so far."""
        return self._stream.sha256.hexdigest()

    @property
    def byte_size(self) -> int:
        """How many bytes were written so far."""
        return self._stream.byte_size

    def sync_and_close(self) -> None:
        """Bring every byte to the disk. Raises OSError."""
        self._stream.sync()
        self._stream.close()

    def move_to(self, target: Path) -> None:
        """Give the file its name. Raises OSError."""
        self._path.replace(target)
        self._is_gone = True

    def discard(self) -> None:
        """Remove the file unless it was committed; harmless to repeat."""
        self._stream.abandon()
        if not self._is_gone:
            self._is_gone = True
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                # Cleaning up must not hide why; the next start removes it.
                logger.warning("A staged file stays behind: %s", error.strerror)


class _HashingWriter(io.RawIOBase):
    """A file that counts and hashes what passes; errors of the disk become ours."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("xb", buffering=BUFFER_BYTES)
        self.sha256 = hashlib.sha256()
        self.byte_size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        with _storage_errors("written"):
            written = self._file.write(data)
        self.sha256.update(data)
        self.byte_size += written
        return written

    def flush(self) -> None:
        if not self._file.closed:
            with _storage_errors("written"):
                self._file.flush()

    def sync(self) -> None:
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if not self.closed:
            try:
                self._file.close()
            finally:
                super().close()

    def abandon(self) -> None:
        # What the buffer still holds may not fit on the disk; the file is closed and goes anyhow.
        with suppress(OSError):
            self.close()


def _make_folders(folder: Path) -> list[Path]:
    """Make the folder; return those that thereby gained an entry and must be synced."""
    grown: list[Path] = []
    missing = folder
    while not missing.exists():
        missing = missing.parent
        grown.append(missing)
    folder.mkdir(parents=True, exist_ok=True)
    return grown


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _storage_errors(verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull(
                f"The picture could not be {verb}: the disk is full. Make room, then send it again.",
                retry_after_s=60,
            ) from error
        raise Unavailable(
            f"The picture could not be {verb}: the file store reports "
            f"'{error.strerror or type(error).__name__}'."
        ) from error
