"""Write a snapshot so that it is either complete and proven, or nothing.

`faiss.write_index` can truncate a file on a full disk and say nothing. So FAISS writes through a
counting sink, and sizes are compared after fsync. The snapshot is then opened, summed and searched
again before the database is told.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np

from mirada import private_files
from mirada.adapters.vector_index.faiss.building import HNSW_M, BuiltIndex
from mirada.adapters.vector_index.faiss.snapshot import (
    ARRAYS,
    FORMAT,
    INDEX,
    MANIFEST,
    METRIC,
    OpenSnapshot,
    canaries,
    open_snapshot,
)
from mirada.kernel.embeddings import EmbeddingSpace
from mirada.kernel.errors import SnapshotInvalid, StorageFull, Unavailable
from mirada.ports import SnapshotRecord, VectorSource

logger = logging.getLogger(__name__)

KEPT_SNAPSHOTS = 2
ABANDONED_AFTER_S = 3600
"""A directory that no database row names and nobody wrote to for an hour was left by a crash."""
SPARE = 1.2
"""Free space demanded, as a factor of the expected size: the disk has other users."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def publish(
    built: BuiltIndex,
    source: VectorSource,
    root: Path,
    *,
    change_seq: int,
    db_epoch: str,
    fencing_token: int,
) -> SnapshotRecord:
    """Write, prove and record a snapshot, then drop all but two good ones.

    Raises:
        StorageFull: no room; nothing was published.
        SnapshotInvalid: what came back from the disk is not what was written.
        LeaseLost: a newer builder took over; nothing was published.
        Unavailable: the folder or the database failed.
    """
    name = f"snap-{uuid.uuid4()}"
    parent = root / db_epoch
    try:
        private_files.make_folder(parent)
        _require_room(parent, built)
        record = _write(built, source, parent, name, change_seq, db_epoch)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull(
                "The disk is full, so no index snapshot was published; search goes on without."
            ) from error
        raise Unavailable(f"The index folder cannot be written: {error.strerror}.") from error
    try:
        _prove(parent / name, built, record, source)
        source.record_snapshot(record, fencing_token)
    except Unavailable:
        # The database may or may not have it; if not, the directory is swept up later.
        raise
    except BaseException:
        shutil.rmtree(parent / name, ignore_errors=True)
        raise
    for old in source.retire_snapshots(KEPT_SNAPSHOTS):
        shutil.rmtree(parent / old, ignore_errors=True)
    _sweep(parent, source)
    return record


def _require_room(parent: Path, built: BuiltIndex) -> None:
    rows, dimension = int(built.index.ntotal), int(built.index.d)
    links = HNSW_M * 2 * 4 * 1.1 if built.kind == "hnsw" else 0
    expected = rows * (dimension * 4 + links + 32) + built.access_rows.size * 17
    if shutil.disk_usage(parent).free < expected * SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write(
    built: BuiltIndex,
    source: VectorSource,
    parent: Path,
    name: str,
    change_seq: int,
    db_epoch: str,
) -> SnapshotRecord:
    unfinished = parent / f"{name}.tmp"
    try:
        unfinished.mkdir(mode=private_files.FOLDER_MODE)
        files = {INDEX: _write_file(unfinished / INDEX, lambda sink: _write_index(built, sink))}
        for field in ARRAYS:
            files[f"{field}.npy"] = _write_array(unfinished, field, getattr(built, field))
        manifest = {
            **_described(built, source.space),
            "change_seq": change_seq,
            "db_epoch": db_epoch,
            "files": files,
        }
        text = json.dumps(manifest, indent=1).encode()
        _write_file(unfinished / MANIFEST, lambda sink: sink.write(text))
        _fsync_directory(unfinished)
        unfinished.rename(parent / name)
        _fsync_directory(parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return SnapshotRecord(
        name=name,
        change_seq=change_seq,
        db_epoch=db_epoch,
        sha256=hashlib.sha256(text).hexdigest(),
        row_count=int(built.ids.size),
        manifest=manifest,
    )


def _described(built: BuiltIndex, space: EmbeddingSpace) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "space": space.name,
        "dimension": space.dimension,
        "metric": METRIC,
        "kind": built.kind,
        "row_count": int(built.ids.size),
        "last_id": int(built.ids[-1]),
        "faiss_version": faiss.__version__,
        "parameters": built.parameters,
        "recall": built.recall,
    }


