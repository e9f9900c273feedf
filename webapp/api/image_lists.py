"""The list of images: filtered, in some order, with what there is of which kind; on their blueprint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mirada.duplicates.collapsing import list_collapsed
from mirada.kernel.duplicates import Tier
from mirada.pictures import image_lists, trash
from mirada.pictures.image_lists import Place, Sort
from mirada.pictures.shown_images import ShownImage
from webapp.api.images import blueprint
from webapp.callers.asking import scope_of_caller
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery, row_id_of, value_and_row_id_of
from webapp.schemas.filters import FACETS
from webapp.schemas.image_lists import (
    LIST_EXAMPLE,
    ImageListQuerySchema,
    ImageListSchema,
    summary_body,
)
from webapp.schemas.images import IMAGE_EXAMPLE, image_body


@blueprint.get("")
@blueprint.pages(
    "listImages",
    "List images, newest first",
    ImageListSchema,
    query=ImageListQuerySchema,
    example=IMAGE_EXAMPLE,
    beside=LIST_EXAMPLE,
)
def list_images(query: PageQuery) -> Listed[Any]:
    """Public images and the caller's own that meet every condition.

    Only what the caller may see is listed and counted. The next page goes on after the place of the
    last image: what came, went or was liked meanwhile makes no other image come twice or be left out.

    With `collapse` each group of duplicates is listed once, by its first image in the order; `total` and
    `facets` count all images.

    With `trash`, the caller's own images in the trash and no others: what was deleted last comes first,
    and `trashed_at` and `gone_at` say since when and until when. Their `picture` shows them to their owner;
    their other addresses are 404.
    """
    fields = query.filters
    scope = scope_of_caller(fields, own_alone=fields["mine"], in_trash=fields["trash"])
    sort = Sort.TRASHED if fields["trash"] else Sort(fields["sort"])
    wanted = {FACETS[name].attribute: FACETS[name].beside for name in fields["facets"]}
    of_all = None
    with current_runtime().reading() as session:
        rows: Sequence[Any]
        after, limit = _place(query, sort), query.limit + 1
        if fields["collapse"] is None:
            rows = image_lists.list_images(session, scope, sort=sort, after=after, limit=limit)
        else:
            tier = Tier(fields["collapse"])
            rows = list_collapsed(session, scope, tier, sort=sort, after=after, limit=limit)
        if query.cursor is None:
            of_all = image_lists.summary(session, scope, wanted)
    if fields["collapse"] is not None:
        return Listed(
            rows,
            lambda one: image_body(one.image) | {"collapsed_count": one.behind},
            value=lambda one: image_lists.place_of(one.image, sort).value,
            beside=summary_body(of_all),
            is_ready=True,
        )
    return Listed(
        rows,
        _trashed_body if fields["trash"] else image_body,
        value=lambda image: image_lists.place_of(image, sort).value,
        beside=summary_body(of_all),
        is_ready=True,
    )


def _trashed_body(image: ShownImage) -> dict[str, Any]:
    assert image.trashed_at is not None
    days = current_runtime().settings.trash_days
    until = trash.gone_at(image.trashed_at, days)
    return image_body(image) | {"trashed_at": image.trashed_at, "gone_at": until}


def _place(query: PageQuery, sort: Sort) -> Place | None:
    """Return where a page begins. Raises InvalidInput for a cursor that is none of that order."""
    if sort in image_lists.SORTED_BY:
        found = value_and_row_id_of(query.cursor)
        return None if found is None else Place(found[1], found[0])
    row_id = row_id_of(query.cursor)
    return None if row_id is None else Place(row_id)
