"""The file of a snapshot's vectors: an IndexFlatIP, written row by row and never held in memory.

FAISS maps it without reading it, and the graph and exact scans share the mapping.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import faiss
import numpy as np

from mirada import private_files
from mirada.adapters.vector_index.faiss.block import VectorBlock
from mirada.adapters.vector_index.faiss.files import Sums, crc32_of_both, require_size
from mirada.kernel.embeddings import BLOB_DTYPE, Matrix
from mirada.kernel.errors import SnapshotInvalid

CHUNK_ROWS = 4_096
"""Rows read at a time: 8 MB of 512-d vectors."""
_HEADER = struct.Struct("<4sIqqq?iQ")
_UNUSED = 1 << 20


def header(dimension: int, count: int) -> bytes:
    """Return what precedes the rows in FAISS's file of an IndexFlatIP."""
    metric = int(faiss.METRIC_INNER_PRODUCT)
    numbers = dimension * count
    return _HEADER.pack(b"IxFI", dimension, count, _UNUSED, _UNUSED, True, metric, numbers)


class VectorsFile:
    """A file of (n, d) float32 rows that is being written.

    Used as a context; the number of rows is written into the head when all are there.
    """

    def __init__(self, path: Path, dimension: int) -> None:
        """Make the file. Raises OSError."""
        self.path = path
        self.dimension = dimension
        self.count = 0
        self._crc32 = 0
        self._file = private_files.open_file(path, "x+b")
        self._file.write(header(dimension, 0))

    def append(self, rows: Matrix) -> None:
        """Add rows. Raises OSError."""
        block = np.ascontiguousarray(rows, BLOB_DTYPE).data.cast("B")
        self._file.write(block)
        self._crc32 = zlib.crc32(block, self._crc32)
        self.count += len(rows)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the head and make the file durable. Raises OSError."""
        with self._file as file:
            if error is not None:
                return
            file.flush()
            file.seek(0)
            file.write(header(self.dimension, self.count))
            file.flush()
            os.fsync(file.fileno())
        require_size(self.path, _HEADER.size + self.count * self.dimension * 4)

    def chunks(self) -> Iterator[tuple[int, Matrix]]:
        """Yield (first row, rows) of the finished file, CHUNK_ROWS at a time. Raises OSError."""
        with self.path.open("rb") as file:
            file.seek(_HEADER.size)
            for first in range(0, self.count, CHUNK_ROWS):
                yield first, self._chunk(file.read(self._bytes_from(first)))

    def summed_chunks(self, sums: Sums) -> Iterator[tuple[int, Matrix]]:
        """Yield the same once, and fill in the file's sums when all of it was read.

        Raises:
            SnapshotInvalid: what comes back is not what was written.
            OSError: it cannot be read.
        """
        crc32, sha256 = 0, hashlib.sha256()
        with self.path.open("rb") as file:
            head = file.read(_HEADER.size)
            sha256.update(head)
            for first in range(0, self.count, CHUNK_ROWS):
                block = file.read(self._bytes_from(first))
                sha256.update(block)
                crc32 = zlib.crc32(block, crc32)
                yield first, self._chunk(block)
        if crc32 != self._crc32:
            raise SnapshotInvalid(f"{self.path.name}: the disk gave back other vectors.")
        size = self.count * self.dimension * 4
        sums["bytes"] = len(head) + size
        sums["crc32"] = crc32_of_both(zlib.crc32(head), crc32, size)
        sums["sha256"] = sha256.hexdigest()

    def _bytes_from(self, first: int) -> int:
        return min(CHUNK_ROWS, self.count - first) * self.dimension * 4

    def _chunk(self, block: bytes) -> Matrix:
        rows = np.frombuffer(block, BLOB_DTYPE).astype(np.float32, copy=False)
        return rows.reshape(-1, self.dimension)

    def mapped(self) -> VectorBlock:
        """Return the finished file's rows without reading them."""
        return VectorBlock.of_index(mapped_index(self.path))


def mapped_index(path: Path) -> Any:
    """Map a FAISS index from its file. Raises RuntimeError, as FAISS does."""
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
