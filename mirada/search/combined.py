"""The questions of one search to its sources; one that cannot be asked is left out with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy.orm import Session

from mirada.db import spaces
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import Conflict, InvalidInput, MiradaError, NotAuthenticated, Unavailable
from mirada.ports import VectorIndex
from mirada.runtime import Runtime
from mirada.search.asked import current_change_seq
from mirada.search.composing import composed
from mirada.search.found import Ranking
from mirada.search.fuse import VectorQuery, WordQuery, rank_fused
from mirada.search.queries import SOURCE_OF_KIND, SPACE_KINDS, Query, Source
from mirada.search.request import SearchRequest
from mirada.search.safety import Safety
from mirada.search.verdict import judges_of

LOADING_WAIT_S = 1.0
"""Longest wait for a source whose model is still being loaded; the others can answer."""


@dataclass(frozen=True, slots=True)
class FusedQuestion:
    """The question to several sources, whose rankings are fused.

    Attributes:
        vectors: to the spaces that can be searched.
        words: what is looked for as it is written; None for nothing.
        failures: source -> why it cannot be asked.
        database_seq: the last committed change, where no index is asked; else None.
    """

    vectors: list[VectorQuery]
    words: WordQuery | None
    failures: Mapping[Source, MiradaError] = field(default_factory=dict)
    database_seq: int | None = None

    def rank(
        self, session: Session, request: SearchRequest, depth: int, safety: Safety | None
    ) -> Ranking:
        """Return the best images of all sources; raises as `rank_fused` does."""
        try:
            found = rank_fused(
                session,
                self.vectors,
                self.words,
                request.asked.scope,
                k=depth,
                threshold=request.threshold,
                safety=safety,
                is_once_each=request.choice.collapse is not None,
            )
        except InvalidInput as error:
            if self.vectors or not self.failures:
                raise
            # Another text may be of use, or the same one once the other sources are back.
            raise _worst({**self.failures, Source.KEYWORDS: error}) from error
        reasons = {str(source): error.detail for source, error in self.failures.items()}
        change_seq = self.database_seq if found.change_seq is None else found.change_seq
        return replace(
            found,
            left_out={**reasons, **found.left_out},
            change_seq=change_seq,
            weights=request.weights or {},
        )


def fused_question(runtime: Runtime, request: SearchRequest) -> FusedQuestion:
    """Return the question to the sources that have a weight, each as fresh as asked for.

    Raises:
        Unavailable, Conflict, InvalidInput: nothing is left to search, for this reason; or the
            change number is not there yet, or was never given.
    """
    weights, asked = request.weights or {}, request.asked
    vectors, failures = _vector_queries(runtime, request, weights)
    weight = weights.get(Source.KEYWORDS)
    words = WordQuery(request.words, weight, request.unwanted_words) if weight else None
    if not vectors and words is None:
        raise _worst(failures)
    database_seq = None if vectors else current_change_seq(runtime)
    if not vectors and asked.min_change_seq is not None:
        # Words are read from the database itself, which is always fresh.
        asked.require_given(database_seq)
    return FusedQuestion(vectors, words, failures, database_seq)


def _vector_queries(
    runtime: Runtime, request: SearchRequest, weights: Mapping[str, float]
) -> tuple[list[VectorQuery], dict[Source, MiradaError]]:
    """Return the questions to the spaces that can be searched, and why the others cannot."""
    vectors: list[VectorQuery] = []
    failures: dict[Source, MiradaError] = {}
    for source, kind in SPACE_KINDS.items():
        if weight := weights.get(source):
            try:
                query, index = _asked_of(runtime, request, kind)
            except (Conflict, NotAuthenticated, Unavailable) as error:
                failures[source] = error
                continue
            judge = judges_of(runtime).of(query)
            vectors.append(VectorQuery(source, weight, query, index, judge))
    return vectors, failures


def _asked_of(
    runtime: Runtime, request: SearchRequest, kind: SpaceKind
) -> tuple[Query, VectorIndex]:
    """Return the question to one source: pictures are asked with every part, others with texts alone."""
    with runtime.reading() as session:
        row = spaces.pinned_space(session, kind)
    if row is None:
        source = SOURCE_OF_KIND[kind].removesuffix("s")
        raise Conflict(f"No {source} has been embedded yet.")
    is_picture = kind is SpaceKind.IMAGE
    parts = dict(enumerate(request.parts)) if is_picture else request.texts
    wait_s = LOADING_WAIT_S if request.wait_s is None else request.wait_s
    return composed(runtime, request, parts, (row.id, row.to_space()), wait_s)


def _worst(failures: Mapping[Source, MiradaError]) -> MiradaError:
    """Return what may be over soon, else what the caller can change, else what an operator can."""
    kinds = (Unavailable, InvalidInput, MiradaError)
    return next(each for kind in kinds for each in failures.values() if isinstance(each, kind))
