"""Groups of duplicates as one viewer sees them, as if nobody else's private picture existed.

Groups are made when they are asked for, of pairs whose two images the viewer sees: no chain leads over a
picture that they may not see. A group of fewer than two images does not exist, nor one that holds none of
the viewer's own, with which they could do nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.orm import Session

from mirada.db import spaces
from mirada.db.chunks import rows_in
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember
from mirada.db.duplicate_models import NotDuplicates, SamePicture
from mirada.db.models import Image
from mirada.db.visibility import is_looked_at, may_see, was_there
from mirada.groups.runs import newest_run
from mirada.kernel.audience import Audience
from mirada.kernel.duplicates import Tier
from mirada.kernel.errors import NotFound

LARGEST_EXACT = 400
"""Images of a group up to which every pair is looked at for what its viewer said of it."""


@dataclass(frozen=True, slots=True)
class Member:
    """An image that the viewer sees, and of whose bytes it is."""

    image_id: int
    content_id: int
    is_own: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A group of duplicates.

    Attributes:
        tier: how much its images have in common.
        members: newest first, two at least.
    """

    tier: Tier
    members: Sequence[Member]

    @property
    def id(self) -> int:
        """The id of its newest image; any of its images leads to it."""
        return self.members[0].image_id

    @property
    def contents(self) -> frozenset[int]:
        """The different bytes in it."""
        return frozenset(member.content_id for member in self.members)


@dataclass(frozen=True, slots=True)
class Linked:
    """Images that are connected, and which contents are so directly; None: all with all."""

    members: Sequence[Member]
    pairs: frozenset[tuple[int, int]] | None = None

    def connects(self, one: Member, other: Member) -> bool:
        """Return whether two of them are connected directly."""
        pair = (min(one.content_id, other.content_id), max(one.content_id, other.content_id))
        return self.pairs is None or pair[0] == pair[1] or pair in self.pairs


def list_groups(
    session: Session, tier: Tier, viewer_id: int, *, cursor: int | None = None, limit: int = 20
) -> list[Group]:
    """Return a page of the groups of a tier, those with the newest images first.

    Args:
        session: for reading.
        tier: which.
        viewer_id: who asks.
        cursor: the id of the last group of the page before; None for the first page.
        limit: >= 1.
    """
    groups = groups_of(session, tier, viewer_id)
    page = [group for group in groups if cursor is None or group.id < cursor]
    return page[:limit]


def get_group(session: Session, tier: Tier, viewer_id: int, image_id: int) -> Group:
    """Return the group of a tier that an image is in.

    Raises:
        NotFound: there is none, or none that the viewer sees.
    """
    for group in groups_of(session, tier, viewer_id):
        if any(member.image_id == image_id for member in group.members):
            return group
    raise NotFound(
        f"There is no group of duplicates with image {image_id}; list the groups of this tier again."
    )


def groups_of(session: Session, tier: Tier, viewer_id: int) -> list[Group]:
    """Return all groups of a tier, newest first."""
    audience = Audience(viewer_id)
    if tier is Tier.SAME_FILE:
        found = _same_file(session, audience)
    elif tier is Tier.NEAR:
        found = _near(session, audience)
    else:
        found = _same_subject(session, audience)
    linked = [each for each in found if _is_shown(each.members)]
    groups = [Group(tier, part) for part in without_denied(session, viewer_id, linked)]
    if tier is not Tier.SAME_FILE:
        # Images of one file alone are told in their own tier.
        groups = [group for group in groups if len(group.contents) > 1]
    if tier is Tier.SAME_SUBJECT:
        groups = _beyond(groups, groups_of(session, Tier.NEAR, viewer_id))
    return sorted(groups, key=lambda group: -group.id)


def _beyond(groups: Iterable[Group], nearer: Iterable[Group]) -> list[Group]:
    """Return the groups that hold more than one of nearer duplicates does."""
    place = {content: number for number, group in enumerate(nearer) for content in group.contents}
    return [
        group for group in groups if len({place.get(each, -each) for each in group.contents}) > 1
    ]


def _same_file(session: Session, audience: Audience) -> Iterator[Linked]:
    own = func.sum(case((Image.owner_id == audience.viewer_id, 1), else_=0))
    several = (
        select(Image.content_id)
        .where(may_see(audience))
        .group_by(Image.content_id)
        .having(and_(func.count() > 1, own > 0))
    )
    contents = session.execute(several).scalars().all()
    for members in members_of(session, audience, contents, None).values():
        yield Linked(members)


