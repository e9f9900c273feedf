"""Vectors of labels and prompts: from memory, from the database, and only then from the encoder.

A vector is kept under the digest of everything it was made from, so an edited label has another key
and nothing is ever out of date. Encoding happens between two transactions: one that looks up what is
known, and one that stores what was not.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import classifier_models as tables
from mirada.db.inserts import insert_or_update
from mirada.db.models import utc_now
from mirada.db.stored_vectors import vectors_in
from mirada.kernel.embeddings import Matrix, Vector, to_blob
from mirada.kernel.errors import Unavailable
from mirada.kernel.labels import PLACEHOLDER, Label, ensemble, ensemble_key, ensemble_texts
from mirada.kernel.vector_cache import VectorCache
from mirada.ports import TextEncoder
from mirada.runtime import Runtime

TEXTS_AT_ONCE = 128
"""Encoded, then stored: a quarter of what may wait for the encoder, so that others get in between."""
PATIENCE_S = 60.0
"""How long a request waits for new labels. A thousand on a slow machine take longer: what is done by
then is kept, and the request that comes again goes on from there."""
CACHED_VECTORS = 4_096
"""Of 512 numbers each 8 MiB: four label sets of the largest size that a request may have."""


@dataclass(frozen=True, slots=True)
class LabelVector:
    """A label's ensembled vector in one space: (d,) float32, unit norm, and the key of its texts."""

    key: str
    label: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Texts whose mean stands for something, the name it has, and the key it is kept under."""

    key: str
    name: str
    texts: tuple[str, ...]


def of_label(
    label: Label, *, templates: Sequence[str] | None = None, descriptions: Sequence[str] = ()
) -> Ensemble:
    """Return a label's ensemble; arguments as of `kernel.labels.ensemble_texts`."""
    return Ensemble(
        ensemble_key(label, templates=templates, descriptions=descriptions),
        label.name,
        ensemble_texts(label, templates=templates, descriptions=descriptions),
    )


@functools.lru_cache(maxsize=1_024)
def of_prompt(text: str) -> Ensemble:
    """Return the ensemble of one text as it stands."""
    return of_label(Label(text), templates=(PLACEHOLDER,))


def remembered_vectors(runtime: Runtime) -> VectorCache[tuple[int, str]]:
    """Return the label vectors that this process has used lately, by space and `ensemble_key`."""
    return runtime.remembered("label_vectors", lambda: VectorCache(CACHED_VECTORS))


def known_vectors(
    session: Session, space_id: int, dimension: int, keys: Iterable[str]
) -> dict[str, Vector]:
    """Return the stored vectors of a space, of that dimension, by key; a damaged one is left out.

    Keys are as `kernel.labels.ensemble_key` returns them.
    """
    table = tables.LabelVector
    query = select(table.key, table.vector, table.crc32).where(table.space_id == space_id)
    return vectors_in(session, query, table.key, keys, dimension)


def store_vectors(session: Session, space_id: int, vectors: Sequence[LabelVector]) -> None:
    """Keep vectors for good; storing one again, or in two processes at once, is harmless."""
    rows = []
    # One order for everybody: two processes that store the same set must not lock each other out.
    for entry in sorted(vectors, key=lambda entry: entry.key):
        blob, crc32 = to_blob(entry.vector)
        rows.append(
            {
                "space_id": space_id,
                "key": entry.key,
                "label": entry.label,
                "vector": blob,
                "crc32": crc32,
                "created_at": utc_now(),
            }
        )
    if rows:
        table = tables.LabelVector
        unique, updated = [table.space_id, table.key], [table.vector, table.crc32]
        session.execute(insert_or_update(session, table, unique, updated), rows)


def vectors_of(
    runtime: Runtime,
    encoder: TextEncoder,
    ensembles: Sequence[Ensemble],
    *,
    within_s: float | None = PATIENCE_S,
) -> Matrix:
    """Return (n, d) float32 unit rows in the order given; what was encoded once never is again.

    Call it outside any transaction.

    Args:
        runtime: whose database and memory hold vectors.
        encoder: of the pinned space.
        ensembles: what is wanted, n >= 1.
        within_s: longest time spent on encoding; None for no limit.

    Raises:
        Unavailable: not within that time, or the encoder has too much to do. What was encoded by
            then is kept.
    """
    space_id, _ = runtime.space()
    cache = remembered_vectors(runtime)
    wanted = {ensemble.key: ensemble for ensemble in ensembles}
    found = _known(runtime, wanted)
    began = time.monotonic()
    missing = [key for key in wanted if key not in found]
    for done, some in _chunks([wanted[key] for key in missing]):
        # Every request gets a little further, however slow the machine.
        if done and within_s is not None and time.monotonic() - began > within_s:
            raise Unavailable(
                f"Of {len(missing)} new labels {done} are encoded and kept; send the request again "
                "for the rest.",
                retry_after_s=1,
            )
        encoded = _encode(encoder, some)
        with runtime.transaction() as session:
            store_vectors(
                session,
                space_id,
                [LabelVector(entry.key, entry.name, encoded[entry.key]) for entry in some],
            )
        cache.put({(space_id, key): vector for key, vector in encoded.items()})
        found |= encoded
    return np.stack([found[entry.key] for entry in ensembles])


def known_matrix(runtime: Runtime, ensembles: Sequence[Ensemble]) -> Matrix | None:
    """Return (n, d) float32 unit rows in the order given, encoding nothing; None where one is lacking."""
    found = _known(runtime, [entry.key for entry in ensembles])
    if any(entry.key not in found for entry in ensembles):
        return None
    return np.stack([found[entry.key] for entry in ensembles])


def _known(runtime: Runtime, keys: Collection[str]) -> dict[str, Vector]:
    """Return by key the vectors that are remembered or stored."""
    space_id, space = runtime.space()
    cache = remembered_vectors(runtime)
    found = {key: vector for (_, key), vector in cache.get((space_id, key) for key in keys).items()}
    missing = [key for key in keys if key not in found]
    if missing:
        with runtime.reading() as session:
            stored = known_vectors(session, space_id, space.dimension, missing)
        cache.put({(space_id, key): vector for key, vector in stored.items()})
        found |= stored
    return found


def _encode(encoder: TextEncoder, ensembles: Sequence[Ensemble]) -> dict[str, Vector]:
    vectors = encoder.encode_texts([text for entry in ensembles for text in entry.texts])
    ends = np.cumsum([len(entry.texts) for entry in ensembles])[:-1]
    parts = np.split(vectors, ends)
    return {entry.key: ensemble(part) for entry, part in zip(ensembles, parts, strict=True)}


def _chunks(ensembles: Sequence[Ensemble]) -> Iterator[tuple[int, list[Ensemble]]]:
    """Yield runs of about TEXTS_AT_ONCE texts, each with how many ensembles came before it."""
    chunk: list[Ensemble] = []
    texts = 0
    for position, entry in enumerate(ensembles):
        if chunk and texts + len(entry.texts) > TEXTS_AT_ONCE:
            yield position - len(chunk), chunk
            chunk, texts = [], 0
        chunk.append(entry)
        texts += len(entry.texts)
    if chunk:
        yield len(ensembles) - len(chunk), chunk
