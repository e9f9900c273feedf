"""Searches that fill packs: a filter alone, or a text or an image with or without one.

It is kept as it was sent, and asked again as whoever looks at the pack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.models import Image
from mirada.db.pack_models import Pack
from mirada.db.visibility import may_see, may_see_pack
from mirada.kernel.audience import Audience
from mirada.kernel.conditions import moment_of
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.kernel.ids import in_range
from mirada.search.queries import ALL, QueryKind, Source
from mirada.search.request import WEIGHTS_OF, Part, parts_of_signs

_MOMENTS = ("created_after", "created_before")
NOTHING_ASKED = "Send a filter with at least one condition, a text, or an image_id."


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A saved search.

    Attributes:
        parts: what is searched for; empty where a filter alone fills the pack.
        conditions: of the filter, as `filter_of` takes them.
        weights: as a `SearchRequest` has them.
        source: what is compared where `weights` is None.
        threshold: least similarity; None for no cut.
    """

    parts: tuple[Part, ...]
    conditions: Mapping[str, Any]
    weights: Mapping[str, float] | None
    source: Source
    threshold: float | None


def checked_query(session: Session, query: Mapping[str, Any], audience: Audience) -> dict[str, Any]:
    """Return a query as it is kept: JSON, without what is not asked.

    Args:
        session: a transaction.
        query: checked fields of the request: text, syntax, image_id, in, threshold, filter.
        audience: the pack's owner.

    Raises:
        InvalidInput: it asks nothing, two things at once, or for a pack that fills itself.
        NotFound: it names an image or a pack that the owner may not see.
    """
    conditions: dict[str, Any] = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in (query.get("filter") or {}).items()
        if value is not None
    }
    kept = {name: value for name, value in query.items() if name != "filter" and value is not None}
    if "text" in kept and "image_id" in kept:
        raise _refused("Send a text or an image_id, and not both.")
    if not conditions and not kept.keys() & {"text", "image_id"}:
        raise _refused(NOTHING_ASKED)
    if "pack" in conditions:
        _require_filled_by_hand(session, conditions["pack"], audience)
    if "image_id" in kept:
        _require_image(session, kept["image_id"], audience)
    found = kept | ({"filter": conditions} if conditions else {})
    # Whatever could not be read when the pack is looked at is told now.
    read_query(found)
    return found


def read_query(kept: Mapping[str, Any]) -> SavedQuery:
    """Return what a kept query asks. Raises InvalidInput: its signs cannot be read."""
    conditions = dict(kept.get("filter") or {})
    for name in _MOMENTS:
        if name in conditions:
            conditions[name] = moment_of(conditions[name])
    asked = str(kept.get("in") or Source.PICTURES)
    weights = WEIGHTS_OF.get(asked)
    if weights is not None and "text" not in kept:
        raise _refused(f"Only a text is looked for in {asked}.")
    return SavedQuery(
        _parts(kept),
        conditions,
        weights,
        Source.PICTURES if weights or asked == ALL else Source(asked),
        kept.get("threshold"),
    )


def _parts(kept: Mapping[str, Any]) -> tuple[Part, ...]:
    if "image_id" in kept:
        return (Part(QueryKind.IMAGE_ID, int(kept["image_id"])),)
    if "text" not in kept:
        return ()
    text = str(kept["text"])
    return parts_of_signs(text) if kept.get("syntax") == "signs" else (Part(QueryKind.TEXT, text),)


def _require_filled_by_hand(session: Session, pack_id: int, audience: Audience) -> None:
    found = select(Pack.query).where(Pack.id == in_range(pack_id), may_see_pack(audience))
    row = session.execute(found).one_or_none()
    if row is None:
        raise NotFound(f"There is no pack {pack_id}, or it is not yours.")
    if row.query is not None:
        raise _refused(
            f"Pack {pack_id} fills itself, and so cannot fill another one or itself. Name a pack that "
            "is filled by hand, or send the conditions of its search."
        )


def _require_image(session: Session, image_id: int, audience: Audience) -> None:
    seen = select(Image.id).where(Image.id == in_range(image_id), may_see(audience))
    if session.execute(seen).first() is None:
        raise NotFound(f"There is no image {image_id}, or it is not yours to see.")


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(f"The query cannot fill a pack. {reason}", fields={"query": [reason]})
