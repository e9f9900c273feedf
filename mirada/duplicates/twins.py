"""The duplicates of one image, as its viewer sees them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from mirada.db.duplicate_models import SamePicture
from mirada.db.models import Image
from mirada.db.visibility import is_looked_at
from mirada.duplicates.seen import denied_pairs, members_of
from mirada.kernel.audience import Audience
from mirada.kernel.duplicates import Tier

MOST_TWINS = 100


@dataclass(frozen=True, slots=True)
class Twin:
    """An image that duplicates another.

    Attributes:
        image_id: which.
        tier: SAME_FILE or NEAR.
        is_mirrored: whether it is the mirror image.
    """

    image_id: int
    tier: Tier
    is_mirrored: bool


def twins_of(session: Session, image_id: int, audience: Audience) -> list[Twin]:
    """Return the images that duplicate one, as far as its viewer sees them: same files first.

    Args:
        session: for reading.
        image_id: the viewer may see it; the caller has asked.
        audience: who asks.
    """
    row = session.execute(
        select(Image.content_id, is_looked_at().label("is_looked_at")).where(Image.id == image_id)
    ).one()
    content_id = row.content_id
    pairs = {}
    if row.is_looked_at:
        either = or_(SamePicture.one_id == content_id, SamePicture.other_id == content_id)
        for pair in session.execute(select(SamePicture).where(either)).scalars():
            other = pair.other_id if pair.one_id == content_id else pair.one_id
            pairs[other] = pair.is_mirrored
    denied = set() if audience.viewer_id is None else denied_pairs(session, audience.viewer_id)
    same = members_of(session, audience, [content_id], None).get(content_id, [])
    near = members_of(session, audience, pairs, is_looked_at())
    twins = [Twin(one.image_id, Tier.SAME_FILE, False) for one in same if one.image_id != image_id]
    for content, members in near.items():
        twins += [Twin(one.image_id, Tier.NEAR, pairs[content]) for one in members]
    kept = (
        twin
        for twin in twins
        if (min(twin.image_id, image_id), max(twin.image_id, image_id)) not in denied
    )
    order = list(Tier)
    return sorted(kept, key=lambda one: (order.index(one.tier), -one.image_id))[:MOST_TWINS]
