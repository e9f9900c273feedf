"""Files of a snapshot: written through a sink that counts and sums them, linked, and read again."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np

from mirada import private_files
from mirada.kernel.errors import SnapshotInvalid

READ_BYTES = 1 << 20

Sums = dict[str, Any]
"""bytes, crc32 and sha256 of a file."""


class Check(Enum):
    """How closely a file is compared with its sums; each includes those before it.

    SHA-256 takes ten times as long as CRC-32, which reads the file and so takes longer than its size.
    """

    SIZE = "size"
    CRC32 = "crc32"
    SHA256 = "sha256"


class Summing:
    """Size, CRC-32 and, if asked, SHA-256 of bytes that come in pieces."""

    def __init__(self, *, with_sha256: bool = True) -> None:
        """Begin with nothing."""
        self.size = 0
        self.crc32 = 0
        self._sha256 = hashlib.sha256() if with_sha256 else None

    def add(self, block: bytes | memoryview) -> None:
        """Take the next piece."""
        self.size += len(block)
        self.crc32 = zlib.crc32(block, self.crc32)
        if self._sha256 is not None:
            self._sha256.update(block)

    def sums(self) -> Sums:
        """Return what a manifest says of the file."""
        found: Sums = {"bytes": self.size, "crc32": self.crc32}
        return found if self._sha256 is None else found | {"sha256": self._sha256.hexdigest()}


def crc32_of_both(first: int, second: int, size: int) -> int:
    """Return the CRC-32 of two pieces one behind the other, from those of each, without reading them.

    A CRC is linear over GF(2): zeros behind the first piece change its CRC by a matrix, whose powers are
    squared. Source: crc32_combine of zlib.

    Args:
        first: CRC-32 of the first piece.
        second: CRC-32 of the second.
        size: bytes of the second.
    """
    # One zero bit, then two, four, and so on.
    power = [0xEDB88320, *(1 << bit for bit in range(31))]
    bits = 8 * size
    while bits:
        if bits & 1:
            first = _times(power, first)
        power = [_times(power, row) for row in power]
        bits >>= 1
    return first ^ second


def _times(matrix: list[int], vector: int) -> int:
    found = 0
    for row in matrix:
        if vector & 1:
            found ^= row
        vector >>= 1
    return found


class _Sink:
    """A file that sums what it is given, and remembers why it could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.summing = Summing()
        self.error: OSError | None = None

    def write(self, block: bytes) -> int:
        try:
            self._file.write(block)
        except OSError as error:
            self.error = error
            raise
        self.summing.add(block)
        return len(block)


def write_file(path: Path, write: Callable[[Any], object]) -> Sums:
    """Let `write` fill a new private file through a sink; return its sums once it is on the disk.

    Raises:
        OSError: it cannot be written, or was cut short.
    """
    with private_files.open_file(path, "xb") as file:
        sink = _Sink(file)
        try:
            write(sink)
        except RuntimeError:
            # FAISS reports every failure of a sink so.
            if sink.error is not None:
                raise sink.error from None
            raise
        file.flush()
        os.fsync(file.fileno())
    require_size(path, sink.summing.size)
    return sink.summing.sums()


def write_index(path: Path, index: Any, flags: int = 0) -> Sums:
    """Write a FAISS index. Raises OSError.

    `faiss.write_index` to a path can truncate the file on a full disk and say nothing.
    """
    return write_file(
        path, lambda sink: faiss.write_index(index, faiss.PyCallbackIOWriter(sink.write), flags)
    )


def write_array(path: Path, array: Any) -> Sums:
    """Write a numpy array without pickles. Raises OSError."""
    return write_file(path, lambda sink: np.lib.format.write_array(sink, array, allow_pickle=False))


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that never changes a second name; copy it where the disk has no links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(private_files.FILE_MODE)
        with target.open("rb") as file:
            os.fsync(file.fileno())


def fsync_directory(path: Path) -> None:
    """Make names durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_size(path: Path, size: int) -> None:
    """Raise OSError when a file has another size: the disk is full."""
    found = path.stat().st_size
    if found != size:
        raise OSError(28, f"{path.name} was cut short at {found} of {size} bytes")


def compare(path: Path, expected: Sums, check: Check) -> None:
    """Compare a file with its sums.

    Raises:
        SnapshotInvalid: any of them differs.
        OSError: it cannot be read.
    """
    if path.stat().st_size != expected["bytes"]:
        raise SnapshotInvalid(f"{path.parent.name}: {path.name} has another size than published.")
    if check is Check.SIZE:
        return
    summing = Summing(with_sha256=check is Check.SHA256)
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            summing.add(block)
    for key, value in summing.sums().items():
        if value != expected[key]:
            raise SnapshotInvalid(f"{path.parent.name}: {path.name} fails its {key} check.")
