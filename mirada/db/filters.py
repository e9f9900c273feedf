"""Filters as SQL: the conditions on `images` that a filter asks for, one row for each attribute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, select

from mirada.db.models import Content, Image
from mirada.db.visibility import may_see
from mirada.kernel.audience import Scope

Condition = Callable[[Any, int | None], ColumnElement[bool]]
"""Makes a condition on `images` of an attribute's value and the viewer's id, None for nobody."""


def in_scope(scope: Scope) -> ColumnElement[bool]:
    """Return the condition on `images`: the audience may see it, and it passes the filter."""
    viewer_id = scope.audience.viewer_id
    conditions = [may_see(scope.audience)]
    for name, condition in CONDITIONS.items():
        value = getattr(scope.filter, name)
        if value is not None:
            conditions.append(condition(value, viewer_id))
    return and_(*conditions)


def _of_content(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    shown = select(Content.id).where(Content.id == Image.content_id, condition)
    return shown.correlate_except(Content).exists()


CONDITIONS: Mapping[str, Condition] = {
    "is_public": lambda value, _: Image.is_public.is_(value),
    "statuses": lambda value, _: Image.status.in_(sorted(value)),
    "is_animated": lambda value, _: _of_content(Content.is_animated.is_(value)),
    "has_prompt": lambda value, _: (
        Image.prompt_text_id.is_not(None) if value else Image.prompt_text_id.is_(None)
    ),
    "created_after": lambda value, _: Image.created_at >= value,
    "created_before": lambda value, _: Image.created_at < value,
}
"""By the name of the attribute in `ImageFilter`."""