class _Sink:
    """A file that counts and sums what it is given, and remembers why it could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.crc32 = 0
        self.sha256 = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, block: bytes) -> int:
        try:
            self._file.write(block)
        except OSError as error:
            self.error = error
            raise
        self.size += len(block)
        self.crc32 = zlib.crc32(block, self.crc32)
        self.sha256.update(block)
        return len(block)


def _write_file(path: Path, write: Callable[[_Sink], object]) -> dict[str, Any]:
    with private_files.open_file(path, "xb") as file:
        sink = _Sink(file)
        write(sink)
        file.flush()
        os.fsync(file.fileno())
    if path.stat().st_size != sink.size:
        raise OSError(errno.ENOSPC, f"{path.name} was cut short")
    return {"bytes": sink.size, "crc32": sink.crc32, "sha256": sink.sha256.hexdigest()}


def _write_index(built: BuiltIndex, sink: _Sink) -> None:
    try:
        faiss.write_index(built.index, faiss.PyCallbackIOWriter(sink.write))
    except RuntimeError:
        if sink.error is not None:
            raise sink.error from None
        raise


def _write_array(directory: Path, name: str, array: Any) -> dict[str, Any]:
    return _write_file(
        directory / f"{name}.npy",
        lambda sink: np.lib.format.write_array(sink, array, allow_pickle=False),
    )


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prove(
    directory: Path, built: BuiltIndex, record: SnapshotRecord, source: VectorSource
) -> None:
    """Open what was written as a server would, and more strictly. Raises SnapshotInvalid."""
    opened = open_snapshot(
        directory, record, space=source.space, db_epoch=record.db_epoch, with_sha256=True
    )
    queries, expected = canaries(directory)
    for query, answer in zip(queries, expected, strict=True):
        products = opened.vectors.inner_products(query)
        if not np.isin(opened.ids[np.argmax(products)], answer[:1]) and (
            products.max() - products[np.searchsorted(opened.ids, answer[0])] > 1e-6
        ):
            raise SnapshotInvalid(f"{record.name}: a canary finds another nearest vector.")
    if built.kind == "hnsw":
        _compare_walks(opened, built, queries, expected.shape[1])


def _compare_walks(opened: OpenSnapshot, built: BuiltIndex, queries: Any, k: int) -> None:
    walk = faiss.SearchParametersHNSW(efSearch=opened.ef_search or HNSW_M * 4, bounded_queue=True)
    before, _ = built.index.search(queries, k, params=walk)
    after, _ = opened.index.search(queries, k, params=walk)
    if not np.allclose(before, after, atol=1e-6):
        raise SnapshotInvalid(f"{opened.record.name}: its graph answers otherwise than it did.")


def _sweep(parent: Path, source: VectorSource) -> None:
    """Remove what crashed builders of this space, and forgotten snapshots, left behind."""
    known = {record.name for record in source.snapshots()}
    now = time.time()
    for directory in parent.glob("snap-*"):
        try:
            if directory.name in known or now - directory.stat().st_mtime < ABANDONED_AFTER_S:
                continue
            if directory.suffix != ".tmp" and _space_of(directory) != source.space.name:
                continue
        except FileNotFoundError:
            continue
        logger.info("Removing the abandoned snapshot %s.", directory.name)
        shutil.rmtree(directory, ignore_errors=True)


def _space_of(directory: Path) -> str | None:
    try:
        return str(json.loads((directory / MANIFEST).read_bytes())["space"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
