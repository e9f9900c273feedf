"""The one flow of every search: single, fused or composed.

Where what goes:

1. **The question** (`question_of`): parts of the query become vectors and words, models are waited
   for, indexes are made as fresh as asked. No session is open.
2. **The ranking** (`by_vector.rank`, `fuse.rank_fused`): ids of images that the viewer may see, each
   with its scores, as deep as the rest of the flow needs. Filters act here, through the scope;
   relevance and verdict are made here.
3. **The choice** (`choosing.Chooser`): which hits are shown, and in which order: collapsing and
   diversity. It works on hits alone and loads no image.
4. **The images** (`by_vector.found_of`): the rows of those that are shown are loaded.

Steps 2 to 4 share one session. Replies are made of `Found` in `webapp/schemas/`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from mirada.embedding.interactive import known_space
from mirada.kernel.embeddings import SpaceKind
from mirada.metrics.instruments import SEARCHES
from mirada.ports import VectorIndex
from mirada.runtime import EncoderKind, Runtime
from mirada.search import by_vector
from mirada.search.choosing import DIVERSE_POOL, Chooser
from mirada.search.combined import FusedQuestion, fused_question
from mirada.search.composing import composed
from mirada.search.deepening import Reading, deepen
from mirada.search.explaining import explained
from mirada.search.found import Found, Hit, Ranking
from mirada.search.queries import FUSED, SOURCE_OF_KIND, Query, QueryKind, Source
from mirada.search.request import SearchRequest, SentPicture
from mirada.search.safety import Safety, safety_in_force
from mirada.search.verdict import Judge, judges_of


@dataclass(frozen=True, slots=True)
class VectorQuestion:
    """The question to one space: a vector, the index that is as fresh as asked for, and its judge."""

    query: Query
    index: VectorIndex
    judge: Judge | None = None

    def rank(
        self, session: Session, request: SearchRequest, depth: int, safety: Safety | None
    ) -> Ranking:
        """Return the nearest images; raises as `by_vector.rank` does."""
        ranking = by_vector.rank(
            session,
            self.index,
            self.query,
            request.asked.scope,
            k=depth,
            threshold=request.threshold,
            showing=by_vector.Showing(safety, request.choice.collapse is not None),
            judge=self.judge,
        )
        return replace(ranking, space=self.query.space.name)


Question = VectorQuestion | FusedQuestion
ALL_BUT_COLLAPSED = "These are all there are; of pictures that count as one, one is shown."
NEWEST_OF = 5_000
"""Hits that are ranked where the newest of the relevant ones come first, as many as all pages show."""
MOST_COLLAPSED = 20_000
"""Hits that are read at most for pictures that count as one."""


CursorMaker = Callable[[SearchRequest, Sequence[Hit]], str | None]
"""Makes of a search and its first hits the cursor of its next page."""


def run(runtime: Runtime, request: SearchRequest, cursor_of: CursorMaker | None = None) -> Found:
    """Return what a search finds, best first.

    Args:
        runtime: with the database, indexes and encoders.
        request: the search.
        cursor_of: makes the cursor where there is more than `k`; None where nobody pages.

    Where others' unsafe pictures are kept back and nothing can be judged just now, nothing is
    answered at all.

    Raises:
        InvalidInput: a part does not fit the space that is searched.
        NotFound: there is no such image for this viewer.
        Conflict: an image has no vector yet, embeddings are switched off, or the change number was
            never given.
        Unavailable: an index or an encoder is not ready.
    """
    request = with_named_left_out(request)
    asked = request.asked
    question = question_of(runtime, request)
    safety = safety_in_force(runtime)
    k = request.k + (cursor_of is not None)
    with runtime.reading() as session:
        chooser = Chooser(session, asked.scope, safety)
        ranking, chosen = _chosen(chooser, question, request, k)
        shown = chooser.with_counts(chosen[: request.k], request.choice)
        # What was read beyond the page, such as the one more that tells of a next one, is counted there.
        ranking = replace(ranking, hits=shown)
        if len(shown) < request.k and request.choice.collapse is not None:
            ranking = replace(ranking, reason=ranking.reason and ALL_BUT_COLLAPSED)
        found = by_vector.found_of(session, ranking, shown, asked.scope, k=request.k)
        if request.explain:
            told = explained(session, request, _shown_by(question), shown)
            found = replace(found, explained=told)
    SEARCHES.labels(request.made_from, _compared(question), found.way, found.verdict).inc()
    if cursor_of is None or len(chosen) <= request.k:
        return found
    return replace(found, cursor=cursor_of(_repeatable(request, question), shown))


def rank_whole(
    runtime: Runtime, request: SearchRequest, depth: int, shown: Collection[int] = ()
) -> Ranking:
    """Return what a search ranks for all its pages, `depth` hits at most; raises as `run` does.

    Of pictures that count as one, an image that was `shown` before stands for the others.
    """
    request = with_named_left_out(request)
    question = question_of(runtime, request)
    safety = safety_in_force(runtime)
    with runtime.reading() as session:
        chooser = Chooser(session, request.asked.scope, safety)
        ranking, chosen = _chosen(chooser, question, request, depth, shown)
        return replace(ranking, hits=chooser.with_counts(chosen[:depth], request.choice))


def with_named_left_out(request: SearchRequest) -> SearchRequest:
    """Return the search without the images that it is made from among its results."""
    asked = request.asked
    for image_id in request.named_image_ids:
        asked = asked.without(image_id)
    return replace(request, asked=asked)


def _repeatable(request: SearchRequest, question: Question) -> SearchRequest:
    """Return the same search as it can be asked again: in place of received pictures their vectors."""
    if not any(isinstance(part.value, SentPicture) for part in request.parts):
        return request
    if isinstance(question, VectorQuestion):
        asked = [question.query]
    else:
        asked = [each.query for each in question.vectors]
    of_pictures = next((query for query in asked if query.space.kind is SpaceKind.IMAGE), None)
    parts = []
    for place, part in enumerate(request.parts):
        if not isinstance(part.value, SentPicture):
            parts.append(part)
        elif of_pictures is not None:
            own = (each.vector for each in of_pictures.parts if each.place == place)
            vector = next(own, of_pictures.vector)
            parts.append(replace(part, kind=QueryKind.VECTOR, value=vector.tolist()))
    return replace(request, parts=tuple(parts))


def question_of(runtime: Runtime, request: SearchRequest) -> Question:
    """Return what is asked of which indexes; raises as `run` does."""
    if request.weights is not None:
        return fused_question(runtime, request)
    kind: EncoderKind = SpaceKind.PROMPT if request.source is Source.PROMPTS else SpaceKind.IMAGE
    space, parts = known_space(runtime, kind), dict(enumerate(request.parts))
    query, index = composed(runtime, request, parts, space, request.wait_s)
    return VectorQuestion(query, index, judges_of(runtime).of(query))


def _chosen(
    chooser: Chooser,
    question: Question,
    request: SearchRequest,
    k: int,
    before: Collection[int] = (),
) -> tuple[Ranking, list[Hit]]:
    """Return a ranking and what is chosen of it: k hits, if there are so many.

    Images that were shown `before` stand for those that count as one with them, whoever is nearer.
    """
    choice = request.choice
    seen = frozenset(before) if choice.collapse is not None else frozenset()

    def read(depth: int) -> Reading[tuple[Ranking, list[Hit]]]:
        ranking = question.rank(chooser.session, request, depth, chooser.safety)
        hits = sorted(ranking.hits, key=lambda hit: hit.image_id not in seen)
        chosen = chooser.chosen(hits if seen else ranking.hits, choice)
        return Reading((ranking, chosen), len(chosen) >= k or len(ranking.hits) < depth)

    first = k if choice.diversify is None else max(k, DIVERSE_POOL)
    if choice.newest_first:
        # The newest may be the last that is relevant.
        first = max(k, NEWEST_OF)
    return deepen(read, first if choice.collapse is None else 2 * first, most=MOST_COLLAPSED)


def _shown_by(question: Question) -> Query | None:
    """Return the query whose similarity results show: to the one space, or to pictures."""
    if isinstance(question, VectorQuestion):
        return question.query
    asked = (each.query for each in question.vectors if each.source == Source.PICTURES)
    return next(asked, None)


def _compared(question: Question) -> str:
    if isinstance(question, FusedQuestion):
        return FUSED
    return SOURCE_OF_KIND[question.query.space.kind]
