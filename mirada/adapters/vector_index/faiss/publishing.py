"""Publish a snapshot: proven first, then recorded; and remove what nobody needs any more."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from mirada.adapters.vector_index.faiss.building import HNSW_M
from mirada.adapters.vector_index.faiss.drafts import Draft, disk_errors
from mirada.adapters.vector_index.faiss.files import Check
from mirada.adapters.vector_index.faiss.snapshot import (
    MANIFEST,
    VECTORS,
    OpenSnapshot,
    canaries,
    open_snapshot,
)
from mirada.kernel.errors import SnapshotInvalid, Unavailable
from mirada.ports import SnapshotRecord, VectorSource

logger = logging.getLogger(__name__)

KEPT_SNAPSHOTS = 2
ABANDONED_AFTER_S = 3600
"""A directory that no database row names and nobody wrote to for an hour was left by a crash."""
SPARE = 1.2
"""Free space demanded, as a factor of the expected size: the disk has other users."""
LINK_BYTES = HNSW_M * 2 * 4 * 1.1
OTHER_BYTES = 64
"""Of a row: its id, and about two images that show it."""
CANARY_DEPTH = 100
CLOSE = 1e-6


def require_room(parent: Path, rows: int, dimension: int) -> None:
    """Raise OSError when so many rows and their graph would not fit on the disk."""
    bits = dimension / 4 + 32
    expected = rows * (dimension * 4 + bits + LINK_BYTES + OTHER_BYTES)
    existing = next(each for each in (parent, *parent.parents) if each.exists())
    if shutil.disk_usage(existing).free < expected * SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def publish(
    draft: Draft,
    manifest: dict[str, Any],
    built_graph: Any,
    source: VectorSource,
    fencing_token: int,
) -> SnapshotRecord:
    """Prove and record a snapshot, then drop those it makes superfluous.

    Args:
        draft: with all files.
        manifest: what is to be said of them.
        built_graph: the graph in memory whose file the draft has, None where it has none.
        source: of its rows.
        fencing_token: of the builder's lease.

    Raises:
        StorageFull: no room; nothing was published.
        SnapshotInvalid: what came back from the disk is not what was written.
        LeaseLost: a newer builder took over; nothing was published.
        Unavailable: the folder or the database failed.
    """
    try:
        with disk_errors():
            directory, record = draft.finish(manifest)
        _prove(directory, record, built_graph, source)
        source.record_snapshot(record, fencing_token)
    except Unavailable:
        # The database may or may not have it; if not, the directory is swept up later.
        raise
    except BaseException:
        draft.discard()
        raise
    parent = directory.parent
    for old in source.retire_snapshots(KEPT_SNAPSHOTS):
        shutil.rmtree(parent / old, ignore_errors=True)
    _sweep(parent, source)
    return record


def _prove(directory: Path, record: SnapshotRecord, built_graph: Any, source: VectorSource) -> None:
    """Open what was written as a server would, and more strictly. Raises SnapshotInvalid."""
    # The sums of the vectors were taken of the finished file, as it was read back for building.
    checks = dict.fromkeys(record.manifest["files"], Check.SHA256) | {VECTORS: Check.SIZE}
    opened = open_snapshot(
        directory, record, space=source.space, db_epoch=record.db_epoch, checks=checks
    )
    queries, expected = canaries(directory)
    nearest = opened.vectors.nearest(queries)
    own = opened.vectors.take(np.searchsorted(opened.ids, expected[:, 0]))
    if np.any(nearest - np.einsum("ij,ij->i", queries, own) > CLOSE):
        raise SnapshotInvalid(f"{record.name}: a canary finds another nearest vector.")
    if opened.quantised is not None:
        _compare_scans(opened, queries, expected)
    if opened.graph is not None:
        _compare_walks(opened, built_graph, queries, expected.shape[1])


def _compare_scans(opened: OpenSnapshot, queries: Any, expected: Any) -> None:
    """Let the quantised form find the nearest of each canary: one in two of what it should is enough."""
    assert opened.quantised is not None
    hits = 0
    for query, answer in zip(queries, expected, strict=True):
        nearest = np.searchsorted(opened.ids, answer[:1])
        rows = opened.quantised.candidates(query, CANARY_DEPTH).rows
        # Any vector as near will do: among a thousand equal ones nobody can say which come up.
        best = opened.vectors.inner_products(query, rows).max(initial=-np.inf)
        hits += int(best >= opened.vectors.inner_products(query, nearest)[0] - CLOSE)
    if hits < len(queries) / 2:
        raise SnapshotInvalid(f"{opened.record.name}: its quantised form misses its canaries.")


def _compare_walks(opened: OpenSnapshot, built_graph: Any, queries: Any, k: int) -> None:
    walk = faiss.SearchParametersHNSW(efSearch=HNSW_M * 4, bounded_queue=True)
    before, _ = built_graph.search(queries, k, params=walk)
    after, _ = opened.graph.search(queries, k, params=walk)
    if not np.allclose(before, after, atol=CLOSE):
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
