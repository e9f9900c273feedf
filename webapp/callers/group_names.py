"""The names of groups: the default labels nearest to what the caller sees of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mirada.classify import label_set
from mirada.embedding import label_vectors
from mirada.embedding.interactive import interactive_encoder
from mirada.groups import as_seen
from mirada.groups.as_seen import SeenCluster
from mirada.kernel.embeddings import EmbeddingSpace, Matrix
from mirada.kernel.errors import Conflict, Unavailable
from webapp.http.current import current_runtime

logger = logging.getLogger(__name__)


class _EncoderWhenNeeded:
    """A text encoder that loads weights only for labels without a stored vector."""

    @property
    def space(self) -> EmbeddingSpace:
        """The pinned space."""
        return current_runtime().space()[1]

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) unit rows. Raises Conflict or Unavailable where there is no encoder."""
        return interactive_encoder(current_runtime()).encode_texts(texts)


def names_of(clusters: Sequence[SeenCluster]) -> Sequence[str | None]:
    """Return the default label nearest to what the caller sees of each group; None while none is known."""
    if not clusters:
        return []
    runtime = current_runtime()
    with runtime.reading() as session:
        default = label_set.LABELS.in_force(session)
    try:
        vectors = label_vectors.vectors_of(
            runtime, _EncoderWhenNeeded(), [label_vectors.of_label(label) for label in default]
        )
    except (Conflict, Unavailable) as error:
        # Groups without names are better than none.
        logger.info("Groups have no names: %s", error)
        return [None] * len(clusters)
    return as_seen.nearest_names(clusters, [label.name for label in default], vectors)
