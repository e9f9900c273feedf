"""Recall of searches while they are served: what is kept of one until it is repeated, and what that shows.

No words are kept. What was asked with is a vector by then, and a search whose filter holds words, such
as a file name, is not sampled.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache
from types import UnionType
from typing import Any

import numpy as np

from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Vector
from mirada.kernel.filters import ImageFilter
from mirada.kernel.similarity import QueryForm, SearchWay

RANKS = 10
"""Recall is measured among the first ten, as a build measures it."""
DEPTH = RANKS + 30
"""So deep are the answers that are compared; so many of the nearest may have changed in between."""
ROUNDING = 2e-6
"""Of two neighbours whose similarities differ by less, either is the right one."""


class PermittedShare(StrEnum):
    """How much of what is there a search was allowed to find."""

    ALL = "all"
    MUCH = "10-99 %"
    SOME = "1-10 %"
    LITTLE = "below 1 %"

    @classmethod
    def of(cls, permitted: int, total: int) -> PermittedShare:
        """Return the share of so many permitted vectors among all, both >= 0.

        >>> [PermittedShare.of(n, 1_000).value for n in (1_001, 990, 989, 100, 99, 10, 9)]
        ['all', 'all', '10-99 %', '10-99 %', '1-10 %', '1-10 %', 'below 1 %']
        """
        for share, least in ((cls.ALL, 0.99), (cls.MUCH, 0.1), (cls.SOME, 0.01)):
            if permitted >= least * total:
                return share
        return cls.LITTLE


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of an index, to be compared with an exact one.

    Attributes:
        vector: (d,) the query.
        scope: what was permitted.
        form: of the query.
        way: how it was answered: QUANTISED or HNSW.
        factor: how many times wider than measured the way was searched, >= 1.
        k: matches that were wanted, at most DEPTH.
        ids, similarities: of the answer's first DEPTH, best first.
        permitted_count: as in `SearchAnswer`.
        change_seq: number of the change counter that the answer reflects.
        snapshot: what was searched, see `IndexStatus.measured_on`.
    """

    vector: Vector
    scope: Scope
    form: QueryForm
    way: SearchWay
    factor: int
    k: int
    ids: tuple[int, ...]
    similarities: tuple[float, ...]
    permitted_count: int
    change_seq: int
    snapshot: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The findings about one sample: of so many true neighbours, so many were found."""

    wanted: int
    found: int


def compared(
    sample: Sample, ids: Sequence[int], similarities: Sequence[float], changed: frozenset[int]
) -> Comparison | None:
    """Compare a sample with a later exact answer to the same query, best first.

    What has changed in between counts neither for nor against: a vector that came, went or was
    replaced is taken out of both. The exact answer has to be longer by as many.

    Args:
        sample: the answer.
        ids: of the exact answer.
        similarities: the same matches'.
        changed: ids of both that changed after the sample's number, or are no more.

    Returns:
        The comparison of the first RANKS; None when too much has changed to compare.
    """
    kept = [s for id_, s in zip(sample.ids, sample.similarities, strict=True) if id_ not in changed]
    truth = [s for id_, s in zip(ids, similarities, strict=True) if id_ not in changed]
    gone = len(sample.ids) - len(kept)
    wanted = min(RANKS, sample.k - gone)
    if wanted <= 0 or (len(truth) < wanted and len(ids) > len(truth)):
        return None
    wanted = min(wanted, len(truth))
    if not wanted:
        return None
    reached = np.asarray(kept) >= truth[wanted - 1] - ROUNDING
    return Comparison(wanted, min(wanted, int(np.count_nonzero(reached))))


def as_data(scope: Scope) -> dict[str, Any] | None:
    """Return a scope as JSON; None when its filter holds words, which are not kept.

    Images that are kept out are not in it: an index leaves none out.
    """
    asked = {name: getattr(scope.filter, name) for name in _filter_hints()}
    given = {name: value for name, value in asked.items() if value is not None}
    if any(_has_words(value) for value in given.values()):
        return None
    audience = scope.audience
    return {
        "viewer_id": audience.viewer_id,
        "owner_ids": None if audience.owner_ids is None else sorted(audience.owner_ids),
        "with_remembered": audience.with_remembered,
        "filter": {name: _plain(value) for name, value in given.items()},
    }


def scope_of(data: dict[str, Any]) -> Scope:
    """Return the scope that `as_data` wrote. Raises KeyError, TypeError or ValueError."""
    owner_ids = data["owner_ids"]
    audience = Audience(
        data["viewer_id"],
        owner_ids=None if owner_ids is None else frozenset(owner_ids),
        with_remembered=data["with_remembered"],
    )
    hints = _filter_hints()
    asked = {name: _value(hints[name], value) for name, value in data["filter"].items()}
    return Scope(audience, ImageFilter(**asked))


@cache
def _filter_hints() -> dict[str, Any]:
    hints = typing.get_type_hints(ImageFilter)
    return {field.name: hints[field.name] for field in fields(ImageFilter)}


def _has_words(value: object) -> bool:
    if isinstance(value, frozenset):
        return any(_has_words(each) for each in value)
    return isinstance(value, str) and not isinstance(value, Enum)


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(_plain(each) for each in value)
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.value if isinstance(value, Enum) else value


def _value(hint: Any, data: Any) -> Any:
    if isinstance(hint, UnionType):
        hint = next(each for each in typing.get_args(hint) if each is not type(None))
    if typing.get_origin(hint) is frozenset:
        (each_hint,) = typing.get_args(hint)
        return frozenset(_value(each_hint, each) for each in data)
    if hint is datetime:
        return datetime.fromisoformat(data)
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, Enum)):
        return hint(**data) if is_dataclass(hint) else hint(data)
    return data
