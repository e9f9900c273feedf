"""The costs of the parts of a search, measured on this machine, and kept beside the snapshots.

They decide which way is tried first and never what is found.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from mirada import private_files
from mirada.adapters.vector_index.faiss.block import VectorBlock
from mirada.adapters.vector_index.faiss.planning import Costs
from mirada.adapters.vector_index.faiss.quantised import QuantisedForm
from mirada.kernel.embeddings import Matrix

logger = logging.getLogger(__name__)

QUERIES = 8
ROUNDS = 3
PICKED_ROWS, SCANNED_ROWS = 4_000, 20_000
SHALLOW, DEEP = 100, 1_100
BEAM = 64


def measured(vectors: VectorBlock, quantised: QuantisedForm, graph: Any, queries: Matrix) -> Costs:
    """Return what the parts cost this thread, whatever else the machine does: about 0.1 s at 100,000.

    Args:
        vectors: of a snapshot.
        quantised: theirs.
        graph: theirs; None where there is none yet.
        queries: (q, d), q >= 1.
    """
    faiss.omp_set_num_threads(1)
    queries = queries[:QUERIES]
    count = len(vectors)
    rng = np.random.default_rng(count)
    picked = np.sort(rng.integers(0, count, min(count, PICKED_ROWS)))
    passed = min(count, SCANNED_ROWS)
    half = faiss.IDSelectorBitmap(np.packbits(rng.random(count) < 0.5, bitorder="little"))
    shallow, deep = min(SHALLOW, count), min(DEEP, count)

    def compared(query: Any, depth: int, selector: Any = None) -> None:
        vectors.inner_products(query, quantised.candidates(query, depth, selector).rows)

    scan = _fastest(lambda q: vectors.inner_products(q, stop=passed), queries)
    pick = _fastest(lambda q: vectors.inner_products(q, picked), queries)
    first = _fastest(lambda q: compared(q, shallow), queries)
    told = _fastest(lambda q: compared(q, shallow, half), queries)
    further = _fastest(lambda q: compared(q, deep), queries)
    candidate = max((further - first) / max(1, deep - shallow), 0.01)
    walk = None
    if graph is not None:
        beam = min(BEAM, count)
        parameters = faiss.SearchParametersHNSW(efSearch=beam, bounded_queue=True)
        walk = _fastest(lambda q: graph.search(q[None], beam, params=parameters), queries) / beam
    return Costs(
        scanned_row=scan / passed,
        picked_row=pick / picked.size,
        quantised_row=max(first - shallow * candidate, 0.2 * first) / count,
        filtered_row=max(told - shallow * candidate, 0.2 * told) / count,
        candidate=candidate,
        beam_step=walk,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _fastest(work: Callable[[Any], object], queries: Matrix) -> float:
    """Return the microseconds of processor time of one query, the least disturbed of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for query in queries:
            work(query)
        rounds.append((time.thread_time() - started) * 1e6 / len(queries))
    return max(min(rounds), 0.1)


def kept_path(folder: Path, dimension: int) -> Path:
    """Return the file that `keep` writes: one for each dimension, for every snapshot of a database."""
    return folder / f"costs-{dimension}.json"


def keep(folder: Path, dimension: int, costs: Costs) -> None:
    """Store what was measured by hand; it wins over what builds measure. Raises OSError."""
    private_files.make_folder(folder)
    path = kept_path(folder, dimension)
    # Two who measure at once write a file each; the later one stays.
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        with private_files.open_file(unfinished, "xb") as file:
            text = {"faiss_version": faiss.__version__, "costs": costs.as_dict()}
            file.write(json.dumps(text, indent=1).encode())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def kept(folder: Path, dimension: int) -> Costs | None:
    """Return what was measured by hand; None where nothing was, or with another FAISS."""
    path = kept_path(folder, dimension)
    try:
        text = json.loads(path.read_bytes())
        if text["faiss_version"] != faiss.__version__:
            return None
        return Costs.of_dict(text["costs"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s cannot be read and is not used: %s", path.name, error)
        return None
