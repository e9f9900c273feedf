"""Pages by cursor: opaque to clients, stable while images come and go."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, TypedDict, TypeVar

from flask import Response, request, url_for

from mirada.kernel.errors import InvalidInput
from webapp.http.json_replies import ready

Row = TypeVar("Row")
Reply = tuple[dict[str, Any] | Response, int, dict[str, str]]
_PREFIX = b"after:"
VALUE_DIGITS = 10
"""Of the value by which a list is sorted, in a cursor: with zeros in front."""
MAX_ID_DIGITS = 18


def cursor_after(row_id: int | str, value: int | None = None) -> str:
    """Return the cursor of the page that begins after this row.

    Args:
        row_id: of the row; its text where the list is in the order of texts.
        value: what the list is sorted by before the id, 0 to 9,999,999,999; None for nothing.
    """
    digits = f"{'' if value is None else f'{value:0{VALUE_DIGITS}}'}{row_id}"
    return base64.urlsafe_b64encode(_PREFIX + digits.encode()).decode().rstrip("=")


def row_id_of(cursor: str | None) -> int | None:
    """Return the row id a cursor names, None for the first page.

    Raises:
        InvalidInput: no page of ours ever gave out this cursor.
    """
    if cursor is None:
        return None
    digits = _digits_of(cursor)
    if len(digits) > MAX_ID_DIGITS:
        raise _no_cursor()
    return int(digits)


def value_and_row_id_of(cursor: str | None) -> tuple[int, int] | None:
    """Return the value and the row id that a cursor names, None for the first page.

    Raises:
        InvalidInput: no page of ours, with that order, ever gave out this cursor.
    """
    if cursor is None:
        return None
    digits = _digits_of(cursor)
    if not VALUE_DIGITS < len(digits) <= VALUE_DIGITS + MAX_ID_DIGITS:
        raise _no_cursor()
    return int(digits[:VALUE_DIGITS]), int(digits[VALUE_DIGITS:])


def text_of(cursor: str | None) -> str | None:
    """Return the text that a cursor of a list in the order of texts names, None for the first page.

    Raises:
        InvalidInput: no page of ours ever gave out this cursor.
    """
    if cursor is None:
        return None
    try:
        text = _plain(cursor).decode()
    except UnicodeDecodeError:
        raise _no_cursor() from None
    if not text or "\0" in text:
        raise _no_cursor()
    return text


def _digits_of(cursor: str) -> str:
    digits = _plain(cursor)
    if not digits.isdigit():
        raise _no_cursor()
    return digits.decode()


def _plain(cursor: str) -> bytes:
    try:
        plain = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        plain = b""
    if not plain.startswith(_PREFIX):
        raise _no_cursor()
    return plain.removeprefix(_PREFIX)


def _no_cursor() -> InvalidInput:
    return InvalidInput(
        "This cursor is none that a page gave out; start again without one.",
        fields={"cursor": ["Take it from `next` of the page before."]},
    )


class Bounds(TypedDict):
    """Where a page begins, by the id of the row before it, and how many rows are read."""

    cursor: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A request for one page of a list.

    Attributes:
        limit: rows of a page.
        cursor: as it was sent; None for the first page.
        filters: the other arguments, which the next page needs as well.
    """

    limit: int
    cursor: str | None
    filters: Mapping[str, Any]

    @property
    def bounds(self) -> Bounds:
        """The bounds of the list's query: one row more than the page holds.

        Raises:
            InvalidInput: no page of ours ever gave out this cursor.
        """
        return {"cursor": row_id_of(self.cursor), "limit": self.limit + 1}

    def address(self, **more: str) -> str:
        """Return the address of a page of the same list; without a cursor, of the first one."""
        # As they were sent: false is not the same as nothing.
        arguments: dict[str, Any] = {
            name: request.args.getlist(name) for name in self.filters if name in request.args
        }
        arguments |= {**(request.view_args or {}), "limit": self.limit, **more}
        return url_for(request.endpoint or "", **arguments)


@dataclass(frozen=True, slots=True)
class Listed(Generic[Row]):
    """A list's rows and how they are shown.

    Attributes:
        rows: those of the page, and one more where there is one.
        body: returns a row's fields for the reply.
        row_id: returns the id that the next page's cursor names.
        beside: further fields of the reply.
        value: returns what the list is sorted by before the id; None where nothing is.
        is_ready: whether the fields are as the schema would make them; see `json_replies.ready`.
    """

    rows: Sequence[Row]
    body: Callable[[Row], dict[str, Any]]
    row_id: Callable[[Row], int | str] = attrgetter("id")
    beside: Mapping[str, Any] = field(default_factory=dict)
    value: Callable[[Row], int | None] = lambda _: None
    is_ready: bool = False


def paged(view: Callable[..., Listed[Any]]) -> Callable[..., Reply]:
    """Return a view that answers with one page: body, status and the Link header (RFC 8288).

    Args:
        view: takes a PageQuery in place of the arguments, then what the path names.
    """

    @functools.wraps(view)
    def answer(arguments: dict[str, Any], **path: Any) -> Reply:
        filters = {name: arguments[name] for name in arguments if name not in ("limit", "cursor")}
        query = PageQuery(arguments["limit"], arguments["cursor"], filters)
        listed = view(query, **path)
        shown, following = listed.rows[: query.limit], None
        links = [f'<{query.address()}>; rel="first"']
        if len(listed.rows) > query.limit:
            following = query.address(
                cursor=cursor_after(listed.row_id(shown[-1]), listed.value(shown[-1]))
            )
            links.append(f'<{following}>; rel="next"')
        body = {
            "results": [listed.body(row) for row in shown],
            "count": len(shown),
            "next": following,
            **listed.beside,
        }
        return ready(body) if listed.is_ready else body, 200, {"Link": ", ".join(links)}

    return answer


def with_next(body: dict[str, Any], address: str | None) -> Reply:
    """Return a ready reply that names the address of its next page, None for none, in body and header."""
    headers = {} if address is None else {"Link": f'<{address}>; rel="next"'}
    return ready(body | {"next": address}), 200, headers
