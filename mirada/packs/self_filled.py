"""The pictures of a pack that fills itself, found as whoever looks at it."""

from __future__ import annotations

from mirada.kernel.audience import Audience
from mirada.kernel.conditions import filter_of
from mirada.kernel.errors import NotFound, SearchExpired
from mirada.packs.limits import MOST_FOUND
from mirada.packs.member_rows import LEFT_THE_PACK, Member, list_members
from mirada.packs.saved_queries import SavedQuery, read_query
from mirada.packs.shown import see_pack
from mirada.pictures import image_lists
from mirada.pictures.image_lists import Place
from mirada.pictures.shown_images import ShownImage
from mirada.runtime import Runtime
from mirada.search.asked import Asked
from mirada.search.judging import narrowed
from mirada.search.request import SearchRequest
from mirada.search.run import run


def images_of_pack(
    runtime: Runtime,
    pack_id: int,
    audience: Audience,
    *,
    cursor: int | None = None,
    limit: int = 50,
    request_id: str | None = None,
) -> list[Member]:
    """Return at most `limit` pictures of a pack in its order: those that the viewer may see.

    A pack that a filter fills has the newest first, one that a search fills the MOST_FOUND best that are
    relevant, the best first.

    Args:
        runtime: with the database, indexes and encoders.
        pack_id: which pack.
        audience: who asks.
        cursor: the id of the last picture of the page before; None for the first page.
        limit: >= 1.
        request_id: of the request, for what it queues.

    Raises:
        NotFound: there is no such pack, or the viewer may not see it.
        SearchExpired: the picture that the cursor names is not in it any more.
        Unavailable: an encoder or an index is not ready, of a pack that a search fills.
    """
    with runtime.reading() as session:
        pack = see_pack(session, pack_id, audience)
        if pack.query is None:
            return list_members(session, pack, audience, cursor=cursor, limit=limit)
        asked = read_query(pack.query)
    conditions = filter_of(asked.conditions, runtime.settings.nsfw_threshold)
    scope = narrowed(runtime, audience, conditions, request_id)
    if asked.parts:
        found = _searched(runtime, asked, Asked(scope))
        return [Member(image) for image in _page_of(found, cursor, limit)]
    with runtime.reading() as session:
        place = None if cursor is None else Place(cursor)
        images = image_lists.list_images(session, scope, after=place, limit=limit)
    return [Member(image) for image in images]


def _searched(runtime: Runtime, asked: SavedQuery, terms: Asked) -> list[ShownImage]:
    request = SearchRequest(
        asked.parts, terms, MOST_FOUND, asked.source, asked.weights, asked.threshold
    )
    try:
        found = run(runtime, request)
    except NotFound:
        # It is filled by what is like an image that this viewer does not see: they see nothing.
        return []
    return [each.image for each in found.results if each.hit.is_relevant]


def _page_of(found: list[ShownImage], cursor: int | None, limit: int) -> list[ShownImage]:
    if cursor is None:
        return found[:limit]
    places = {image.id: place for place, image in enumerate(found)}
    if cursor not in places:
        raise SearchExpired(LEFT_THE_PACK)
    begin = places[cursor] + 1
    return found[begin : begin + limit]
