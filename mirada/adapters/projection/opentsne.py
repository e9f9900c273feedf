"""The map by t-SNE as openTSNE computes it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mirada.kernel.embeddings import Matrix
from mirada.kernel.projecting import spread_components

LEAST_ROWS = 8
"""Fewer pictures have too few neighbours for t-SNE; their components show as much."""
PERPLEXITY = 30.0
EARLY, LATE = 250, 500
"""Iterations of the two phases; openTSNE's defaults."""
EXACT_ROWS, TREE_ROWS = 2_000, 10_000
"""Up to so many rows neighbours are exact, and forces are summed by a tree."""
SPREAD = 1e-4
"""Standard deviation that t-SNE wants its start to have."""


class OpenTsneProjection:
    """The implementation of `mirada.ports.Projection` by openTSNE, in one thread. It has no state."""

    method = "openTSNE"

    def project(
        self, rows: Matrix, start: Matrix | None, seed: int, check: Callable[[float], None]
    ) -> Matrix:
        """Return (n, 2) places; see `Projection.project`."""
        if len(rows) < LEAST_ROWS:
            check(1.0)
            return spread_components(rows)
        # Here, because it loads scikit-learn: seconds that only a map has to wait for.
        import openTSNE

        begun = (spread_components(rows) if start is None else start).astype(np.float64)
        begun = begun - begun.mean(axis=0)
        rng = np.random.default_rng(seed)
        # Rows on one spot would feel the same forces for ever.
        begun += rng.normal(0.0, max(float(begun.std()), 1e-9) * 1e-3, begun.shape)
        begun *= SPREAD / begun[:, 0].std()
        done = 0

        def heard(iteration: int, _error: float, _places: object) -> None:
            nonlocal done
            # Iterations are counted anew in the second phase.
            done = iteration if done < EARLY and iteration >= done else EARLY + iteration
            check(min(1.0, done / (EARLY + LATE)))

        fit = openTSNE.TSNE(
            perplexity=min(PERPLEXITY, (len(rows) - 1) / 3.5),
            initialization=begun,
            early_exaggeration_iter=EARLY,
            n_iter=LATE,
            # More threads would spin against the server.
            n_jobs=1,
            neighbors="exact" if len(rows) <= EXACT_ROWS else "annoy",
            negative_gradient_method="bh" if len(rows) <= TREE_ROWS else "fft",
            callbacks=heard,
            callbacks_every_iters=10,
            random_state=seed,
        ).fit(rows.astype(np.float64))
        return np.asarray(fit, dtype=np.float32)
