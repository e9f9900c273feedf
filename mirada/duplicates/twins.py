"""The duplicates of one image, as its viewer sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

from mirada.db import spaces
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember
from mirada.db.duplicate_models import SamePicture
from mirada.db.models import Image
from mirada.db.visibility import is_looked_at, may_see, was_there
from mirada.duplicates.seen import denied_pairs, members_of
from mirada.groups.runs import newest_run
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
    return _twins(session, image_id, audience, _denied(session, audience))[:MOST_TWINS]


def count_twins(session: Session, image_id: int, audience: Audience) -> dict[Tier, int]:
    """Return how many images duplicate one, by tier, as its viewer sees them; arguments as of `twins_of`.

    Of SAME_SUBJECT those are counted that no nearer tier holds.
    """
    denied = _denied(session, audience)
    nearer = _twins(session, image_id, audience, denied)
    found = Counter(twin.tier for twin in nearer)
    others = _of_one_subject(session, image_id, audience)
    others -= {twin.image_id for twin in nearer} | {image_id}
    found[Tier.SAME_SUBJECT] = sum(_pair(image_id, other) not in denied for other in others)
    return {tier: found[tier] for tier in Tier}


def _of_one_subject(session: Session, image_id: int, audience: Audience) -> set[int]:
    """Return the images that the last grouping put together with one, as the viewer sees them."""
    space_id = spaces.pinned_space_id(session)
    run = None if space_id is None else newest_run(session, ClusterKind.NEAR_DUPLICATES, space_id)
    if run is None:
        return set()
    mine = select(Image.content_id).where(Image.id == image_id, was_there(run))
    own, others = aliased(ClusterMember), aliased(ClusterMember)
    query = (
        select(Image.id)
        .join(others, others.content_id == Image.content_id)
        .join(own, own.cluster_id == others.cluster_id)
        .join(Cluster, Cluster.id == own.cluster_id)
        .where(own.content_id == mine.correlate(None).scalar_subquery())
        .where(Cluster.run_id == run.id, may_see(audience), was_there(run))
    )
    return set(session.execute(query).scalars())


def _denied(session: Session, audience: Audience) -> frozenset[tuple[int, int]]:
    viewer_id = audience.viewer_id
    return frozenset() if viewer_id is None else denied_pairs(session, viewer_id)


def _pair(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


def _twins(
    session: Session, image_id: int, audience: Audience, denied: Collection[tuple[int, int]]
) -> list[Twin]:
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
    same = members_of(session, audience, [content_id], None).get(content_id, [])
    near = members_of(session, audience, pairs, is_looked_at())
    twins = [Twin(one.image_id, Tier.SAME_FILE, False) for one in same if one.image_id != image_id]
    for content, members in near.items():
        twins += [Twin(one.image_id, Tier.NEAR, pairs[content]) for one in members]
    kept = (twin for twin in twins if _pair(twin.image_id, image_id) not in denied)
    order = list(Tier)
    return sorted(kept, key=lambda one: (order.index(one.tier), -one.image_id))
