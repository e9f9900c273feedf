"""Measure how wide a walk through pgvector's graph has to be, for each form of query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.similarity import QueryForm
from mirada.ports import VectorSource

LADDER = (40, 60, 80, 120, 160, 240, 320, 480, 640, 1_000)
"""Beams that are tried; 40 is pgvector's own."""
RECALL_K = 10
QUERIES = 128
"""Of each form. A recall of 0.98 among 1,280 neighbours is known to within 0.008 (two standard errors)."""
PERTURBATION = 0.35
"""Length of what is added to a stored vector; the query's cosine with it is then about 0.94."""
TIE = 1e-6
"""Of two neighbours that are equally near within rounding, either one is right."""

Walk = Callable[[np.ndarray, int], Matrix]
"""Takes a query (d,) and a beam; returns the (n, d) stored vectors of what was found."""


def probes(vectors: Matrix, texts: Matrix, seed: int) -> dict[QueryForm, Matrix]:
    """Return queries to measure with, by form.

    Args:
        vectors: (n, d) stored ones, drawn at random, n >= 1.
        texts: (m, d) of texts; may be empty.
        seed: of what is added to them.
    """
    rng = np.random.default_rng(seed)
    near = vectors[rng.integers(0, len(vectors), 2 * QUERIES)]
    noise = rng.standard_normal(near.shape)
    noise *= PERTURBATION / np.linalg.norm(noise, axis=1, keepdims=True)
    pictures = l2_normalise(near + noise)
    groups = {
        QueryForm.PICTURE: pictures[:QUERIES],
        QueryForm.BLEND: l2_normalise(pictures[:QUERIES] + pictures[QUERIES:]),
    }
    if len(texts):
        groups[QueryForm.TEXT] = texts[:QUERIES]
    return groups


def best_cosines(
    source: VectorSource, change_seq: int, groups: Mapping[QueryForm, Matrix]
) -> dict[QueryForm, np.ndarray]:
    """Return by form the (q, 10) cosines of the queries' exact neighbours, -2 where there are none."""
    best = {form: np.full((len(queries), RECALL_K), -2.0) for form, queries in groups.items()}
    for page in source.live_rows_through(change_seq):
        alive = page.vectors[~page.dead]
        for form, queries in groups.items():
            met = np.concatenate([best[form], queries @ alive.T], axis=1)
            best[form] = -np.partition(-met, RECALL_K - 1, axis=1)[:, :RECALL_K]
    return best


def measure(
    groups: Mapping[QueryForm, Matrix],
    exact: Mapping[QueryForm, np.ndarray],
    walk: Walk,
    target: float,
    tell: Callable[[], None],
) -> tuple[dict[str, int | None], dict[str, Any]]:
    """Return the least sufficient beam of each form, None where none is, and the recalls seen.

    Args:
        groups: queries by form.
        exact: what `best_cosines` found for them.
        walk: through the graph.
        target: least recall@10, in (0, 1].
        tell: called after every beam; what it raises ends the measuring.
    """
    beams: dict[str, int | None] = {}
    last: dict[str, float] = {}
    told: dict[str, Any] = {}
    seen = {"k": RECALL_K, "target": target, "at_ef_search": last, "forms": told}
    for form, queries in groups.items():
        steps = []
        beams[form.value] = None
        for beam in LADDER:
            hits = sum(
                _hits(query, walk(query, beam), best)
                for query, best in zip(queries, exact[form], strict=True)
            )
            recall = hits / max(1, int(np.count_nonzero(exact[form] >= -1.5)))
            last[form.value] = round(recall, 4)
            steps.append({"ef_search": beam, "recall": last[form.value]})
            tell()
            if recall >= target:
                beams[form.value] = beam
                break
        told[form.value] = {"queries": len(queries), "steps": steps}
    # Where no text could be embedded, texts are taken to be as hard as blends are.
    beams.setdefault(QueryForm.TEXT.value, beams[QueryForm.BLEND.value])
    return beams, seen


def _hits(query: np.ndarray, found: Matrix, best: np.ndarray) -> int:
    there = best[best >= -1.5]
    nearest = int(np.count_nonzero(found @ query >= there.min(initial=2.0) - TIE))
    return min(there.size, nearest)
