"""Lists of images in which each group of duplicates is shown once, by its first image in the list's order.

What groups are is what the viewer sees, as in `seen`; which image stands for one is the first of those in
scope. Both follow from the rows alone, so pages neither repeat nor leave out a group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

from mirada.db import spaces
from mirada.db.chunks import chunks, rows_in
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember
from mirada.db.duplicate_models import SamePicture
from mirada.db.filters import in_scope
from mirada.db.models import Content, Image
from mirada.db.visibility import may_see, was_there
from mirada.duplicates.seen import Linked, components, members_of, seen_pairs, without_denied
from mirada.groups.runs import newest_run
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.duplicates import Tier
from mirada.pictures.image_lists import Place, Sort, list_images, place_of
from mirada.pictures.shown_images import ShownImage

READ_TOGETHER = 200
"""Images that are looked at for one more page of those that are shown."""
Pair = tuple[int, int]


class Collapsed(NamedTuple):
    """An image of a list, and how many more it stands for."""

    image: ShownImage
    behind: int

    @property
    def id(self) -> int:
        """The image's id."""
        return self.image.id


def list_collapsed(
    session: Session,
    scope: Scope,
    tier: Tier,
    *,
    sort: Sort = Sort.NEWEST,
    after: Place | None = None,
    limit: int = 50,
) -> list[Collapsed]:
    """Return at most `limit` images in scope, one of each group; arguments as `list_images` has them."""
    found: list[Collapsed] = []
    while len(found) < limit:
        most = max(limit, READ_TOGETHER)
        rows = list_images(session, scope, sort=sort, after=after, limit=most)
        behind = _behind(session, scope, tier, sort, [row.id for row in rows])
        found += [Collapsed(row, behind[row.id]) for row in rows if row.id in behind]
        if len(rows) < most:
            break
        after = place_of(rows[-1], sort)
    return found[:limit]


def _behind(
    session: Session, scope: Scope, tier: Tier, sort: Sort, image_ids: Collection[int]
) -> dict[int, int]:
    """Return for those of these images that stand for their group how many more of it are in scope."""
    audience = scope.audience.whole()
    query = select(Image.id, Image.content_id)
    contents = {row.content_id for row in rows_in(session, query, Image.id, image_ids)}
    pairs = _pairs_around(session, audience, tier, contents)
    nodes = contents | {each for pair in pairs for each in pair}
    members = members_of(session, audience, nodes, None)
    known = None if tier is Tier.SAME_SUBJECT else frozenset(pairs)
    linked = [
        Linked([one for content in part for one in members.get(content, ())], known)
        for part in components(nodes, pairs)
    ]
    wanted, found = set(image_ids), {}
    groups = [
        [one.image_id for one in part]
        for part in without_denied(session, audience.viewer_id, linked, len)
    ]
    keys = _keys(session, scope, sort, [each for group in groups for each in group])
    for group in groups:
        there = [each for each in group if each in keys]
        first = max(there, key=keys.__getitem__, default=None)
        if first is not None and first in wanted:
            found[first] = len(there) - 1
    return found


def _keys(
    session: Session, scope: Scope, sort: Sort, image_ids: Iterable[int]
) -> Mapping[int, tuple[int, int]]:
    """Return of those of these images that are in scope what comes first in the order: the highest."""
    query = select(Image.id, Image.like_count, Content.width * Content.height)
    query = query.join(Content, Content.id == Image.content_id).where(in_scope(scope))
    found = {}
    for image_id, likes, pixels in rows_in(session, query, Image.id, image_ids):
        value = {Sort.LIKES: likes, Sort.LARGEST: pixels}.get(sort, 0)
        found[image_id] = (value, -image_id if sort is Sort.OLDEST else image_id)
    return found


def _pairs_around(
    session: Session, audience: Audience, tier: Tier, contents: Collection[int]
) -> set[Pair]:
    """Return the pairs that connect contents with others, and these with further ones, as it is seen."""
    pairs: set[Pair] = set()
    known, new = set(contents), set(contents)
    while new and tier is not Tier.SAME_FILE:
        reached = _near(session, audience, new)
        if tier is Tier.SAME_SUBJECT:
            reached |= _of_one_subject(session, audience, new)
        pairs |= reached
        new = {each for pair in reached for each in pair} - known
        known |= new
    return pairs


def _near(session: Session, audience: Audience, contents: Iterable[int]) -> set[Pair]:
    found: set[Pair] = set()
    for some in chunks(sorted(contents)):
        either = or_(SamePicture.one_id.in_(some), SamePicture.other_id.in_(some))
        found |= {
            (one, other) for one, other in session.execute(seen_pairs(audience).where(either))
        }
    return found


def _of_one_subject(
    session: Session, audience: Audience, contents: Sequence[int] | set[int]
) -> set[Pair]:
    """Return pairs of what the last grouping put together: each content with the first one of its group."""
    space_id = spaces.pinned_space_id(session)
    run = None if space_id is None else newest_run(session, ClusterKind.NEAR_DUPLICATES, space_id)
    if run is None:
        return set()
    own = aliased(ClusterMember)
    query = (
        select(ClusterMember.cluster_id, ClusterMember.content_id)
        .join(Image, Image.content_id == ClusterMember.content_id)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .join(own, own.cluster_id == ClusterMember.cluster_id)
        .where(Cluster.run_id == run.id, may_see(audience), was_there(run))
        .distinct()
    )
    groups: dict[int, list[int]] = {}
    for cluster_id, content_id in rows_in(session, query, own.content_id, contents):
        groups.setdefault(cluster_id, []).append(content_id)
    return {(min(group), each) for group in groups.values() for each in group if each != min(group)}