def _near(session: Session, audience: Audience) -> Iterator[Linked]:
    pairs = [tuple(row) for row in session.execute(seen_pairs(audience))]
    contents = {content for pair in pairs for content in pair}
    members = members_of(session, audience, contents, is_looked_at())
    known = frozenset((one, other) for one, other in pairs)
    for component in components(contents, pairs):
        yield Linked([each for content in component for each in members.get(content, ())], known)


def seen_pairs(audience: Audience) -> Select[int, int]:
    """Return the query for pairs of contents of both of which the viewer sees an image."""
    return select(SamePicture.one_id, SamePicture.other_id).where(
        _shows(audience, SamePicture.one_id), _shows(audience, SamePicture.other_id)
    )


def _shows(audience: Audience, content_id: Any) -> ColumnElement[bool]:
    shown = select(Image.id).where(
        Image.content_id == content_id, may_see(audience), is_looked_at()
    )
    return shown.correlate_except(Image).exists()


def _same_subject(session: Session, audience: Audience) -> Iterator[Linked]:
    space_id = spaces.pinned_space_id(session)
    run = None if space_id is None else newest_run(session, ClusterKind.NEAR_DUPLICATES, space_id)
    if run is None:
        return
    query = (
        select(ClusterMember.cluster_id, Image.id, Image.content_id, Image.owner_id)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .join(Image, Image.content_id == ClusterMember.content_id)
        .where(Cluster.run_id == run.id, may_see(audience), was_there(run))
    )
    groups: dict[int, list[Member]] = defaultdict(list)
    for cluster_id, image_id, content_id, owner_id in session.execute(query):
        is_own = owner_id == audience.viewer_id
        groups[cluster_id].append(Member(image_id, content_id, is_own))
    yield from map(Linked, groups.values())


def members_of(
    session: Session,
    audience: Audience,
    contents: Iterable[int],
    condition: ColumnElement[bool] | None,
) -> Mapping[int, list[Member]]:
    """Return what the viewer sees of some contents, by content."""
    query = select(Image.id, Image.content_id, Image.owner_id).where(may_see(audience))
    if condition is not None:
        query = query.where(condition)
    found: dict[int, list[Member]] = defaultdict(list)
    for image_id, content_id, owner_id in rows_in(session, query, Image.content_id, contents):
        found[content_id].append(Member(image_id, content_id, owner_id == audience.viewer_id))
    return found


def _is_shown(members: Sequence[Member]) -> bool:
    return len(members) > 1 and any(member.is_own for member in members)


def without_denied(
    session: Session,
    viewer_id: int | None,
    found: Sequence[Linked],
    is_group: Callable[[Sequence[Member]], Any] = _is_shown,
) -> Iterator[list[Member]]:
    """Yield the groups that are left when what the viewer said are no duplicates is taken apart.

    Of what is taken apart only those parts that `is_group`.
    """
    denied = frozenset() if viewer_id is None else denied_pairs(session, viewer_id)
    touched = {image_id for pair in denied for image_id in pair}
    for linked in found:
        members = sorted(linked.members, key=lambda member: -member.image_id)
        if not any(each.image_id in touched for each in members) or len(members) > LARGEST_EXACT:
            yield members
            continue
        pairs = [
            (one.image_id, other.image_id)
            for one, other in combinations(members, 2)
            if (other.image_id, one.image_id) not in denied and linked.connects(one, other)
        ]
        by_id = {member.image_id: member for member in members}
        for component in components(by_id, pairs):
            part = [by_id[image_id] for image_id in sorted(component, reverse=True)]
            if is_group(part):
                yield part


def denied_pairs(session: Session, viewer_id: int) -> frozenset[tuple[int, int]]:
    """Return the pairs of images, the lower id first, that a viewer said are no duplicates."""
    query = select(NotDuplicates.one_id, NotDuplicates.other_id)
    rows = session.execute(query.where(NotDuplicates.user_id == viewer_id))
    return frozenset((one, other) for one, other in rows)


def components(nodes: Iterable[int], pairs: Iterable[Any]) -> list[list[int]]:
    """Return the nodes that pairs connect, each component in ascending order."""
    leads = {node: node for node in nodes}

    def leader(node: int) -> int:
        while leads[node] != node:
            leads[node] = leads[leads[node]]
            node = leads[node]
        return node

    for one, other in pairs:
        first, second = sorted((leader(one), leader(other)))
        leads[second] = first
    found: dict[int, list[int]] = defaultdict(list)
    for node in sorted(leads):
        found[leader(node)].append(node)
    return list(found.values())
