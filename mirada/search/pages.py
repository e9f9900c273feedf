"""Searches page by page: the first page of each kind of search, and the page that a cursor names."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from mirada.kernel.audience import Scope
from mirada.runtime import Runtime
from mirada.search.around import Placed, around
from mirada.search.by_vector import loaded
from mirada.search.found import Found, FoundImage, Hit, Judged, Ranking, judged_by
from mirada.search.paged import Page, Ranked
from mirada.search.pager import MOST_RANKED, Pager
from mirada.search.related import (
    Related,
    RelatedImage,
    RelatedRequest,
    rank_related,
    related_images,
)
from mirada.search.request import SearchRequest
from mirada.search.run import rank_whole, run, with_named_left_out
from mirada.search.safety import safety_in_force

Request = TypeVar("Request", bound=SearchRequest | RelatedRequest)
MOST_RELATED = 1_000
"""Images ranked for all further pages of related ones: two rankings are read far deeper for them."""
NOT_NOW = (
    "There is more, and no page of it just now: the database takes no changes. Ask again shortly."
)
_SEARCH, _RELATED = b"s", b"r"
_REQUESTS = TypeAdapter(SearchRequest)
_RELATED_REQUESTS = TypeAdapter(RelatedRequest)
_RANKINGS = TypeAdapter(Ranking)
_ABOUT_RELATED = TypeAdapter(tuple[float, Judged])


def first_page(runtime: Runtime, request: SearchRequest, pager: Pager) -> Found:
    """Return what `run` does, with the cursor of the next page where there is more."""
    is_whole = True

    def cursor_of(repeatable: SearchRequest, shown: Sequence[Hit]) -> str | None:
        nonlocal is_whole
        is_whole = False
        question = _SEARCH + _packed(_REQUESTS, _comparable(repeatable))
        return pager.after_first(question, [hit.image_id for hit in shown], request.k)

    found = run(runtime, request, cursor_of)
    if is_whole:
        return replace(found, ranked_count=len(found.results))
    return found if found.cursor else replace(found, reason=NOT_NOW)


def next_page(
    runtime: Runtime,
    cursor: str,
    pager: Pager,
    accepts: Callable[[SearchRequest], bool],
    limit: int | None = None,
) -> Found:
    """Return the page of a search that a cursor names.

    All pages but the first are of one ranking, which is made for the second one. So whatever comes
    and goes meanwhile, no image is on two pages, and none is missing that was there all along and
    is among the MOST_RANKED best. Each page shows what the caller may see now.

    Args:
        runtime: with the database, indexes and encoders.
        cursor: of the page.
        pager: the caller's.
        accepts: tells whether a search is the one that was sent with the cursor; see `same_search`.
        limit: most results; None for as many as before.

    Raises:
        InvalidInput: the cursor was not given to this caller, or is of another search.
        SearchExpired: it is too old, or its ranking had to make room.
        NotFound, Conflict, Unavailable: as `run`, for the second page.
    """
    page = pager.turn(cursor, _search(runtime, accepts), limit)
    ranking = _RANKINGS.validate_json(page.about)
    reason = _few(page, MOST_RANKED)
    return Found(page.results, ranking, reason, page.cursor, page.ranked_count)


@dataclass(frozen=True, slots=True)
class FirstPlaces:
    """The first places of a search.

    Attributes:
        ids: of the images of its first page and, where there is more, of the next one.
        cursor: of the second page; None where there is none.
        past: whether an image of the first page is not relevant.
    """

    ids: Sequence[int]
    cursor: str | None
    past: bool


def first_places(runtime: Runtime, request: SearchRequest, pager: Pager) -> FirstPlaces:
    """Return the order in which `first_page` shows images, without loading them; raises as `run` does."""
    hits = rank_whole(runtime, request, request.k + 1).hits
    shown = hits[: request.k]
    cursor = None
    if len(hits) > request.k:
        question = _SEARCH + _packed(_REQUESTS, _comparable(request))
        cursor = pager.after_first(question, [hit.image_id for hit in shown], request.k)
    past = any(not hit.is_relevant for hit in shown)
    return FirstPlaces([hit.image_id for hit in hits], cursor, past)


def beside(
    runtime: Runtime, request: SearchRequest, image_id: int, pager: Pager, cursor: str
) -> tuple[Placed | None, Placed | None] | None:
    """Return what stands beside an image on later pages; raises as `Pager.whole`."""
    asking = _search(runtime, same_search(request))
    return around(runtime, pager.whole(cursor, asking), image_id, asking)


def same_search(request: SearchRequest) -> Callable[[SearchRequest], bool]:
    """Return a function that tells whether a search is this one; the number of results may differ."""
    wanted = _comparable(request)
    return lambda other: replace(other, k=wanted.k) == wanted


def _search(runtime: Runtime, accepts: Callable[[SearchRequest], bool]) -> _Asking[SearchRequest]:
    def rank(request: SearchRequest, shown: Sequence[int]) -> Ranked:
        ranking = rank_whole(runtime, request, MOST_RANKED, shown)
        judged = Judged(ranking.verdict, ranking.relevant_count)
        about = _RANKINGS.dump_json(replace(ranking, hits=(), judged=judged)).decode()
        return Ranked(ranking.hits, about, is_cut=ranking.reason is None)

    return _Asking(runtime, _SEARCH, _REQUESTS, accepts, rank)


def first_related(runtime: Runtime, request: RelatedRequest, pager: Pager) -> Related:
    """Return the images related to one, with the cursor of the next page where there is more."""
    found = related_images(runtime, replace(request, k=request.k + 1))
    if len(found.results) <= request.k:
        few = found.reason if len(found.results) < request.k else None
        return replace(found, reason=few, ranked_count=len(found.results))
    results = found.results[: request.k]
    # The one more that tells whether there is a next page is counted there.
    judged = judged_by([result.hit for result in results])
    question = _RELATED + _packed(_RELATED_REQUESTS, _timeless(request))
    cursor = pager.after_first(question, [result.image.id for result in results], request.k)
    reason = None if cursor else NOT_NOW
    return replace(found, results=results, reason=reason, cursor=cursor, judged=judged)


def next_related(
    runtime: Runtime,
    cursor: str,
    pager: Pager,
    accepts: Callable[[RelatedRequest], bool],
    limit: int | None = None,
) -> Related:
    """Return the page of related images that a cursor names, as `next_page` does for searches."""

    def rank(request: RelatedRequest, _shown: Sequence[int]) -> Ranked:
        pairs = rank_related(runtime, request, MOST_RELATED)
        about = _ABOUT_RELATED.dump_json((pairs.blend, judged_by(pairs.hits))).decode()
        return Ranked(pairs.hits, about, len(pairs.hits) == MOST_RELATED)

    asking = _Asking(runtime, _RELATED, _RELATED_REQUESTS, accepts, rank)
    page = pager.turn(cursor, asking, limit)
    results = [RelatedImage(found.image, found.hit) for found in page.results]
    blend, judged = _ABOUT_RELATED.validate_json(page.about)
    few = _few(page, MOST_RELATED)
    return Related(results, blend, few, page.cursor, page.ranked_count, judged)


def same_related(request: RelatedRequest) -> Callable[[RelatedRequest], bool]:
    """Return what `same_search` does, for related images."""
    wanted = _timeless(request)
    return lambda other: replace(other, k=wanted.k) == wanted


class _Asking(Generic[Request]):
    """One kind of search; see `pager.Asking`."""

    def __init__(
        self,
        runtime: Runtime,
        kind: bytes,
        adapter: TypeAdapter[Request],
        is_same: Callable[[Request], bool],
        rank: Callable[[Request, Sequence[int]], Ranked],
    ) -> None:
        self._kind = kind
        self._adapter: TypeAdapter[Request] = adapter
        self._is_same: Callable[[Request], bool] = is_same
        self._rank: Callable[[Request, Sequence[int]], Ranked] = rank
        self._safety = safety_in_force(runtime)

    def accepts(self, question: bytes) -> bool:
        return question.startswith(self._kind) and self._is_same(self._request(question))

    def rank(self, question: bytes, shown: Sequence[int]) -> Ranked:
        return self._rank(self._request(question), shown)

    def show(
        self, session: Session, question: bytes, hits: Sequence[Hit]
    ) -> list[tuple[int, FoundImage]]:
        scope: Scope = self._request(question).scope
        if self._safety is not None:
            ids = [hit.image_id for hit in hits]
            safe = set(self._safety.safe_among(session, ids, scope.audience))
            hits = [hit for hit in hits if hit.image_id in safe]
        pairs = loaded(session, [(hit.image_id, hit) for hit in hits], scope)
        return [(hit.image_id, FoundImage(image, hit)) for image, hit in pairs]

    def _request(self, question: bytes) -> Request:
        return self._adapter.validate_json(zlib.decompress(question.removeprefix(self._kind)))


def _few(page: Page[FoundImage], most: int) -> str | None:
    """Return why a page has fewer results than asked for; None where it has as many."""
    if len(page.results) == page.limit:
        return None
    if page.is_cut:
        return f"The {most:,} best are ranked, and these are the last of them; narrow the search."
    return "There are no more."


def _comparable(request: SearchRequest) -> SearchRequest:
    """Return a search without what only its first page needs."""
    return with_named_left_out(replace(_timeless(request), wait_s=None))


def _timeless(request: Request) -> Request:
    """Return a search without how fresh its first page had to be."""
    return replace(request, asked=replace(request.asked, min_change_seq=None))


def _packed(adapter: TypeAdapter[Request], request: Request) -> bytes:
    return zlib.compress(adapter.dump_json(request, exclude_defaults=True), 1)
