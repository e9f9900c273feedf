"""Names in a request that its operation does not know.

Our own routes refuse them, because a client that pages by a parameter nobody reads never ends. The
routes of older systems ignore them, as those systems did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import marshmallow as ma
from flask import g, request

from mirada.kernel.errors import InvalidInput

SHOWN = 20
"""Names that one reply tells."""
SHOWN_CHARACTERS = 100
HEADER = "X-Ignored"
UNKNOWN = "Unknown field."
"""What marshmallow says of one."""


def begin(known: Collection[str], *, are_ignored: bool) -> None:
    """Check the query parameters of the request being served, and say what holds for its form.

    Args:
        known: names of the parameters that the operation has.
        are_ignored: whether unknown names are ignored; else they are refused.

    Raises:
        InvalidInput: a parameter is unknown, and not ignored.
    """
    g.ignored_names = [] if are_ignored else None
    check("query parameter", request.args, known)


def are_ignored() -> bool:
    """Return whether the request's operation ignores names that it does not know."""
    return g.get("ignored_names") is not None


def check(kind: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse the names that are not known, or note that they are ignored.

    Args:
        kind: of what the names are, in the singular.
        given: names that were sent.
        known: names that the operation has.

    Raises:
        InvalidInput: one or more are unknown, and not ignored.
    """
    # A part of a form can lack a name.
    strange = sorted({str(name)[:SHOWN_CHARACTERS] for name in given if name not in known})[:SHOWN]
    if not strange:
        return
    if g.get("ignored_names") is not None:
        g.ignored_names = sorted({*g.ignored_names, *strange})[:SHOWN]
        return
    takes = f"it takes {listed(known)}" if known else "it takes none"
    names = listed(f"'{name}'" for name in strange)
    what = kind if len(strange) == 1 else f"{kind}s"
    raise InvalidInput(
        f"This call has no {what} {names}; {takes}.",
        fields={name: [f"Unknown {kind}; {takes}."] for name in strange},
    )


def told(messages: Mapping[Any, Any], schema: ma.Schema) -> dict[Any, Any]:
    """Return messages by field, where unknown ones say which there are; of objects in objects as well.

    Args:
        messages: as marshmallow has them.
        schema: that raised them.
    """
    known = {field.data_key or name: field for name, field in schema.load_fields.items()}

    def of(name: Any, inner: Any) -> Any:
        if name not in known:
            is_unknown = inner == [schema.error_messages["unknown"]] == [UNKNOWN]
            return [f"Unknown field; it takes {listed(known)}."] if is_unknown else inner
        field = known[name]
        within = field.inner if isinstance(field, ma.fields.List) else field
        if not isinstance(within, ma.fields.Nested) or not isinstance(inner, Mapping):
            return inner
        if within is field:
            return told(inner, within.schema)
        return {
            place: told(each, within.schema) if isinstance(each, Mapping) else each
            for place, each in inner.items()
        }

    return {name: of(name, inner) for name, inner in messages.items()}


def ignored_field() -> dict[str, list[str]]:
    """Return the field of a reply that tells the ignored names; none where there are none."""
    names = g.get("ignored_names")
    return {"ignored": list(names)} if names else {}


def ignored_header() -> dict[str, str]:
    """Return the header that tells the ignored names, percent-encoded; none where there are none."""
    names = g.get("ignored_names")
    return {HEADER: ", ".join(map(quote, names))} if names else {}


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence lists them: "a", "a and b", "a, b and c"."""
    *first, last = sorted(names)
    return f"{', '.join(first)} and {last}" if first else last
