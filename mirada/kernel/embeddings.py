"""Embeddings: unit vectors, the spaces they belong to, and their form as bytes in the database."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from mirada.kernel.errors import InvalidInput

Vector = npt.NDArray[np.float32]
"""(d,) float32, unit L2 norm."""
Matrix = npt.NDArray[np.float32]
"""(n, d) float32, unit L2 norm per row."""

BLOB_DTYPE = np.dtype("<f4")
"""Little-endian float32 on every machine, so that a database can move between them."""
UNIT_NORM_TOLERANCE = 1e-3
"""Largest deviation of a norm from 1. Rounding of 1,024 squares in float32 stays under 1e-5."""


class SpaceKind(StrEnum):
    """The kind of input that a space's vectors were made from."""

    IMAGE = "image"
    PROMPT = "prompt"
    CAPTION = "caption"


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """The space a vector belongs to; vectors of two spaces are never compared.

    Attributes:
        kind: the kind of input that was embedded.
        encoder: architecture name, e.g. "ViT-B-32" or "mirada-stickers".
        pretrained: weights tag; with a local model, a digest of its weights.
        preprocessing: version of everything between file and tensor, e.g. "openclip-56-bicubic-v1".
        dimension: length of a vector, >= 1.
    """

    kind: SpaceKind
    encoder: str
    pretrained: str
    preprocessing: str
    dimension: int

    @property
    def model(self) -> str:
        """Return the encoder with its weights, such as "ViT-B-32/laion2b_s34b_b79k"."""
        return f"{self.encoder}/{self.pretrained}"

    @property
    def name(self) -> str:
        """Return the readable, unique name: kind:encoder:pretrained:preprocessing."""
        return f"{self.kind}:{self.encoder}:{self.pretrained}:{self.preprocessing}"


def l2_normalise(vectors: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the vectors scaled to unit L2 norm along the last axis.

    Args:
        vectors: (d,) or (n, d), any real dtype.

    Returns:
        The same shape, float32, C-contiguous. Norms are computed in float64.

    Raises:
        InvalidInput: a value is NaN or infinite, or a vector is zero.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    if not np.isfinite(wide).all():
        raise InvalidInput("A vector may hold finite numbers only, not NaN or infinity.")
    with np.errstate(over="ignore"):
        norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    if np.isinf(norms).any():
        # The squares of 1e300 are beyond float64. Divided by infinity, every number would be 0.
        largest = np.abs(wide).max(axis=-1, keepdims=True)
        wide = np.where(np.isinf(norms), wide / np.where(largest > 0, largest, 1.0), wide)
        norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    if (norms < np.finfo(np.float32).tiny).any():
        raise InvalidInput("A vector of zeros has no direction and cannot be searched for.")
    return np.ascontiguousarray(wide / norms, dtype=np.float32)


def to_blob(vector: Vector) -> tuple[bytes, int]:
    """Return a vector as little-endian float32 bytes (4 x d) and their CRC-32 (unsigned).

    Raises:
        InvalidInput: not one-dimensional, not finite, or not of unit norm.
    """
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise InvalidInput("Only one finite vector can be stored at a time.")
    if abs(float(np.linalg.norm(vector)) - 1.0) > UNIT_NORM_TOLERANCE:
        raise InvalidInput("Only vectors of unit norm are stored.")
    blob = vector.astype(BLOB_DTYPE, copy=False).tobytes()
    return blob, zlib.crc32(blob)


def from_blob(blob: bytes, crc32: int, dimension: int) -> Vector:
    """Return the (dimension,) float32 vector in a BLOB; read-only.

    Raises:
        InvalidInput: the length is not 4 x dimension, the checksum differs, or it is no unit vector.
    """
    if len(blob) != BLOB_DTYPE.itemsize * dimension:
        raise InvalidInput(f"A stored vector has {len(blob)} bytes instead of {4 * dimension}.")
    if zlib.crc32(blob) != crc32:
        raise InvalidInput("A stored vector does not match its checksum.")
    vector = np.frombuffer(blob, dtype=BLOB_DTYPE).astype(np.float32, copy=False)
    if not are_units(vector.reshape(1, -1))[0]:
        raise InvalidInput("A stored vector is no unit vector.")
    return vector


def are_units(vectors: Matrix) -> npt.NDArray[np.bool_]:
    """Return (n,) which rows of (n, d) are finite and of unit norm, as `to_blob` stores them.

    A checksum tells what changed on the way, not what somebody else stored.
    """
    with np.errstate(all="ignore"):
        squares = np.einsum("nd,nd->n", vectors, vectors)
        return np.asarray(np.abs(squares - 1.0) <= 2.5 * UNIT_NORM_TOLERANCE)
