"""Rules of which fields of a request go together, as the OpenAPI document tells them.

All of them say what must not be: generators of clients read `oneOf` as a choice between types, and
write code that does not compile. They pass over `not`, and whoever validates obeys it.
"""

from __future__ import annotations

import itertools
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


def neither(one: str, other: str, case: Rule) -> Rule:
    """Return a case that applies only where two fields are missing."""
    return {"allOf": [case, none_of(one, other)]}


def one_of(*names: str) -> list[Rule]:
    """Return the cases that two of these fields are there."""
    return [together(*pair) for pair in itertools.combinations(names, 2)]
