"""Search several sources for one text and fuse what they find; a source that fails is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mirada.kernel.errors import Conflict, InvalidInput, MiradaError, NotAuthenticated, Unavailable
from mirada.metrics.instruments import SEARCHES
from mirada.runtime import Runtime
from mirada.search import queries
from mirada.search.asked import Asked, current_change_seq
from mirada.search.fuse import FusedFound, VectorQuery, find_fused
from mirada.search.queries import FUSED, SPACE_KINDS, QueryKind, Source
from mirada.search.safety import safety_in_force

LOADING_WAIT_S = 1.0
"""Longest wait for a source whose model is still being loaded; the others can answer."""
DEFAULT_WEIGHTS: Mapping[str, float] = dict.fromkeys(Source, 1.0)
"""All sources alike; measured by `python -m benchmarks.fusion`."""


def search_combined(
    runtime: Runtime,
    text: str,
    weights: Mapping[str, float],
    asked: Asked,
    *,
    k: int,
    threshold: float | None = None,
    wait_s: float = LOADING_WAIT_S,
) -> FusedFound:
    """Search the sources that have a weight and fuse their rankings, as fresh as asked for.

    A source that cannot be searched is left out with the reason. Where others' unsafe pictures are
    kept back and nothing can be judged just now, nothing is answered at all, as by every search.

    Args:
        runtime: with the database, indexes and encoders.
        text: not blank.
        weights: source -> weight, at least one > 0.
        asked: the audience, and how fresh the answer has to be.
        k: most results.
        threshold: least cosine similarity for a vector source to have found an image.
        wait_s: how long each source's model is waited for while it is being loaded.

    Raises:
        Unavailable, Conflict, InvalidInput: nothing is left to search, for this reason; or the
            change number is not there yet, or was never given.
    """
    vectors, failures = _vector_queries(runtime, text, weights, asked, wait_s)
    words = (text, weight) if (weight := weights.get(Source.KEYWORDS)) else None
    if not vectors and words is None:
        raise _worst(failures)
    if not vectors and asked.min_change_seq is not None:
        # Words are read from the database itself, which is always fresh.
        asked.require_given(current_change_seq(runtime))
    safety = safety_in_force(runtime)
    try:
        with runtime.reading() as session:
            found = find_fused(
                session, vectors, words, asked.audience, k=k, threshold=threshold, safety=safety
            )
    except InvalidInput as error:
        if vectors or not failures:
            raise
        # Another text may be of use, or the same one once the other sources are back.
        raise _worst({**failures, Source.KEYWORDS: error}) from error
    SEARCHES.labels(QueryKind.TEXT, FUSED, FUSED, found.verdict).inc()
    reasons = {str(source): error.detail for source, error in failures.items()}
    change_seq = current_change_seq(runtime) if found.change_seq is None else found.change_seq
    return replace(found, left_out={**reasons, **found.left_out}, change_seq=change_seq)


def _vector_queries(
    runtime: Runtime, text: str, weights: Mapping[str, float], asked: Asked, wait_s: float
) -> tuple[list[VectorQuery], dict[Source, MiradaError]]:
    """Return the questions to the spaces that can be searched, and why the others cannot."""
    vectors: list[VectorQuery] = []
    failures: dict[Source, MiradaError] = {}
    for source, kind in SPACE_KINDS.items():
        if weight := weights.get(source):
            try:
                query = queries.of_text_if_embedded(runtime, text, kind, asked.audience, wait_s)
            except (Conflict, NotAuthenticated, Unavailable) as error:
                failures[source] = error
                continue
            if query is None:
                failures[source] = Conflict(f"No {source.removesuffix('s')} has been embedded yet.")
                continue
            index = asked.fresh_index(runtime, query.space_id)
            vectors.append(VectorQuery(source, weight, query, index))
    return vectors, failures


def _worst(failures: Mapping[Source, MiradaError]) -> MiradaError:
    """Return what may be over soon, else what the caller can change, else what an operator can."""
    kinds = (Unavailable, InvalidInput, MiradaError)
    return next(each for kind in kinds for each in failures.values() if isinstance(each, kind))
