"""Pages by cursor: opaque to clients, stable while images come and go."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

from flask import request, url_for

from mirada.kernel.errors import InvalidInput

Row = TypeVar("Row")
_PREFIX = b"after:"


def cursor_after(row_id: int) -> str:
    """Return the cursor of the page that begins after this row."""
    return base64.urlsafe_b64encode(_PREFIX + str(row_id).encode()).decode().rstrip("=")


def row_id_of(cursor: str | None) -> int | None:
    """Return the row id a cursor names, None for the first page.

    Raises:
        InvalidInput: no page of ours ever gave out this cursor.
    """
    if cursor is None:
        return None
    try:
        plain = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        plain = b""
    digits = plain.removeprefix(_PREFIX)
    if not plain.startswith(_PREFIX) or not digits.isdigit() or len(digits) > 18:
        raise InvalidInput(
            "This cursor is none that a page gave out; start again without one.",
            fields={"cursor": ["Take it from `next` of the page before."]},
        )
    return int(digits)


def page(
    rows: Sequence[Row], limit: int, row_id: Any, arguments: dict[str, Any]
) -> tuple[Sequence[Row], str | None, dict[str, str]]:
    """Cut one page out of up to `limit + 1` rows.

    Args:
        rows: what the query gave when asked for one row more than the page holds.
        limit: rows of a page.
        row_id: function from a row to its id.
        arguments: the query arguments that the next page needs as well.

    Returns:
        The page's rows, the address of the next page (None on the last), and the Link header.
    """
    here = {name: value for name, value in arguments.items() if value not in (None, False)}
    endpoint = request.endpoint or ""
    path = request.view_args or {}
    links = [f'<{url_for(endpoint, **path, **_plain(here), limit=limit)}>; rel="first"']
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        cursor = cursor_after(row_id(rows[-1]))
        following = url_for(endpoint, **path, **_plain(here), limit=limit, cursor=cursor)
        links.append(f'<{following}>; rel="next"')
    return rows, following, {"Link": ", ".join(links)}


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return booleans as JSON writes them."""
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in arguments.items()
    }
