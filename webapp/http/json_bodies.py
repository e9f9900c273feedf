"""Bounds of JSON bodies, checked before any schema looks at them, and of the messages about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import BadRequest

MAX_DEPTH = 32
"""Deeper than this no body of ours is; Python's own limit is near 1,000, and other code has less."""
MAX_FIELDS = 1000
"""Fields of one object; a schema would write a message about each that it does not know."""
SHOWN_MESSAGES = 20
SHOWN_CHARACTERS = 200
REST = "_more"
"""The field of `errors` that says how many are not shown."""


def check(body: Any) -> None:
    """Refuse a parsed JSON body that is nested too deeply, or has an object with too many fields.

    Raises BadRequest (400).
    """
    level = [body]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return
    raise BadRequest(f"The JSON body is nested more than {MAX_DEPTH} levels deep.")


def _within(value: Any) -> list[Any]:
    """Return the objects and lists directly inside one."""
    if isinstance(value, dict):
        if len(value) > MAX_FIELDS:
            raise BadRequest(
                f"An object of the JSON body has {len(value)} fields; none has more than {MAX_FIELDS}."
            )
        return [inner for inner in value.values() if isinstance(inner, dict | list)]
    if isinstance(value, list):
        return [inner for inner in value if isinstance(inner, dict | list)]
    return []


def shortened(messages: Mapping[Any, Any]) -> dict[str, Any]:
    """Return field messages with SHOWN_MESSAGES at most, each and its name of a bearable length.

    Args:
        messages: texts or lists of texts by field, nested by where the field was.
    """
    total = _count(messages)
    if total <= SHOWN_MESSAGES:
        kept, _ = _take(messages, total)
        return dict(kept)
    kept, _ = _take(messages, SHOWN_MESSAGES)
    return {**kept, REST: [f"{total - SHOWN_MESSAGES} more are not shown."]}


def _count(messages: Any) -> int:
    if isinstance(messages, Mapping):
        return sum(map(_count, messages.values()))
    return sum(map(_count, messages)) if isinstance(messages, list | tuple) else 1


def _take(messages: Any, most: int) -> tuple[Any, int]:
    """Return the first messages and how many more there is room for."""
    if isinstance(messages, Mapping):
        kept = {}
        for name, inner in messages.items():
            if most <= 0:
                break
            kept[_short(name)], most = _take(inner, most)
        return kept, most
    if isinstance(messages, list | tuple):
        listed = []
        for inner in messages:
            if most <= 0:
                break
            taken, most = _take(inner, most)
            listed.append(taken)
        return listed, most
    return (_short(messages) if isinstance(messages, str) else messages), most - 1


def _short(text: Any) -> str:
    text = str(text)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
