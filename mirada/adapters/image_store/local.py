"""The image store on a local file system: originals as files below one folder, durably written."""

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

from mirada import private_files
from mirada.kernel.errors import InvalidInput, NotFound, StorageFull, Unavailable
from mirada.ports import StagedFile

logger = logging.getLogger(__name__)

STAGING = ".staging"
"""The folder of unfinished uploads. Its name is no part of a key, since keys have no hidden parts."""
LEFTOVER_AGE_S = 24 * 3600
"""research, reliability 4: no upload takes a day, so an older file was left by a crash."""
BUFFER_BYTES = 256 * 1024
"""Bytes written at once; chosen here, a small part of a photograph."""
KEY = re.compile(r"(?:[0-9A-Za-z_][0-9A-Za-z._-]{0,127}/){0,7}[0-9A-Za-z_][0-9A-Za-z._-]{0,127}")
"""A key is a relative path without empty or hidden parts, so `..` cannot lead out of the folder."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that need room, not a retry: no space, no quota, a file beyond the process's limit."""


class LocalImageStore:
    """The store `ports.ImageStore` in a folder. Thread-safe; several processes may share the folder.

    A file is staged on the file system of its final place, so committing it is one rename.
    """

    def __init__(self, root: Path) -> None:
        """Make the folder, and remove staged files older than LEFTOVER_AGE_S, which a crash left.

        Raises:
            StorageFull, Unavailable: the folder cannot be made or read.
        """
        self._root = root
        self._staging = root / STAGING
        with storage_errors("prepared"):
            private_files.make_folder(self._staging)
            self._remove_leftovers()

    def stage(self) -> StagedFile:
        """Return a new staged file. Raises StorageFull or Unavailable."""
        with storage_errors("written"):
            private_files.make_folder(self._staging)
            return LocalStagedFile(self._staging / secrets.token_hex(16))

    def commit(self, staged: StagedFile, key: str) -> None:
        """Make the staged bytes durable under `key`; discard them if the key exists.

        The file is synced, then renamed, then every folder with a new entry is synced. So a power
        cut leaves either no such key or all of its bytes.

        Raises:
            InvalidInput: `key` is not a key.
            StorageFull, Unavailable: nothing was committed.
        """
        target = self._locate(key)
        assert isinstance(staged, LocalStagedFile)
        with storage_errors("kept"):
            staged.sync_and_close()
            if target.exists():
                staged.discard()
                return
            grown = private_files.make_folder(target.parent)
            staged.move_to(target)
            for folder in (target.parent, *grown):
                _sync_folder(folder)

    def path(self, key: str) -> Path:
        """Return the path of a stored file.

        Raises:
            InvalidInput: `key` is not a key.
            NotFound: the store has no such file.
            Unavailable: the store itself is absent, such as a volume that is not mounted.
        """
        path = self._locate(key)
        with storage_errors("read"):
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
        """Remove a stored file; harmless when it is absent. Raises InvalidInput or Unavailable."""
        with storage_errors("removed"):
            self._locate(key).unlink(missing_ok=True)

    def probe(self) -> None:
        """Check that the store takes files: write and remove one byte. Raises StorageFull or Unavailable."""
        staged = self.stage()
        try:
            staged.stream.write(b"\0")
            assert isinstance(staged, LocalStagedFile)
            with storage_errors("written"):
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
            # Another process that starts at the same time may have removed it.
            with suppress(FileNotFoundError):
                if leftover.lstat().st_mtime < oldest:
                    leftover.unlink()
                    logger.info("Removed an upload that a crash had left behind.")


class LocalStagedFile:
    """The file `ports.StagedFile` in the staging folder, hashed while it is written."""

    def __init__(self, path: Path) -> None:
        """Create the file. Raises OSError."""
        self._path = path
        self._stream = _HashingWriter(path)
        self._is_gone = False

    @property
    def stream(self) -> BinaryIO:
        """The stream to write to; every write updates the hash and the size."""
        return cast(BinaryIO, self._stream)

    @property
    def path(self) -> Path:
        """The path of the file until it is committed; every byte is flushed to it."""
        self._stream.flush()
        return self._path

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far: 64 lower-case hex digits."""
        return self._stream.sha256.hexdigest()

    @property
    def byte_size(self) -> int:
        """Number of bytes written so far."""
        return self._stream.byte_size

    def sync_and_close(self) -> None:
        """Write every byte to the disk and close the file. Raises OSError."""
        self._stream.sync()
        self._stream.close()

    def move_to(self, target: Path) -> None:
        """Rename the file to its final place. Raises OSError."""
        self._path.replace(target)
        self._is_gone = True

    def discard(self) -> None:
        """Remove the file unless it was committed; harmless to repeat."""
        # The bytes in the buffer may not fit on the disk, but the file is removed anyway.
        with suppress(OSError):
            self._stream.close()
        if not self._is_gone:
            self._is_gone = True
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                # An error here would hide the one that led to it; a later start removes the file.
                logger.warning("A staged file stays behind: %s", error.strerror)


class _HashingWriter(io.RawIOBase):
    """A file that counts and hashes its bytes; OSErrors become StorageFull or Unavailable."""

    _file: Any = None
    """None where it could not be opened: Python closes a stream all the same that was not made whole."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = private_files.open_file(path, "xb", BUFFER_BYTES)
        self.sha256 = hashlib.sha256()
        self.byte_size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        with storage_errors("written"):
            written = int(self._file.write(data))
        self.sha256.update(data)
        self.byte_size += written
        return written

    def flush(self) -> None:
        if self._file is not None and not self._file.closed:
            with storage_errors("written"):
                self._file.flush()

    def sync(self) -> None:
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if not self.closed:
            try:
                if self._file is not None:
                    self._file.close()
            finally:
                super().close()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(verb: str) -> Iterator[None]:
    """Raise StorageFull or Unavailable for errors of the disk; `verb` says what could not be done."""
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
