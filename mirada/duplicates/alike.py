"""Which pictures count as one of those that a viewer is shown anyway, as searches collapse them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.duplicate_models import SamePicture


def near_among(session: Session, contents: Collection[int]) -> Mapping[int, set[int]]:
    """Return for each of these contents which others of them are the same picture; none for most.

    The caller has seen to it that the viewer sees an image of each that was looked at for duplicates.
    """
    known = set(contents)
    found: dict[int, set[int]] = defaultdict(set)
    query = select(SamePicture.one_id, SamePicture.other_id)
    for one, other in rows_in(session, query, SamePicture.one_id, known):
        if other in known:
            found[one].add(other)
            found[other].add(one)
    return found
