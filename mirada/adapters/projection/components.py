"""The map by principal components: quick, poor, and there wherever Mirada is."""

from __future__ import annotations

from collections.abc import Callable

from mirada.kernel.embeddings import Matrix
from mirada.kernel.projecting import spread_components


class ComponentsProjection:
    """The implementation of `mirada.ports.Projection` by numpy alone. It has no state."""

    method = "components"

    def project(
        self, rows: Matrix, start: Matrix | None, seed: int, check: Callable[[float], None]
    ) -> Matrix:
        """Return (n, 2) places; see `Projection.project`. Start and seed change nothing."""
        check(1.0)
        return spread_components(rows)
