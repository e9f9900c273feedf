"""Requests made from the description of an operation, and the same request about something else."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from tests.leaks.exchange import Request
from tests.leaks.operations import MULTIPART, Field, Operation
from tests.leaks.pools import Pools
from tests.leaks.recipes import Recipe

OPTIONAL = 0.4
"""How often a field that may be left out is sent."""
MISSING = 0.03
"""How often one that may not be left out is."""


def generated(
    random_: random.Random,
    operation: Operation,
    recipe: Recipe,
    pools: Pools,
    *,
    pinned: Mapping[str, Any] | None = None,
) -> Request:
    """Return a request to an operation.

    Args:
        random_: decides everything.
        operation: as it is documented.
        recipe: what the document does not say.
        pools: where values come from.
        pinned: values that fields have by name; each is in the request.
    """
    pinned = pinned or {}
    path = operation.path
    for each in operation.in_place("path"):
        value = _value(random_, operation, each, recipe, pools, pinned)
        path = path.replace(f"{{{each.name}}}", quote(str(value), safe="/%"))
    query = []
    for each in operation.in_place("query"):
        if each.name in pinned or random_.random() < OPTIONAL:
            value = _value(random_, operation, each, recipe, pools, pinned)
            query += [(each.name, v) for v in (value if isinstance(value, list) else [value])]
    headers = pools.extra_headers(random_, is_kept=operation.method != "GET")
    for each in operation.in_place("header"):
        if random_.random() < OPTIONAL:
            value = _value(random_, operation, each, recipe, pools, pinned)
            headers[each.name] = str(value)
    method = operation.method
    if method == "GET" and random_.random() < 0.05:
        method = "HEAD"
    request = Request(
        operation.id,
        method,
        path,
        tuple((name, _as_text(value)) for name, value in query),
        headers,
    )
    return _with_body(random_, request, operation, recipe, pools, pinned)


def about_something_else(request: Request, named: Any, other: Any) -> Request:
    """Return the request with one name in it exchanged wherever it stands, tags and all."""
    old, new = str(named), str(other)
    return replace(
        request,
        path=request.path.replace(old, new),
        query=tuple((name, value.replace(old, new)) for name, value in request.query),
        headers={name: value.replace(old, new) for name, value in request.headers.items()},
        json=json.loads(json.dumps(request.json).replace(old, new)),
        form=tuple(
            (name, value.replace(old, new) if isinstance(value, str) else value)
            for name, value in request.form
        ),
    )


def _with_body(
    random_: random.Random,
    request: Request,
    operation: Operation,
    recipe: Recipe,
    pools: Pools,
    pinned: Mapping[str, Any],
) -> Request:
    types = [
        media_type
        for media_type in operation.body_types
        if all(
            name in {f.name for f in operation.in_place(media_type, "path", "query", "header")}
            for name in pinned
        )
    ]
    if not types:
        return request
    media_type = random_.choice(types)
    values: list[tuple[str, Any]] = []
    for each in operation.in_place(media_type):
        is_wanted = each.name in pinned or random_.random() < (
            1 - MISSING if each.is_required or each.is_file else OPTIONAL
        )
        # Searches take one kind of query; too many fields at once only test that they say so.
        if is_wanted and not _crowds_out(each, values, pinned):
            values.append((each.name, _value(random_, operation, each, recipe, pools, pinned)))
    if media_type != MULTIPART:
        return replace(request, json=dict(values))
    form = []
    for name, value in values:
        several = value if isinstance(value, list) and name != "labels" else [value]
        form += [(name, one if hasattr(one, "content") else _as_text(one)) for one in several]
    return replace(request, form=tuple(form))


QUERIES = ("text", "image_id", "vector", "file")


def _crowds_out(each: Field, values: list[tuple[str, Any]], pinned: Mapping[str, Any]) -> bool:
    """Return whether a field is a second query beside the one that is pinned or drawn already."""
    if each.name not in QUERIES or each.name in pinned:
        return False
    return any(name in QUERIES for name in (*pinned, *(name for name, _ in values)))


def _value(
    random_: random.Random,
    operation: Operation,
    wanted: Field,
    recipe: Recipe,
    pools: Pools,
    pinned: Mapping[str, Any],
) -> Any:
    if wanted.name in pinned:
        return [pinned[wanted.name]] if wanted.is_list else pinned[wanted.name]
    values = pools.of(operation, wanted, recipe)
    assert values, (
        f"{operation} takes '{wanted.name}' ({wanted.place}) and nothing is known of it: add values "
        "for that name to Pools in tests/leaks/pools.py"
    )
    return pools.draw(random_, wanted, values)


def _as_text(value: Any) -> str:
    """Return a value as queries and forms carry it."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
