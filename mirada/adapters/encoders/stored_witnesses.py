"""Checks an export against vectors that the owner's database holds, where PyTorch was never here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mirada.adapters.encoders.exports import LEAST_COSINE, Export, ExportRefused, remedy
from mirada.adapters.encoders.onnx_encoder import OnnxEncoder
from mirada.adapters.encoders.pixels import PictureSteps
from mirada.adapters.encoders.probes import probe_of
from mirada.kernel.embeddings import Vector
from mirada.kernel.images import RgbImage
from mirada.kernel.labels import ensemble

CHECKED_WITH = "vectors that the database holds"
"""In the manifest."""
FEWEST = 3
"""Pictures, and texts, without which nothing is said of an export."""
LEAST_OF_ALL = 0.99
"""Any picture's cosine. An older version may have scaled large pictures otherwise before it embedded them, so
not all of them, but half, must have LEAST_COSINE; texts must all."""


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """Vectors of a model that the database holds, and what they are of.

    Attributes:
        preprocessing: what the steps from pixels to tensor are called in the space.
        dimension: of the vectors.
        pictures: decodes the originals for an encoder's input side in pixels, each with its vector.
        texts: texts, each group with the vector of its mean's direction.
    """

    preprocessing: str
    dimension: int
    pictures: Callable[[int], Sequence[tuple[RgbImage, Vector]]]
    texts: Sequence[tuple[Sequence[str], Vector]]


def vouched_for(export: Export, stored: StoredVectors, whose: str) -> Export:
    """Return the export with a probe of its own, once it has given the stored vectors again.

    Args:
        export: without a probe.
        stored: of the model that it is said to be.
        whose: for people, who published it.

    Raises:
        ExportRefused: it does not, or too few are stored to tell.
    """
    ours = PictureSteps(export.preprocessing).version
    if ours != stored.preprocessing:
        raise ExportRefused(
            f"The graphs of {whose} were made for pictures prepared as {ours}, and the stored vectors are "
            f"of pictures prepared as {stored.preprocessing}. They are not used. {remedy()}"
        )
    encoder = OnnxEncoder(export, is_checked=False)
    pictures = stored.pictures(encoder.input_side_px)
    if min(len(pictures), len(stored.texts)) < FEWEST:
        raise ExportRefused(
            f"The graphs of {whose} cannot be checked: the database holds vectors of {len(pictures)} "
            f"pictures and {len(stored.texts)} texts of this model that can be embedded again, and {FEWEST} "
            f"of each are needed. {remedy()}"
        )
    seen = encoder.encode_images([pixels for pixels, _ in pictures])
    by_picture = np.sort((seen * np.stack([vector for _, vector in pictures])).sum(axis=1))
    by_text = min(
        float(ensemble(encoder.encode_texts(list(texts))) @ vector)
        for texts, vector in stored.texts
    )
    half = float(by_picture[len(by_picture) // 2])
    if not (half >= LEAST_COSINE and by_picture[0] >= LEAST_OF_ALL and by_text >= LEAST_COSINE):
        raise ExportRefused(
            f"The graphs of {whose} disagree with the stored vectors: cosine of pictures {by_picture[0]:.4f} "
            f"at least and {half:.4f} in the middle, of texts {by_text:.4f} at least; {LEAST_COSINE} is "
            f"needed. They are not used. {remedy()}"
        )
    origin = {**export.origin, "checked_with": CHECKED_WITH}
    return replace(export, probe=probe_of(encoder), origin=origin)
