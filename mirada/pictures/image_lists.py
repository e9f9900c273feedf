"""Lists of images: in some order, page by page, with how many there are and what they are like.

Every number is of images in scope: nothing is counted that the viewer may not see.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, func, literal, or_, select
from sqlalchemy.orm import Session

from mirada.db import filters
from mirada.db.by_change import KnownByChange
from mirada.db.chunks import rows_in
from mirada.db.facets import CODED, ValueCount, count_listed, count_together
from mirada.db.image_tags import names_in
from mirada.db.models import Content, Image, User
from mirada.db.spaces import viewed_space_id
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.ids import LARGEST_ID
from mirada.pictures.shown_images import ShownImage, shown_to
from mirada.runtime import Runtime

COUNTED_IMAGES = 100_000
"""Images that are counted at most, so that a count takes no longer in a larger library."""
NOTHING_PASSES = "There is no image that you may see and that meets every condition."
LATEST_S = 253_402_300_799
"""The end of the year 9999, in Unix seconds."""
FACET_VALUES = 50
"""Values of a facet that are told: those that most images have."""
REMEMBERED_S = 10.0
"""Counts of facets are taken from memory for so long, if nothing has changed that concerns who sees what."""
MEMORY_BYTES, ENTRY_BYTES, VALUE_BYTES = 8 << 20, 3_000, 250
"""Of remembered counts in one process, of which each value takes so many bytes; room for a thousand."""

_Asked = tuple[Scope, tuple[tuple[str, tuple[str, ...]], ...], int | None]
"""Who asks for which facets, and the image space in their view: filters ask for scores of a model."""


class Sort(StrEnum):
    """The order of a list of images; ties are by id, as in the order NEWEST or, for OLDEST, against it.

    TRASHED is that of the trash: what was deleted last comes first.
    """

    NEWEST = "newest"
    OLDEST = "oldest"
    LIKES = "likes"
    LARGEST = "largest"
    TRASHED = "trashed"


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an image in a list, from which the next page goes on.

    Attributes:
        image_id: the image's, or what was one's: it may be gone.
        value: what the list is sorted by, likes, pixels or Unix seconds; None where that is the id.
    """

    image_id: int
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """The number of images of a list; where it is not exact, there are at least so many."""

    value: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary of a whole list.

    Attributes:
        total: how many images it has.
        facets: counts by the name of an attribute.
        reason: why it is empty, where the filter is to blame; else None.
    """

    total: Total
    facets: Mapping[str, Sequence[ValueCount]]
    reason: str | None


_LIKES = Image.like_count
_PIXELS = Content.width * Content.height
SORTED_BY: Mapping[Sort, Any] = {
    Sort.LIKES: _LIKES,
    Sort.LARGEST: _PIXELS,
    Sort.TRASHED: Image.trashed_at,
}
"""What a list is sorted by, the highest first; the other orders are by the id alone."""


def list_images(
    session: Session,
    scope: Scope,
    *,
    sort: Sort = Sort.NEWEST,
    after: Place | None = None,
    limit: int = 50,
) -> list[ShownImage]:
    """Return at most `limit` images in scope, as the viewer is shown them.

    A page that begins after a place neither repeats nor leaves out what stayed where it was, whatever
    came, went, or was liked meanwhile.

    Args:
        session: any.
        scope: who asks, and which images.
        sort: the order.
        after: the place of the last image of the page before; None for the first page.
        limit: >= 1.
    """
    page = select(Image.id).where(filters.in_scope(scope))
    if sort is Sort.LARGEST:
        page = page.join(Content, Content.id == Image.content_id)
    if after is not None:
        page = page.where(_is_after(sort, after))
    key = SORTED_BY.get(sort)
    order = [] if key is None else [key.desc()]
    order.append(Image.id.asc() if sort is Sort.OLDEST else Image.id.desc())
    # What else is shown is read of the page alone: joined before, MySQL sorts the whole list.
    chosen = page.order_by(*order).limit(limit).subquery()
    query = shown_to(scope.viewer_id).join(chosen, chosen.c.id == Image.id).order_by(*order)
    return [ShownImage._make(row) for row in session.execute(query)]


def place_of(image: ShownImage, sort: Sort) -> Place:
    """Return the place of an image in a list of that order."""
    match sort:
        case Sort.LIKES:
            return Place(image.id, image.like_count)
        case Sort.LARGEST:
            return Place(image.id, image.width * image.height)
        case Sort.TRASHED:
            at = image.trashed_at
            return Place(image.id, None if at is None else int(at.timestamp()))
        case _:
            return Place(image.id)


def neighbours(
    session: Session, scope: Scope, sort: Sort, place: Place
) -> tuple[int | None, int | None] | None:
    """Return the ids of the images before and after a place; None where no image of the list is there.

    Args:
        session: any.
        scope: who asks, and which images.
        sort: the order of the list.
        place: of an image.
    """
    listed = select(Image.id).where(filters.in_scope(scope))
    here = listed.where(Image.id == min(place.image_id, LARGEST_ID))
    if session.execute(here).scalar_one_or_none() is None:
        return None
    if sort is Sort.LARGEST:
        listed = listed.join(Content, Content.id == Image.content_id)
    key = SORTED_BY.get(sort)
    is_rising = sort is Sort.OLDEST
    sides = []
    for condition, is_up in ((_is_before(sort, place), True), (_is_after(sort, place), False)):
        order = [] if key is None else [key.asc() if is_up else key.desc()]
        order.append(Image.id.asc() if is_up != is_rising else Image.id.desc())
        nearest = listed.where(condition).order_by(*order).limit(1)
        sides.append(session.execute(nearest).scalar_one_or_none())
    return sides[0], sides[1]


def summary(session: Session, scope: Scope, attributes: Mapping[str, Sequence[str]]) -> Summary:
    """Return what there is to say of all images in scope; `attributes` as `facets` takes them."""
    count = total(session, scope)
    is_blamed = count.value == 0 and not scope.filter.is_everything
    return Summary(count, facets(session, scope, attributes), NOTHING_PASSES if is_blamed else None)


def total(session: Session, scope: Scope) -> Total:
    """Return how many images are in scope; COUNTED_IMAGES and not exact where there are more."""
    some = select(Image.id).where(filters.in_scope(scope)).limit(COUNTED_IMAGES + 1).subquery()
    count = session.execute(select(func.count()).select_from(some)).scalar_one()
    return Total(min(count, COUNTED_IMAGES), count <= COUNTED_IMAGES)


def owner_names(session: Session, scope: Scope, user_ids: Collection[int]) -> dict[int, str]:
    """Return the user names of those of these people who have an image in scope, by their ids."""
    owned = select(Image.id).where(Image.owner_id == User.id, filters.in_scope(scope))
    query = select(User.id, User.username).where(owned.correlate_except(Image).exists())
    return dict(rows_in(session, query, User.id, user_ids))


def facets(
    session: Session, scope: Scope, attributes: Mapping[str, Sequence[str]]
) -> dict[str, list[ValueCount]]:
    """Return for each attribute its FACET_VALUES most frequent values among the images in scope.

    What the filter asks of that attribute itself is left out, so that a viewer sees what else they
    could choose. Of more than COUNTED_IMAGES images some are counted.

    Args:
        session: any.
        scope: who asks, and which images.
        attributes: by the name of an attribute with a facet: those that say the same in other
            words, and are left out with it.
    """
    found: dict[str, list[ValueCount]] = {}
    together: dict[Scope, list[str]] = {}
    for name, beside in attributes.items():
        narrowed = filters.without(scope, name, *beside)
        if name in CODED:
            together.setdefault(narrowed, []).append(name)
        else:
            counts = count_listed(session, name, narrowed, COUNTED_IMAGES, FACET_VALUES)
            found[name] = _as_written(session, narrowed, counts) if name == "tags" else counts
    for narrowed, names in together.items():
        counted = count_together(session, names, narrowed, COUNTED_IMAGES)
        for name, values in counted.items():
            found[name] = sorted(values, key=lambda one: (-one.count, one.value))[:FACET_VALUES]
    return found


def _as_written(session: Session, scope: Scope, counts: Sequence[ValueCount]) -> list[ValueCount]:
    """Return counts of tags with their names in place of their keys."""
    names = names_in(session, scope, [each.value for each in counts])
    return [ValueCount(names.get(each.value, each.value), each.count) for each in counts]


def remembered_facets(
    runtime: Runtime, session: Session, scope: Scope, attributes: Mapping[str, Sequence[str]]
) -> dict[str, list[ValueCount]]:
    """Return what `facets` does, as it was at most REMEMBERED_S ago if no change has taken a number since.

    So nothing is counted that was made private or deleted since. What takes no number, such as that a
    picture could not be understood, is counted late.
    """
    asked = tuple((name, tuple(beside)) for name, beside in attributes.items())
    memory: KnownByChange[_Asked, dict[str, list[ValueCount]]] = runtime.remembered(
        "facets of viewers",
        lambda: KnownByChange(_nbytes, MEMORY_BYTES, max_age_s=REMEMBERED_S),
    )
    key = (scope, asked, viewed_space_id(SpaceKind.IMAGE))
    return memory.value(session, key, lambda: facets(session, scope, attributes))


def _nbytes(counted: Mapping[str, Sequence[ValueCount]]) -> int:
    return ENTRY_BYTES + VALUE_BYTES * sum(len(values) for values in counted.values())


def _is_after(sort: Sort, place: Place) -> ColumnElement[bool]:
    image_id = min(place.image_id, LARGEST_ID)
    if sort is Sort.OLDEST:
        return Image.id > image_id
    earlier = Image.id < image_id
    key = SORTED_BY.get(sort)
    if key is None:
        return earlier
    value = _value_of(sort, place)
    return or_(key < value, and_(key == value, earlier))


def _is_before(sort: Sort, place: Place) -> ColumnElement[bool]:
    image_id = min(place.image_id, LARGEST_ID)
    if sort is Sort.OLDEST:
        return Image.id < image_id
    later = Image.id > image_id
    key = SORTED_BY.get(sort)
    if key is None:
        return later
    value = _value_of(sort, place)
    return or_(key > value, and_(key == value, later))


def _value_of(sort: Sort, place: Place) -> Any:
    if sort is Sort.TRASHED:
        return datetime.fromtimestamp(min(place.value or 0, LATEST_S), UTC)
    # As a BIGINT: PostgreSQL fails on a cursor whose value is more than the column can hold.
    return literal(min(place.value or 0, LARGEST_ID), BigInteger)
