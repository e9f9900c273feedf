"""From a text to what several sources together find: which of them can be asked, and their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mirada.db import spaces
from mirada.kernel.embeddings import SpaceKind, Vector
from mirada.kernel.errors import Conflict, InvalidInput, MiradaError, NotAuthenticated, Unavailable
from mirada.search.fuse import FusedFound, VectorQuery, find_fused
from webapp.callers.auth import Caller
from webapp.captioning import vector_of_caption
from webapp.http.counting import SEARCHES
from webapp.http.current import current_runtime
from webapp.schemas.fusion import FUSED
from webapp.schemas.search import CAPTIONS, KEYWORDS, PICTURES, PROMPTS
from webapp.searching import (
    QueryKind,
    asked_change_seq,
    current_change_seq,
    require_given,
    safety_in_force,
    vector_of_prompt,
    vector_of_text,
    wait_for_freshness,
)

LOADING_WAIT_S = 1.0
"""How long a source whose model is still being loaded is waited for; the others can answer."""
DEFAULT_WEIGHTS = {PICTURES: 1.0, PROMPTS: 1.0, CAPTIONS: 1.0, KEYWORDS: 1.0}
"""What `in: "all"` means; measured by `python -m benchmarks.fusion`."""


@dataclass(frozen=True, slots=True)
class VectorSource:
    """A space that a text can be compared in.

    Attributes:
        name: in requests and replies.
        kind: of the space.
        encode: (text, seconds to wait for the model) -> unit vector in that space.
        absent: what is said while there is no such space.
    """

    name: str
    kind: SpaceKind
    encode: Callable[[str, float], Vector]
    absent: str


VECTOR_SOURCES = (
    VectorSource(
        PICTURES,
        SpaceKind.IMAGE,
        vector_of_text,
        "No picture has been embedded yet.",
    ),
    VectorSource(
        PROMPTS,
        SpaceKind.PROMPT,
        vector_of_prompt,
        "No prompt has been embedded yet.",
    ),
    VectorSource(
        CAPTIONS,
        SpaceKind.CAPTION,
        vector_of_caption,
        "No caption has been embedded yet.",
    ),
)


def fused_images(
    text: str,
    weights: Mapping[str, float],
    caller: Caller,
    *,
    k: int,
    threshold: float | None,
    only_own: bool,
) -> FusedFound:
    """Search the sources that have a weight, no staler than X-Min-Change-Seq asks for.

    A source that cannot be searched is left out with the reason. A server that keeps others' unsafe
    pictures back and cannot judge them just now answers nothing at all, as every search does.

    Args:
        text: not blank.
        weights: source -> weight, at least one > 0.
        caller: who asks.
        k: most results.
        threshold: least cosine similarity for a vector source to have found an image.
        only_own: the caller's images alone.

    Raises:
        Unavailable, Conflict, InvalidInput: nothing is left to search, for this reason; or the
            change number is not there yet, was never given, or is none.
    """
    runtime = current_runtime()
    asked_seq = asked_change_seq()
    failures: dict[str, MiradaError] = {}
    queries: list[VectorQuery] = []
    for source in VECTOR_SOURCES:
        if weight := weights.get(source.name):
            try:
                queries.append(_query(source, text, weight))
            except (Conflict, NotAuthenticated, Unavailable) as error:
                failures[source.name] = error
                continue
            space_id = queries[-1].space_id
            wait_for_freshness(queries[-1].index, runtime.vector_source(space_id))
    words = (text, weight) if (weight := weights.get(KEYWORDS)) else None
    if not queries and words is None:
        raise _worst(failures)
    if not queries and asked_seq is not None and (current := current_change_seq()) is not None:
        # Words are read from the database itself, which is always fresh.
        require_given(asked_seq, current)
    safety = safety_in_force()
    try:
        with runtime.reading() as session:
            found = find_fused(
                session,
                queries,
                words,
                caller.audience.own_alone() if only_own else caller.audience,
                k=k,
                threshold=threshold,
                safety=safety,
            )
    except InvalidInput as error:
        if queries or not failures:
            raise
        # Another text may be of use, or the same one once the other sources are back.
        raise _worst({**failures, KEYWORDS: error}) from error
    SEARCHES.labels(QueryKind.TEXT, FUSED, FUSED, found.verdict).inc()
    reasons = {source: error.detail for source, error in failures.items()}
    change_seq = current_change_seq() if found.change_seq is None else found.change_seq
    return replace(found, left_out={**reasons, **found.left_out}, change_seq=change_seq)


def _query(source: VectorSource, text: str, weight: float) -> VectorQuery:
    runtime = current_runtime()
    with runtime.reading() as session:
        space = spaces.pinned_space(session, source.kind)
    if space is None:
        raise Conflict(source.absent)
    vector = source.encode(text, LOADING_WAIT_S)
    return VectorQuery(source.name, weight, space.id, runtime.index(space.id), source.kind, vector)


def _worst(failures: Mapping[str, MiradaError]) -> MiradaError:
    """Return what may be over soon, else what the caller can change, else what an operator can."""
    for kind in (Unavailable, InvalidInput):
        for error in failures.values():
            if isinstance(error, kind):
                return error
    return next(iter(failures.values()))
