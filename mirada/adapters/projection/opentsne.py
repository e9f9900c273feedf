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
"""Iterations of the two phases of a first map; openTSNE's defaults."""
AGAIN = 250
"""Iterations of a map that goes on from the one before: at its full size, without the early phase, which
would draw everything together and let it fall apart anew. Measured at 300 and 3,000 pictures: places move
by a seventh of what they moved otherwise, as many neighbours are kept, and it takes a third of the time."""
EXACT_ROWS, TREE_ROWS = 2_000, 10_000
"""Up to so many rows neighbours are exact, and forces are summed by a tree."""
SPREAD = 1e-4
"""Standard deviation that t-SNE wants a first start to have."""
SETTLED = 0.5
"""Standard deviation of a finished map, by the square root of its rows: 0.6 at 300 and at 3,000. Somewhat
less leaves new pictures room to push others away."""


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
        is_first = start is None
        begun *= (
            SPREAD / begun[:, 0].std() if is_first else SETTLED * len(rows) ** 0.5 / begun.std()
        )
        early, late = (EARLY, LATE) if is_first else (0, AGAIN)
        done = 0

        def heard(iteration: int, _error: float, _places: object) -> None:
            nonlocal done
            # Iterations are counted anew in the second phase.
            done = iteration if done < early and iteration >= done else early + iteration
            check(min(1.0, done / (early + late)))

        fit = openTSNE.TSNE(
            perplexity=min(PERPLEXITY, (len(rows) - 1) / 3.5),
            initialization=begun,
            early_exaggeration_iter=early,
            n_iter=late,
            n_jobs=1,  # More threads would spin against the server.
            neighbors="exact" if len(rows) <= EXACT_ROWS else "annoy",
            negative_gradient_method="bh" if len(rows) <= TREE_ROWS else "fft",
            callbacks=heard,
            callbacks_every_iters=10,
            random_state=seed,
        ).fit(rows.astype(np.float64))
        return np.asarray(fit, dtype=np.float32)
