"""The reasons why a search shows a picture, in words: how relevant it is, by what, and for which part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import format_percent, gettext, lazy_gettext

from mirada.search.explanation import Explained
from mirada.search.found import FoundBy, FoundImage
from mirada.search.queries import QueryKind, Source
from mirada.search.request import Part

SOURCES: dict[str, Any] = {
    Source.PICTURES.value: lazy_gettext("What it shows"),
    Source.PROMPTS.value: lazy_gettext("What its prompt means"),
    Source.CAPTIONS.value: lazy_gettext("What its caption means"),
}
LEAST_SHARE = 0.005
"""Of a similarity: a part with less has moved nothing that one would see."""


@dataclass(frozen=True, slots=True)
class Why:
    """Why a search shows a picture.

    Attributes:
        relevance: in words.
        sources: what has found it, each with how relevant it is by that.
        parts: which part of the query brought most, and which took some away; empty for one part.
    """

    relevance: str
    sources: Sequence[str]
    parts: Sequence[str]


def why(found: FoundImage, parts: Sequence[Part], explained: Explained | None) -> Why:
    """Return why a picture was found; of further pages the parts are not known."""
    # Where one source alone was asked, its relevance is that of the whole.
    sources = [_source(one) for one in found.found_by]
    shares = () if explained is None else explained.shares.get(found.image.id, ())
    told = []
    best = max(shares, key=lambda one: one.share, default=None)
    if len(parts) > 1 and best is not None and best.share > LEAST_SHARE:
        told.append(gettext("Most of it is for %(part)s.", part=_named(parts[best.part])))
    for one in shares:
        if one.share < -LEAST_SHARE:
            told.append(gettext("It is less for %(part)s.", part=_named(parts[one.part])))
    percent = format_percent(found.relevance)
    return Why(gettext("%(percent)s relevant", percent=percent), sources, told)


def _source(found: FoundBy) -> str:
    if found.source == Source.KEYWORDS:
        has_all = found.relevance == 1
        return gettext("It has every word") if has_all else gettext("It has some of the words")
    percent = format_percent(found.relevance)
    name = SOURCES.get(found.source, found.source)
    return gettext("%(source)s: %(percent)s", source=name, percent=percent)


def _named(part: Part) -> str:
    if part.kind is QueryKind.TEXT:
        return gettext("“%(text)s”", text=part.value)
    return gettext("a picture of the search")
