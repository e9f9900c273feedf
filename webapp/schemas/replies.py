"""The common parts of replies, and pages of lists."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

import marshmallow as ma
from marshmallow import validate

MAX_PAGE = 100
_TWO = "(?:[MN][DTjz]|O[DT])[AEIMQUYcgk]"
_DIGITS = {1: "(?:[MN][AQgw]|O[AQ])", 2: _TWO, 3: f"{_TWO}[w-z0-5]"}
CURSOR = (
    f"^YWZ0ZXI6(?:(?:{_DIGITS[3]}){{1,5}}(?:{_DIGITS[2]}|{_DIGITS[1]})?|{_DIGITS[2]}|{_DIGITS[1]})$"
)
"""A row's id as `webapp.http.paging` writes it. Opaque to clients, which send back what they were given."""


class ReplySchema(ma.Schema):
    """A reply may gain fields; strict clients must not break on them."""

    class Meta:
        """Allow more fields than are named."""

        unknown = ma.INCLUDE


class ProblemSchema(ReplySchema):
    """RFC 9457 problem details with our `code`, `errors` and `request_id`."""

    type = ma.fields.String(
        required=True, metadata={"description": "Stable relative reference, one per code."}
    )
    title = ma.fields.String(required=True)
    status = ma.fields.Integer(required=True, metadata={"examples": [422]})
    detail = ma.fields.String(
        required=True, metadata={"description": "What happened and what to do about it."}
    )
    code = ma.fields.String(required=True, metadata={"examples": ["invalid_input"]})
    errors = ma.fields.Dict(
        keys=ma.fields.String(), metadata={"description": "Messages by the field at fault."}
    )
    request_id = ma.fields.String(allow_none=True)


class ResourceSchema(ReplySchema):
    """Something that is kept under an address of its own."""

    id = ma.fields.Integer(required=True)
    created_at = ma.fields.DateTime(required=True)
    url = ma.fields.String(required=True)


HOW_MANY = ma.fields.Integer(required=True, metadata={"description": "How many there are in all."})


SORTED_CURSOR = f"^YWZ0ZXI6(?:{_DIGITS[3]}){{1,9}}(?:{_DIGITS[2]}|{_DIGITS[1]})?$"
"""The same with what the list is sorted by in front of the id."""


class PageQuerySchema(ma.Schema):
    """The page of a list; lists with filters add them."""

    limit = ma.fields.Integer(load_default=20, validate=validate.Range(1, MAX_PAGE))
    cursor = ma.fields.String(
        load_default=None,
        metadata={"pattern": CURSOR, "description": "From `next` of the page before."},
    )


def list_of(item: type[ma.Schema], name: str, **more: ma.fields.Field) -> type[ma.Schema]:
    """Return the schema of a whole list: `results` and `count`.

    Args:
        item: of one result.
        name: of the schema.
        **more: further fields.
    """
    fields: dict[str, ma.fields.Field] = {
        "results": ma.fields.List(ma.fields.Nested(item), required=True),
        "count": ma.fields.Integer(required=True),
    }
    return type(f"{name}Schema", (ReplySchema,), fields | more)


@functools.cache
def page_of(
    item: type[ma.Schema],
    *,
    name: str | None = None,
    base: type[ma.Schema] = ReplySchema,
    is_terse: bool = False,
    **more: ma.fields.Field,
) -> type[ma.Schema]:
    """Return the schema of a page: `results`, `count`, and `next`, the address of the next page.

    Args:
        item: of one result.
        name: of the schema; None makes ItemPage of Item.
        base: whose fields the page has as well.
        is_terse: whether `count` and `next` go without a description.
        **more: further fields, or others in the place of these.
    """
    said = {"count": "How many this page holds.", "next": "Address of the next page."}
    metadata = {field: {} if is_terse else {"description": text} for field, text in said.items()}
    fields = {
        "results": ma.fields.List(ma.fields.Nested(item), required=True),
        "count": ma.fields.Integer(required=True, metadata=metadata["count"]),
        "next": ma.fields.String(required=True, allow_none=True, metadata=metadata["next"]),
    }
    stem = name or f"{item.__name__.removesuffix('Schema')}Page"
    return type(f"{stem}Schema", (base,), fields | more)


def ignored_names() -> ma.fields.List:
    """Return the field with the names in a request that mean nothing there."""
    told = (
        "Query parameters and form fields that were sent and mean nothing here; only where there "
        "are any."
    )
    return ma.fields.List(ma.fields.String(), metadata={"description": told})


def time_of(unix_ms: int | None) -> datetime | None:
    """Return the UTC time of milliseconds since 1970; None of None."""
    return None if unix_ms is None else datetime.fromtimestamp(unix_ms / 1000, UTC)
