"""Make small indexes take the ways that large ones take, by costs that say so."""

from __future__ import annotations

import sys
from pathlib import Path

from mirada.adapters.vector_index.faiss import costs
from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.planning import Costs
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.kernel.similarity import SearchWay
from mirada.ports import VectorSource

DEAR, CHEAP = 1e6, 1e-6
FEW_ROWS = 40
"""Of a list, so that a few hundred vectors lie in several."""
CERTAIN = 0.995
"""A recall that, to be shown with a hundred probes, leaves hardly one neighbour out."""


def force(source: VectorSource, folder: Path, way: SearchWay) -> None:
    """Let every index over this folder believe that one way is the cheapest, and a scan the dearest."""
    is_graph = way is SearchWay.HNSW
    costs.keep(
        folder / source.db_epoch(),
        source.space.dimension,
        Costs(
            scanned_row=DEAR,
            picked_row=DEAR,
            quantised_row=1.0 if is_graph else CHEAP,
            filtered_row=1.0 if is_graph else CHEAP,
            candidate=CHEAP,
            beam_step=CHEAP if is_graph else 1.0,
        ),
    )


def forced_index(
    source: VectorSource, folder: Path, way: SearchWay, recall_target: float = CERTAIN
) -> FaissIndex:
    """Return an index that takes that way from the first row on, with nothing built yet."""
    force(source, folder, way)
    return FaissIndex(
        source,
        folder,
        BuildSettings(
            recall_target=recall_target,
            hnsw_min_rows=1,
            with_graph=way is SearchWay.HNSW,
            # With one list there is no way by lists.
            list_rows=FEW_ROWS if way is SearchWay.IVF else sys.maxsize,
            threads=1,
        ),
        exact_rows=0,
    )
