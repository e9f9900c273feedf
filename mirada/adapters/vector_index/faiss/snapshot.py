"""The snapshot's format, and opening one: every check is made before a single answer is given.

A snapshot is a directory `<faiss_index_dir>/<db_epoch>/<name>` that is never changed once it has
that name. It holds vectors.faiss, and quantised.faiss and graph.faiss from 20,000 rows on. Arrays are
ids.npy (embedding id per row, ascending), three of access, two of canaries, and two of the rotation
before the quantised form. The file manifest.json
has size, CRC-32 and SHA-256 of each. The manifest's own SHA-256 is in the database; a directory the
database does not name is nothing. Two snapshots of the same rows share files by links.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.access import AccessTable, Ids
from mirada.adapters.vector_index.faiss.block import VectorBlock
from mirada.adapters.vector_index.faiss.files import Check, compare
from mirada.adapters.vector_index.faiss.planning import Costs, Planner, WaySetting
from mirada.adapters.vector_index.faiss.quantised import QuantisedForm
from mirada.adapters.vector_index.faiss.rotation import Rotation
from mirada.adapters.vector_index.faiss.vectors_file import mapped_index
from mirada.kernel.embeddings import EmbeddingSpace
from mirada.kernel.errors import SnapshotInvalid, Unavailable
from mirada.kernel.similarity import BACKGROUND_ROWS, sampling_order
from mirada.ports import SnapshotRecord

FORMAT = 3
MANIFEST = "manifest.json"
VECTORS = "vectors.faiss"
QUANTISED = "quantised.faiss"
GRAPH = "graph.faiss"
ARRAYS = (
    "ids",
    "access_rows",
    "access_owners",
    "access_public",
    "canary_queries",
    "canary_ids",
)
ROTATION = ("rotation_columns", "rotation_rows")
"""Arrays beside the quantised form."""
METRIC = "inner_product"
PROCESS_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What says nothing about a file: this process has too many open, or no memory to map it."""
SAMPLE_ROWS = 8 * BACKGROUND_ROWS
"""Enough that a caller who may see an eighth of the rows needs no second look for a background."""

NO_CHECKS: Mapping[str, Check] = {}

Fingerprint = tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """A checked snapshot. Vectors and graph are mapped, shared by all processes; immutable.

    Attributes:
        record: as the database has it.
        directory: where it lies.
        vectors: its rows, for exact scans.
        quantised: the same in their quantised form; None where every answer is exact.
        graph: an IndexHNSWFlat over them; None where there is none.
        ids: (n,) int64, ascending.
        access: who may see each row.
        sample: rows in `sampling_order`, the first SAMPLE_ROWS of them.
        planner: what was measured of it.
        fingerprint: what `stat` said of the files when they were checked.
    """

    record: SnapshotRecord
    directory: Path
    vectors: VectorBlock
    quantised: QuantisedForm | None
    graph: Any
    ids: Ids
    access: AccessTable
    sample: Ids
    planner: Planner
    fingerprint: Fingerprint


def open_snapshot(
    directory: Path,
    record: SnapshotRecord,
    *,
    space: EmbeddingSpace,
    db_epoch: str,
    checks: Mapping[str, Check] = NO_CHECKS,
) -> OpenSnapshot:
    """Check a snapshot and map it.

    Args:
        directory: its folder.
        record: as the database has it.
        space: of its vectors.
        db_epoch: of the database.
        checks: of files by name; the others are compared by size and CRC-32.

    Raises:
        SnapshotInvalid: any check failed; the message says which.
        Unavailable: it is this process that cannot read it, and others may.
    """
    try:
        manifest = _manifest(directory, record, space, db_epoch)
        fingerprint = fingerprint_of(directory, record)
        for name, expected in manifest["files"].items():
            compare(directory / name, expected, checks.get(name, Check.CRC32))
        arrays = {name: _array(directory, name) for name in ARRAYS}
        return _opened(directory, record, arrays, fingerprint)
    except PermissionError as error:
        raise Unavailable(f"{record.name} may not be read by this process: {error}") from error
    except OSError as error:
        if error.errno in PROCESS_TROUBLE:
            raise Unavailable(f"{record.name} cannot be opened just now: {error}") from error
        raise SnapshotInvalid(f"{record.name} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        # FAISS raises RuntimeError; whatever a damaged file makes of the others is no better.
        raise SnapshotInvalid(f"{record.name} cannot be read: {error}") from error


def _opened(
    directory: Path,
    record: SnapshotRecord,
    arrays: dict[str, npt.NDArray[Any]],
    fingerprint: Fingerprint,
) -> OpenSnapshot:
    manifest = record.manifest
    stored = mapped_index(directory / VECTORS)
    dimension, ids = int(manifest["dimension"]), arrays["ids"]
    _require_shape(record, dimension, stored, ids)
    vectors = VectorBlock.of_index(stored)
    vectors.touch()
    quantised = graph = None
    if QUANTISED in manifest["files"]:
        rotation = Rotation(*(_array(directory, name) for name in ROTATION))
        quantised = QuantisedForm.read(directory / QUANTISED, rotation)
        if len(quantised) != record.row_count:
            raise SnapshotInvalid(f"{record.name}: its quantised form has {len(quantised)} rows.")
    if GRAPH in manifest["files"]:
        graph = with_storage(mapped_index(directory / GRAPH), stored)
        _require_shape(record, dimension, graph, ids)
    return OpenSnapshot(
        record=record,
        directory=directory,
        vectors=vectors,
        quantised=quantised,
        graph=graph,
        ids=ids,
        access=AccessTable.build(
            ids.size, arrays["access_rows"], arrays["access_owners"], arrays["access_public"]
        ),
        sample=np.argsort(sampling_order(ids), kind="stable")[:SAMPLE_ROWS],
        planner=Planner(
            total=record.row_count,
            settings=tuple(WaySetting.of_dict(each) for each in manifest["ways"]),
            costs=Costs.of_dict(manifest["costs"]),
        ),
        fingerprint=fingerprint,
    )


def with_storage(graph: Any, stored: Any) -> Any:
    """Return a graph that was written without its vectors, over them; its pages are read.

    Whoever holds the graph holds the vectors too: it keeps nothing alive that it was given.
    """
    graph.storage, graph.own_fields = stored, False
    links = graph.hnsw.neighbors
    faiss.rev_swig_ptr(links.data(), links.size())[::1024].sum()
    return graph


def _require_shape(record: SnapshotRecord, dimension: int, index: Any, ids: Ids) -> None:
    shape = (int(index.ntotal), int(index.d), index.metric_type)
    expected = (record.row_count, dimension, faiss.METRIC_INNER_PRODUCT)
    if shape != expected or ids.shape != (record.row_count,):
        raise SnapshotInvalid(f"{record.name} holds other rows than its record says: {shape}.")


def canaries(directory: Path) -> tuple[npt.NDArray[np.float32], Ids]:
    """Return the stored (c, d) queries and their (c, k) exact answers."""
    return _array(directory, "canary_queries"), _array(directory, "canary_ids")


def _array(directory: Path, name: str) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(directory / f"{name}.npy", allow_pickle=False)
    return array


def fingerprint_of(directory: Path, record: SnapshotRecord) -> Fingerprint:
    """Return what tells whether any file was replaced or written to. Raises OSError."""
    names = (MANIFEST, *record.manifest["files"])
    stats = [(directory / name).stat() for name in names]
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats)


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
