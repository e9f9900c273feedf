"""Vectors that come along: read in the forms of other systems, checked, and compared with our own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirada.kernel.embeddings import (
    UNIT_NORM_TOLERANCE,
    EmbeddingSpace,
    Vector,
    are_units,
    l2_normalise,
)
from mirada.kernel.errors import InvalidInput
from mirada.runtime import Runtime

NORM_TOLERANCE = 5e-3
"""Largest deviation of a norm from 1: float16 rounds 768 numbers to within 1e-3."""
SAMPLE = 8
"""Pictures of an import that are embedded again and compared."""
LEAST_COSINE = 0.98
"""With the same weights and preprocessing 0.999 and more; another resizing gives 0.97, another model
about 0."""


def read(raw: Any, dimension: int) -> Vector:
    """Return a stored vector as (dimension,) float32 of unit norm.

    Args:
        raw: numbers, JSON as pgvector and JSON columns write it, or little-endian float32 as bytes.
        dimension: that it has to have.

    Raises:
        InvalidInput: it has no such form, another dimension, a number that is none, or another norm.
    """
    numbers = _numbers(raw, dimension)
    if numbers.shape != (dimension,):
        raise InvalidInput(f"Its vector has {numbers.size} numbers; the model gives {dimension}.")
    if not np.isfinite(numbers).all():
        raise InvalidInput("Its vector holds NaN or infinity.")
    with np.errstate(
        over="ignore"
    ):  # What no float32 holds becomes infinity, which is no unit vector.
        vector = numbers.astype(np.float32)
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(norm - 1.0) > NORM_TOLERANCE:
        raise InvalidInput(f"Its vector has the norm {norm:.4g}; those of the model have 1.")
    # What is a unit vector is kept as it is, bit by bit.
    is_unit = abs(norm - 1.0) <= UNIT_NORM_TOLERANCE and are_units(vector.reshape(1, -1))[0]
    return vector if is_unit else l2_normalise(vector)


def _numbers(raw: Any, dimension: int) -> Any:
    try:
        if isinstance(raw, bytes | bytearray | memoryview):
            content = bytes(raw)
            # One float32 in 256 begins with the byte that JSON begins with, so the length decides.
            if len(content) == 4 * dimension or not content.startswith(b"["):
                return np.frombuffer(content, dtype="<f4")
            raw = content.decode("ascii")
        if isinstance(raw, str):
            raw = json.loads(raw)
        return np.asarray(raw, dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidInput("Its vector is no list of numbers.") from error


def require_ours(said: str, space: EmbeddingSpace) -> None:
    """Raise InvalidInput unless a model that vectors are said to come from is the one in use here."""
    if said in (space.model, space.name):
        return
    raise InvalidInput(
        f"The vectors are said to be of {said}; this library's model is {space.model}. Vectors of two "
        "models cannot be compared. Leave the option out, and the pictures are embedded here; or set "
        "CLIP_MODEL and CLIP_PRETRAINED to their model before the first start."
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How vectors of a source compare with those that this model computes of the same pictures.

    Attributes:
        cosines: one for each picture of the sample.
    """

    cosines: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as a report has it."""
        return {"pictures": len(self.cosines), "least_cosine": min(self.cosines)}


def compare(
    runtime: Runtime,
    sample: Sequence[tuple[Path, Vector]],
    check: Callable[[], None] = lambda: None,
) -> Agreement:
    """Embed a few pictures again and compare. Raises InvalidInput where they do not agree."""
    encoder = runtime.encoder
    pixels = []
    for path, _ in sample:
        check()
        pixels.append(runtime.decoder.decode(path, 2 * encoder.input_side_px))
    computed = encoder.encode_images(pixels)
    cosines = tuple(
        float(vector @ ours) for (_, vector), ours in zip(sample, computed, strict=True)
    )
    found = Agreement(cosines)
    if min(cosines) < LEAST_COSINE:
        raise InvalidInput(
            f"The vectors are not of this model, or of another preprocessing: of {len(cosines)} pictures "
            f"embedded again the least cosine with theirs is {min(cosines):.3f}, and {LEAST_COSINE} is "
            "needed. Leave --vectors-are out, and every picture is embedded here."
        )
    return found
