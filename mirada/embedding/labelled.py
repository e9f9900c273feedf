"""The judging of labels, as the embedding of pictures calls it: it is done in a room above this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy.orm import Session

from mirada.kernel.embeddings import Vector
from mirada.runtime import Runtime

Vectors = Mapping[int, Vector | None]
"""(d,) float32 unit vectors by content id; None: the stored one."""
Keep = Callable[[Session, Vectors], None]
"""Judges pictures and writes their images' labels, in the transaction that makes them READY."""
Judge = Callable[[Runtime], Keep | None]
"""Prepares that outside any transaction; None where it cannot be had at once."""
