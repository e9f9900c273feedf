"""The snapshot's format, and opening one: every check is made before a single answer is given.

A snapshot is a directory `<faiss_index_dir>/<db_epoch>/<name>` that is never changed once it has
that name: index.faiss (the vectors, and the graph), ids.npy (embedding id per row, ascending), three
access arrays, two of canaries, and manifest.json, which holds size, CRC-32 and SHA-256 of each. The
manifest's own SHA-256 is in the database; a directory the database does not name is nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.access import AccessTable, Ids
from mirada.adapters.vector_index.faiss.block import VectorBlock
from mirada.kernel.embeddings import EmbeddingSpace
from mirada.kernel.errors import SnapshotInvalid, Unavailable
from mirada.kernel.similarity import BACKGROUND_ROWS, sampling_order
from mirada.ports import SnapshotRecord

FORMAT = 1
MANIFEST = "manifest.json"
INDEX = "index.faiss"
ARRAYS = (
    "ids",
    "access_rows",
    "access_owners",
    "access_public",
    "canary_queries",
    "canary_ids",
)
METRIC = "inner_product"
READ_BYTES = 1 << 20
PROCESS_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What says nothing about a file: this process has too many open, or no memory to map it."""
SAMPLE_ROWS = 8 * BACKGROUND_ROWS
"""Enough that a caller who may see an eighth of the rows needs no second look for a background."""

Fingerprint = tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """A checked snapshot. Its vectors and graph are mapped, shared by all processes; immutable.

    Attributes:
        record: as the database has it.
        directory: where it lies.
        index: an IndexFlat or IndexHNSWFlat over inner products.
        vectors: the same rows, for exact scans.
        ids: (n,) int64, ascending.
        access: who may see each row.
        sample: rows in `sampling_order`, the first SAMPLE_ROWS of them.
        ef_search: the measured beam; None where there is no graph, or none that reached its target.
        fingerprint: what `stat` said of the files when they were checked.
    """

    record: SnapshotRecord
    directory: Path
    index: Any
    vectors: VectorBlock
    ids: Ids
    access: AccessTable
    sample: Ids
    ef_search: int | None
    fingerprint: Fingerprint


def open_snapshot(
    directory: Path,
    record: SnapshotRecord,
    *,
    space: EmbeddingSpace,
    db_epoch: str,
    with_sha256: bool = False,
) -> OpenSnapshot:
    """Check a snapshot and map it.

    Sizes and CRC-32 are always compared. SHA-256, ten times slower, is the publisher's check.

    Raises:
        SnapshotInvalid: any check failed; the message says which.
        Unavailable: it is this process that cannot read it, and others may.
    """
    try:
        fingerprint = fingerprint_of(directory)
        manifest = _manifest(directory, record, space, db_epoch)
        for name, expected in manifest["files"].items():
            _compare(directory / name, expected, with_sha256)
        arrays = {name: np.load(directory / f"{name}.npy", allow_pickle=False) for name in ARRAYS}
        index = faiss.read_index(str(directory / INDEX), faiss.IO_FLAG_MMAP_IFC)
    except PermissionError as error:
        raise Unavailable(f"{record.name} may not be read by this process: {error}") from error
    except OSError as error:
        if error.errno in PROCESS_TROUBLE:
            raise Unavailable(f"{record.name} cannot be opened just now: {error}") from error
        raise SnapshotInvalid(f"{record.name} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        # FAISS raises RuntimeError; whatever a damaged file makes of the others is no better.
        raise SnapshotInvalid(f"{record.name} cannot be read: {error}") from error
    ids = arrays["ids"]
    _require_shape(record, space, index, ids)
    return OpenSnapshot(
        record=record,
        directory=directory,
        index=index,
        vectors=VectorBlock.of_index(index),
        ids=ids,
        access=AccessTable.build(
            ids.size, arrays["access_rows"], arrays["access_owners"], arrays["access_public"]
        ),
        sample=np.argsort(sampling_order(ids), kind="stable")[:SAMPLE_ROWS],
        ef_search=manifest["parameters"].get("ef_search"),
        fingerprint=fingerprint,
    )


def _require_shape(record: SnapshotRecord, space: EmbeddingSpace, index: Any, ids: Ids) -> None:
    shape = (int(index.ntotal), int(index.d), index.metric_type)
    expected = (record.row_count, space.dimension, faiss.METRIC_INNER_PRODUCT)
    if shape != expected or ids.shape != (record.row_count,):
        raise SnapshotInvalid(f"{record.name} holds other rows than its record says: {shape}.")


def canaries(directory: Path) -> tuple[npt.NDArray[np.float32], Ids]:
    """Return the stored (c, d) queries and their (c, k) exact answers."""
    queries, answers = (
        np.load(directory / f"{name}.npy", allow_pickle=False)
        for name in ("canary_queries", "canary_ids")
    )
    return queries, answers


def fingerprint_of(directory: Path) -> Fingerprint:
    """Return what tells whether any file was replaced or written to. Raises OSError."""
    names = (MANIFEST, INDEX, *(f"{name}.npy" for name in ARRAYS))
    stats = [(directory / name).stat() for name in names]
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats)


def sums_of(path: Path, *, with_sha256: bool) -> dict[str, Any]:
    """Return size, CRC-32 and, if asked, SHA-256 of a file. Raises OSError."""
    size, crc, sha = 0, 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            size += len(block)
            crc = zlib.crc32(block, crc)
            if with_sha256:
                sha.update(block)
    sums: dict[str, Any] = {"bytes": size, "crc32": crc}
    return sums | ({"sha256": sha.hexdigest()} if with_sha256 else {})


def _manifest(
    directory: Path, record: SnapshotRecord, space: EmbeddingSpace, db_epoch: str
) -> dict[str, Any]:
    text = (directory / MANIFEST).read_bytes()
    if hashlib.sha256(text).hexdigest() != record.sha256:
        raise SnapshotInvalid(f"{record.name}: its manifest is not the published one.")
    manifest: dict[str, Any] = json.loads(text)
    expected = {
        "format": FORMAT,
        "space": space.name,
        "dimension": space.dimension,
        "metric": METRIC,
        "db_epoch": db_epoch,
        "change_seq": record.change_seq,
        "row_count": record.row_count,
        "faiss_version": faiss.__version__,
    }
    for key, value in expected.items():
        if manifest.get(key) != value:
            raise SnapshotInvalid(
                f"{record.name}: {key} is {manifest.get(key)!r} and should be {value!r}."
            )
    return manifest


def _compare(path: Path, expected: Mapping[str, Any], with_sha256: bool) -> None:
    if path.stat().st_size != expected["bytes"]:
        raise SnapshotInvalid(f"{path.parent.name}: {path.name} has another size than published.")
    found = sums_of(path, with_sha256=with_sha256)
    for key, value in found.items():
        if value != expected[key]:
            raise SnapshotInvalid(f"{path.parent.name}: {path.name} fails its {key} check.")
