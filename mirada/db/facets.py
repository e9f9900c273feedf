"""Facets as SQL: the values of attributes, and how many images in scope have each.

Attributes that say one of a few things of each image are counted together, in one pass over the images. What
they say becomes one whole number, by which the images are grouped. SQLite groups 100,000 rows by one number
three times as fast as by eight columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    func,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from mirada.db.classifier_models import ClassifiedPicture, Feedback, ImageLabels
from mirada.db.filters import IS_SHAPE, in_scope, liked
from mirada.db.models import Content, Image
from mirada.db.pack_models import Pack, PackImage
from mirada.db.spaces import space_in_use
from mirada.db.tag_models import ImageTag
from mirada.db.visibility import is_told, may_see_pack
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.filters import Shape
from mirada.kernel.images import ImageStatus


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value of an attribute, as the database has it, and how many images have it."""

    value: Any
    count: int


@dataclass(frozen=True, slots=True)
class Coded:
    """An attribute of which every image has one value, as a whole number.

    Attributes:
        code: makes its SQL for a viewer: from 0 on, less than the number of values.
        values: the values by their codes; empty where the code itself is the value, however large.
    """

    code: Callable[[Audience], ColumnElement[Any]]
    values: Sequence[Any] = ()


Listed = Callable[[Audience], Select[Any]]
"""Makes a query of (value, image id), which is counted; it may have several rows of an image."""


def _is(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _place(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[int]:
    return case(*((each, place) for place, each in enumerate(conditions)), else_=len(conditions))


def _values(value: Any) -> Select[Any]:
    return select(value.label("value"), Image.id.label("image_id")).select_from(Image)


def _themes(audience: Audience) -> Select[Any]:
    return (
        _values(Feedback.theme)
        .join(Feedback, Feedback.content_id == Image.content_id)
        .where(Feedback.accepted == true(), is_told(audience))
    )


def _labels(audience: Audience) -> Select[Any]:
    own = ClassifiedPicture.owner_id == (audience.viewer_id or 0)
    return (
        _values(ClassifiedPicture.label)
        .join(ClassifiedPicture, and_(ClassifiedPicture.content_id == Image.content_id, own))
        .where(ClassifiedPicture.label.is_not(None))
    )


def _tags(_: Audience) -> Select[Any]:
    return _values(ImageTag.tag).join(ImageTag, ImageTag.image_id == Image.id)


def _labels_shown(_: Audience) -> Select[Any]:
    judged = and_(ImageLabels.image_id == Image.id, ImageLabels.space_id == space_in_use())
    return (
        _values(ImageLabels.label).join(ImageLabels, judged).where(ImageLabels.label.is_not(None))
    )


def _packs(audience: Audience) -> Select[Any]:
    return (
        _values(PackImage.pack_id)
        .join(PackImage, PackImage.image_id == Image.id)
        .join(Pack, Pack.id == PackImage.pack_id)
        .where(may_see_pack(audience))
    )


_STATUSES, _SHAPES = tuple(ImageStatus), tuple(Shape)


class _Month(FunctionElement[int]):
    """The year and the month of a moment: 202611."""

    type = BigInteger()
    inherit_cache = True
    name = "month_of"


@compiles(_Month)
def _month(element: _Month, compiler: SQLCompiler, **kw: Any) -> str:
    moment = compiler.process(element.clauses, **kw)
    return f"(EXTRACT(YEAR FROM {moment}) * 100 + EXTRACT(MONTH FROM {moment}))"


@compiles(_Month, "sqlite")
def _month_of_text(element: _Month, compiler: SQLCompiler, **kw: Any) -> str:
    # Moments are texts there: to read them as such takes half as long as STRFTIME.
    moment = compiler.process(element.clauses, **kw)
    return f"CAST(SUBSTR({moment}, 1, 4) || SUBSTR({moment}, 6, 2) AS INTEGER)"


CODED: Mapping[str, Coded] = {
    "is_public": Coded(lambda _: _is(Image.is_public == true()), (False, True)),
    "statuses": Coded(
        lambda _: _place([Image.status == each.value for each in _STATUSES[:-1]]), _STATUSES
    ),
    "is_animated": Coded(lambda _: _is(Content.is_animated == true()), (False, True)),
    "shapes": Coded(lambda _: _place([IS_SHAPE[each] for each in _SHAPES[:-1]]), _SHAPES),
    "has_prompt": Coded(lambda _: _is(Image.prompt.is_not(None)), (False, True)),
    "is_liked": Coded(lambda audience: _is(liked(True, audience)), (False, True)),
    # The last one: the code of all of them grows with it.
    "created_after": Coded(lambda _: _Month(Image.created_at)),
}
"""By the name of the attribute in `ImageFilter`; at most one has no values, the last."""
LISTED: Mapping[str, Listed] = {
    # Of its own: an index has the images by their owners, and there may be as many owners as images.
    "owner_ids": lambda _: _values(Image.owner_id),
    "theme": _themes,
    "labels": _labels,
    "shows": _labels_shown,
    # By their keys; who shows them asks how they are written.
    "tags": _tags,
    "pack_id": _packs,
}
FACETS = frozenset((*CODED, *LISTED))
"""The attributes whose values are counted."""


def count_together(
    session: Session, attributes: Collection[str], scope: Scope, most_images: int
) -> dict[str, list[ValueCount]]:
    """Return the values of attributes in CODED, in no certain order, by the attribute's name.

    Args:
        session: any.
        attributes: their names.
        scope: which images are counted.
        most_images: so many images are counted at most.
    """
    coded = [(name, each) for name, each in CODED.items() if name in attributes]
    key: ColumnElement[Any] | None = None
    step = 1
    for _, each in coded:
        part = cast(each.code(scope.audience), BigInteger) * step
        key = part if key is None else key + part
        step *= len(each.values) or 1
    if key is None:
        return {}
    images = select(key.label("key")).select_from(Image)
    images = images.join(Content, Content.id == Image.content_id).where(in_scope(scope))
    some = images.limit(most_images).subquery()
    found: dict[str, Counter[Any]] = {name: Counter() for name, _ in coded}
    for number, count in session.execute(select(some.c.key, func.count()).group_by(some.c.key)):
        rest = int(number)
        for name, each in coded:
            code, rest = (
                (rest, 0)
                if not each.values
                else (rest % len(each.values), rest // len(each.values))
            )
            found[name][each.values[code] if each.values else code] += count
    return {
        name: [ValueCount(value, count) for value, count in counted.items()]
        for name, counted in found.items()
    }


def count_listed(
    session: Session, attribute: str, scope: Scope, most_images: int, most_values: int
) -> list[ValueCount]:
    """Return the values of an attribute in LISTED, the most frequent ones first.

    Args:
        session: any.
        attribute: its name.
        scope: which images are counted.
        most_images: so many pairs of a value and an image are counted at most.
        most_values: so many values are returned at most.
    """
    pairs = LISTED[attribute](scope.audience).where(in_scope(scope)).limit(most_images).subquery()
    # One owner an image: to look for repeated ones takes longer than to count.
    count = func.count() if attribute == "owner_ids" else func.count(pairs.c.image_id.distinct())
    query = select(pairs.c.value, count).group_by(pairs.c.value)
    ordered = query.order_by(count.desc(), pairs.c.value).limit(most_values)
    return [ValueCount(value, number) for value, number in session.execute(ordered)]
