"""Filters as SQL: the conditions on `images` that a filter asks for, one row for each attribute.

None of them may tell what the viewer may not see. They stand beside `may_see`, and look at what is public
or the viewer's own: likes, file names, classifications. Verdicts count that they are told, groups as they
see them, and packs that they see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from typing import Any, TypeVarTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    cast,
    false,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.types import String

from mirada.db.classifier_models import ClassifiedPicture, Feedback, ImageLabels
from mirada.db.lowered import lowered
from mirada.db.memory_models import Like
from mirada.db.models import Content, Image, Installation
from mirada.db.spaces import space_in_use
from mirada.db.tag_models import ImageTag
from mirada.db.visibility import (
    in_area,
    in_group,
    in_pack,
    is_not_left_out,
    is_told,
    may_see,
)
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.colours import ColourName, names
from mirada.kernel.filters import EVERYTHING, Judged, Shape
from mirada.kernel.images import ImageStatus

Condition = Callable[[Any, Audience], ColumnElement[bool]]
"""Makes a condition on `images` of an attribute's value for a viewer."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute that images are filtered by.

    Attributes:
        condition: makes its SQL; conditions are joined by AND.
        is_followed: whether every change of it renumbers the vectors of its images, as a change of
            visibility does. Where it does not, the transaction that changes it calls `changes.note`.
    """

    condition: Condition
    is_followed: bool


KEPT_SCOPES = 256
"""Scopes whose statements are kept, of each kind: making one takes as long as reading ten rows."""
More = TypeVarTuple("More")


def in_scope(scope: Scope) -> ColumnElement[bool]:
    """Return the condition on `images`: the audience may see it, and it passes the filter."""
    asked = (
        ATTRIBUTES[name].condition(getattr(scope.filter, name), scope.audience)
        for name in scope.filter.asked
    )
    return and_(may_see(scope.audience), *asked)


def kept_by_scope(
    build: Callable[[Scope, *More], Select[Any]],
) -> Callable[[Scope, *More], Select[Any]]:
    """Return a function that makes a query for a scope, and keeps those of scopes without a filter.

    What the scope leaves out is a parameter of the query, `left_out_of(scope.audience)`: a search leaves
    out the image that is asked with. A filter's conditions may rest on the model that this thread's work
    uses, so theirs are made anew.
    """

    def made(scope: Scope, *more: *More) -> Select[Any]:
        return build(scope, *more).where(is_not_left_out())

    kept = lru_cache(KEPT_SCOPES)(made)

    @wraps(build)
    def built(scope: Scope, *more: *More) -> Select[Any]:
        with_all = scope.with_none_left_out() if scope.audience.left_out_ids else scope
        return kept(with_all, *more) if scope.filter.is_everything else made(with_all, *more)

    return built


def is_followed(scope: Scope) -> bool:
    """Return whether every change of what is in scope renumbers the vectors that it concerns."""
    return all(ATTRIBUTES[name].is_followed for name in scope.filter.asked)


def without(scope: Scope, *names: str) -> Scope:
    """Return a scope that does not ask for these attributes."""
    nothing: dict[str, Any] = {name: getattr(EVERYTHING, name) for name in names}
    return replace(scope, filter=replace(scope.filter, **nothing))


def _of_content(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    shown = select(Content.id).where(Content.id == Image.content_id, condition)
    return shown.correlate_except(Content).exists()


def liked(value: bool, audience: Audience) -> ColumnElement[bool]:
    """Return the condition on `images` that the viewer likes one; with False, that they do not."""
    if audience.viewer_id is None:
        return false() if value else true()
    liked = select(Like.image_id).where(
        Like.image_id == Image.id, Like.user_id == audience.viewer_id
    )
    found = liked.correlate_except(Like).exists()
    return found if value else ~found


def _accepted(theme: str, audience: Audience) -> ColumnElement[bool]:
    given = select(Feedback.id).where(
        Feedback.content_id == Image.content_id,
        Feedback.theme == theme,
        Feedback.accepted == true(),
        is_told(audience),
    )
    return given.correlate_except(Feedback).exists()


def _labelled(labels: frozenset[str], audience: Audience) -> ColumnElement[bool]:
    if audience.viewer_id is None:
        return false()
    classified = select(ClassifiedPicture.id).where(
        ClassifiedPicture.content_id == Image.content_id,
        ClassifiedPicture.owner_id == audience.viewer_id,
        ClassifiedPicture.label.in_(sorted(labels)),
    )
    return classified.correlate_except(ClassifiedPicture).exists()


def _tagged(tags: frozenset[str], _: Audience) -> ColumnElement[bool]:
    # One condition each: an image has to have all of them.
    found = (
        select(ImageTag.image_id)
        .where(ImageTag.image_id == Image.id, ImageTag.tag == tag)
        .correlate_except(ImageTag)
        .exists()
        for tag in sorted(tags)
    )
    return and_(*found)


def _shows(labels: frozenset[str], _: Audience) -> ColumnElement[bool]:
    judged = select(ImageLabels.image_id).where(
        ImageLabels.image_id == Image.id,
        ImageLabels.space_id == space_in_use(),
        ImageLabels.label.in_(sorted(labels)),
    )
    return judged.correlate_except(ImageLabels, Installation).exists()


def is_judged_in_use() -> ColumnElement[bool]:
    """Return the condition on `contents` that the score is of the image space in use."""
    condition: ColumnElement[bool] = Content.judged_space_id == space_in_use()
    return condition


def _judged(asked: Judged, _: Audience) -> ColumnElement[bool]:
    score = Content.nsfw_score
    verdict = score >= asked.threshold if asked.is_unsafe else score < asked.threshold
    # One that was made before the image came is of somebody else's upload of the same bytes.
    counts = Content.judged_at >= Image.created_at
    return and_(
        Image.status == ImageStatus.READY, _of_content(and_(verdict, counts, is_judged_in_use()))
    )


def _own(condition: ColumnElement[bool], audience: Audience) -> ColumnElement[bool]:
    if audience.viewer_id is None:
        return false()
    return and_(Image.owner_id == audience.viewer_id, condition)


def _named(text: str, audience: Audience) -> ColumnElement[bool]:
    return _own(lowered(Image.filename).contains(text.lower(), autoescape=True), audience)


_WIDE, _HIGH = 10 * Content.width, 10 * Content.height
IS_SHAPE: Mapping[Shape, ColumnElement[bool]] = {
    Shape.LANDSCAPE: 11 * Content.height < _WIDE,
    Shape.PORTRAIT: 11 * Content.width < _HIGH,
    Shape.SQUARE: and_(11 * Content.height >= _WIDE, 11 * Content.width >= _HIGH),
}
"""As `Shape.of` says it."""


def _has_shape(shapes: frozenset[Shape], _: Audience) -> ColumnElement[bool]:
    return _of_content(or_(*(IS_SHAPE[shape] for shape in sorted(shapes))))


def _coloured(colours: frozenset[ColourName], _: Audience) -> ColumnElement[bool]:
    digits = sorted(digits for digits, name in names().items() if name in colours)
    first = (func.substr(Content.colour, place, 1) for place in (2, 4, 6))
    red, green, blue = (cast(each, String(1)) for each in first)
    # Written into the statement: there may be more than a database takes as parameters.
    listed: Any = bindparam(None, digits, expanding=True, literal_execute=True)
    # Until then nothing is told of how it looks, also where somebody else had the same bytes before.
    return and_(Image.status == ImageStatus.READY, _of_content((red + green + blue).in_(listed)))


ATTRIBUTES: Mapping[str, Attribute] = {
    "owner_ids": Attribute(lambda value, _: Image.owner_id.in_(sorted(value)), is_followed=True),
    "is_public": Attribute(lambda value, _: Image.is_public == value, is_followed=True),
    "statuses": Attribute(lambda value, _: Image.status.in_(sorted(value)), is_followed=True),
    "is_animated": Attribute(
        lambda value, _: _of_content(Content.is_animated == value), is_followed=True
    ),
    "shapes": Attribute(_has_shape, is_followed=True),
    "colours": Attribute(_coloured, is_followed=False),
    "has_prompt": Attribute(
        lambda value, _: Image.prompt.is_not(None) if value else Image.prompt.is_(None),
        is_followed=False,
    ),
    "is_liked": Attribute(liked, is_followed=False),
    "created_after": Attribute(lambda value, _: Image.created_at >= value, is_followed=True),
    "created_before": Attribute(lambda value, _: Image.created_at < value, is_followed=True),
    "theme": Attribute(_accepted, is_followed=False),
    "labels": Attribute(_labelled, is_followed=False),
    "group_id": Attribute(in_group, is_followed=False),
    "nsfw": Attribute(_judged, is_followed=False),
    "filename": Attribute(_named, is_followed=False),
    "asset_id": Attribute(
        lambda value, audience: _own(Image.asset_id == value, audience), is_followed=True
    ),
    "area": Attribute(in_area, is_followed=False),
    "tags": Attribute(_tagged, is_followed=False),
    "shows": Attribute(_shows, is_followed=False),
    "pack_id": Attribute(in_pack, is_followed=False),
    "external_id": Attribute(lambda value, _: Image.external_id == value, is_followed=True),
}
"""By the name of the attribute in `ImageFilter`. A new attribute is one row here, one there, and one
field of the requests in `webapp/schemas/filters.py`."""
