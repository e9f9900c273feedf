"""Rules of which fields of a request go together, as the OpenAPI document tells them.

All of them say what must not be: generators of clients read `oneOf` as a choice between types, and
write code that does not compile. They pass over `not`, and whoever validates obeys it.
"""

from __future__ import annotations

from typing import Any

Rule = dict[str, Any]


def never(*cases: Rule) -> Rule:
    """Return the rule that no case applies."""
    return {"not": {"anyOf": list(cases)}}


def together(*names: str, **values: Rule) -> Rule:
    """Return the case that all these fields are there, and some have these values."""
    case: Rule = {"required": [*names, *values]}
    return case | ({"properties": values} if values else {})


def none_of(*names: str) -> Rule:
    """Return the case that none of these fields is there."""
    return {"not": {"anyOf": [{"required": [name]} for name in names]}}


def without(name: str, case: Rule) -> Rule:
    """Return a case that applies only where a field is missing."""
    return {"allOf": [case, {"not": {"required": [name]}}]}
