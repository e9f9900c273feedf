"""Visibility as SQL: who sees which images, contents and verdicts, all in one place, hence its length."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased

from mirada.db.classifier_models import (
    ClassifiedPicture,
    Cluster,
    ClusterKind,
    ClusterMember,
    ClusterRun,
    Feedback,
)
from mirada.db.models import Image, Installation, User
from mirada.db.pack_models import Pack, PackImage
from mirada.kernel.audience import Audience
from mirada.kernel.filters import Area
from mirada.kernel.images import ImageStatus

LEAST_SEEN = {ClusterKind.THEMES: 1, ClusterKind.NEAR_DUPLICATES: 2, ClusterKind.MAP: 1}
"""Fewer visible images are no group for this viewer. One picture that seems to duplicate nothing
would tell that somebody else has a copy."""


DUPLICATES_EDITION = 2
"""By which rules duplicates are looked for; a higher one has all images looked at again."""
EMPTIED = datetime(1970, 1, 1, tzinfo=UTC)
"""As `trashed_at`: its owner has emptied the trash. Nobody sees it there, and a job erases it."""
AUDIENCES = 512
"""Audiences whose condition is kept: making it takes longer than the database takes to use it."""


@lru_cache(AUDIENCES)
def may_see(audience: Audience) -> ColumnElement[bool]:
    """Return the condition on `images` for an audience: public ones and their own, as it narrows them.

    What is in the trash is seen by nobody, its owner included. `Audience.own_trash` sees that alone.
    """
    # Columns of the table: attributes of the class are compared ten times as slowly by SQLAlchemy.
    images = Image.__table__.c
    own = images.owner_id == audience.viewer_id if audience.viewer_id is not None else false()
    if audience.in_trash:
        conditions = [own, images.trashed_at > EMPTIED]
    else:
        conditions = [or_(images.is_public == true(), own), images.trashed_at.is_(None)]
    if audience.owner_ids is not None:
        conditions.append(images.owner_id.in_(audience.owner_ids))
    if audience.left_out_ids:
        conditions.append(images.id.not_in(audience.left_out_ids))
    return and_(*conditions)


def is_not_left_out() -> ColumnElement[bool]:
    """Return the condition on `images` that none is shown that is left out, as `left_out_of` tells them.

    With it one statement serves every image that others are compared with.
    """
    return Image.__table__.c.id.not_in(bindparam("left_out", expanding=True))


def left_out_of(audience: Audience) -> dict[str, list[int]]:
    """Return the parameter that `is_not_left_out` takes: no image has the number 0."""
    return {"left_out": sorted(audience.left_out_ids) or [0]}


def may_change(user_id: int, *, is_administrator: bool = False) -> ColumnElement[bool]:
    """Return the condition on `images` for who may change or delete one: its owner.

    An administrator also may where everybody sees the image, or saw it until one was hidden. Nobody
    changes what is in the trash.
    """
    return and_(Image.trashed_at.is_(None), _in_hand_of(user_id, is_administrator))


def may_take_back(user_id: int, *, is_administrator: bool = False) -> ColumnElement[bool]:
    """Return the condition on `images` for who may take one out of the trash, or erase it there.

    They are those who may change it elsewhere.
    """
    return and_(Image.trashed_at > EMPTIED, _in_hand_of(user_id, is_administrator))


def is_in_trash_of(owner_id: int) -> ColumnElement[bool]:
    """Return the condition on `images` that one is in somebody's trash, emptied or not."""
    return and_(Image.owner_id == owner_id, Image.trashed_at.is_not(None))


def is_due_to_go(until: datetime) -> ColumnElement[bool]:
    """Return the condition on `images` that one was put into the trash at that time or before."""
    return Image.trashed_at <= until


def _in_hand_of(user_id: int, is_administrator: bool) -> ColumnElement[bool]:
    own = Image.owner_id == user_id
    if not is_administrator:
        return own
    return or_(own, Image.is_public == true(), Image.is_hidden == true())


def visible_images(audience: Audience) -> Select[Image]:
    """Return the images an audience may see; narrow it further, never build another."""
    return select(Image).where(may_see(audience))


def at_address(token: str) -> Select[Image]:
    """Return the image whose pictures have this token in their addresses, unless its owner has ended.

    Public or not, or in the trash: whoever sends the picture asks `may_see` for a private one, or for a
    signed address. Those of an image in the trash have a token that its owner alone is told.
    """
    return (
        select(Image)
        .join(User, User.id == Image.owner_id)
        .where(Image.picture_token == token, User.ended_at.is_(None))
    )


def may_see_content(
    audience: Audience, content_id: InstrumentedAttribute[int], *, has_vector: bool = False
) -> ColumnElement[bool]:
    """Return the condition that a viewer sees an image of a content, or sent its bytes themselves.

    A picture that was classified by its image id is seen as long as that image is.

    Args:
        audience: the viewer.
        content_id: the column of the enclosing query that holds it.
        has_vector: they also know that it has one: their image is READY. That somebody else's
            upload of the same bytes brought it before is not theirs to learn.
    """
    shown = select(Image.id).where(Image.content_id == content_id, may_see(audience))
    if has_vector:
        shown = shown.where(Image.status == ImageStatus.READY)
    condition = shown.correlate_except(Image).exists()
    if audience.viewer_id is None:
        return condition
    sent = select(ClassifiedPicture.id).where(
        ClassifiedPicture.content_id == content_id,
        ClassifiedPicture.owner_id == audience.viewer_id,
        ClassifiedPicture.sent_bytes == true(),
    )
    return or_(condition, sent.correlate_except(ClassifiedPicture).exists())


def may_see_verdict(audience: Audience) -> ColumnElement[bool]:
    """Return the condition on `feedback`: the viewer sees its picture, and `is_told` holds."""
    return and_(may_see_content(audience, Feedback.content_id), is_told(audience))


def is_told(audience: Audience) -> ColumnElement[bool]:
    """Return the condition on `feedback`: the viewer gave it, or it is of a public picture.

    It says nothing of whether they see the picture. A verdict on a public picture is hidden when its
    giver keeps a private copy or sent the bytes. Otherwise a viewer with the same bytes would learn
    of that copy.
    """
    shown = select(Image.id).where(
        Image.content_id == Feedback.content_id,
        Image.is_public == true(),
        Image.trashed_at.is_(None),
    )
    # In the trash as well: it is still theirs.
    kept = select(Image.id).where(
        Image.content_id == Feedback.content_id,
        Image.owner_id == Feedback.user_id,
        Image.is_public == false(),
    )
    sent = select(ClassifiedPicture.id).where(
        ClassifiedPicture.content_id == Feedback.content_id,
        ClassifiedPicture.owner_id == Feedback.user_id,
        ClassifiedPicture.sent_bytes == true(),
    )
    on_public = and_(
        shown.correlate_except(Image).exists(),
        not_(kept.correlate_except(Image).exists()),
        not_(sent.correlate_except(ClassifiedPicture).exists()),
    )
    own = Feedback.user_id == audience.viewer_id if audience.viewer_id is not None else false()
    return or_(own, on_public)


def was_there(run: type[ClusterRun] | ClusterRun) -> ColumnElement[bool]:
    """Return the condition on `images` that one was there when a run began to group the library.

    A picture that came later is in no group, also where somebody else had the same bytes in one:
    its owner would learn of the other.
    """
    return Image.created_at <= run.created_at


def is_looked_at() -> ColumnElement[bool]:
    """Return the condition on `images` that one was compared with all others for duplicates.

    One that waits for that has no duplicates yet, also where somebody else had the same bytes before: its
    owner would learn of the other.
    """
    return Image.duplicates_edition == DUPLICATES_EDITION


def shown_runs(audience: Audience, space_id: int | None = None) -> Select[int]:
    """Return the query of the ids of runs that a viewer is shown: the newest ones that are finished.

    Beside what everybody is shown that is their own run of the map. Where that stands alone it is all of
    the map that they are shown.

    Args:
        audience: the viewer.
        space_id: of the runs; None for the image space in use.
    """
    run, newer, own = aliased(ClusterRun), aliased(ClusterRun), aliased(ClusterRun)
    in_use = select(Installation.image_space_id).scalar_subquery()
    same = (newer.kind == run.kind, newer.space_id == run.space_id, newer.id > run.id)
    owners = func.coalesce(newer.owner_id, 0) == func.coalesce(run.owner_id, 0)
    is_outdated = select(newer.id).where(*same, owners, newer.finished_at.is_not(None))
    shown = [
        run.finished_at.is_not(None),
        run.space_id == (in_use if space_id is None else space_id),
        ~is_outdated.correlate(run).exists(),
    ]
    if audience.viewer_id is None:
        return select(run.id).where(*shown, run.owner_id.is_(None))
    of_viewer = (own.kind == run.kind, own.space_id == run.space_id, own.finished_at.is_not(None))
    newest = select(func.max(own.id)).where(*of_viewer, own.owner_id == audience.viewer_id)
    alone = aliased(ClusterRun)
    stands_alone = select(alone.id).where(
        alone.id == newest.correlate(run).scalar_subquery(), alone.base_id.is_(None)
    )
    everybody = and_(run.owner_id.is_(None), ~stands_alone.correlate(run).exists())
    return select(run.id).where(*shown, or_(run.owner_id == audience.viewer_id, everybody))


def stands_in(group_id: int) -> ColumnElement[bool]:
    """Return the condition on `clusters` that one is a group, or that its members stand with that one's."""
    return or_(Cluster.id == group_id, Cluster.of_id == group_id)


def in_area(area: Area, audience: Audience) -> ColumnElement[bool]:
    """Return the condition on `images` that one lies in an area of the newest map, as the viewer sees it.

    Whoever may see the image sees where it lies, so nothing more than `may_see` is asked beside it.
    """
    member = (
        select(ClusterMember.content_id)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .join(ClusterRun, ClusterRun.id == Cluster.run_id)
        .where(
            ClusterRun.kind == ClusterKind.MAP,
            ClusterRun.id.in_(shown_runs(audience)),
            ClusterMember.content_id == Image.content_id,
            ClusterMember.x.between(area.left, area.right),
            ClusterMember.y.between(area.top, area.bottom),
            was_there(ClusterRun),
        )
    )
    return member.correlate(Image).exists()


def may_see_pack(audience: Audience) -> ColumnElement[bool]:
    """Return the condition on `packs`: public ones and their own. Which pictures of it is `may_see`'s."""
    if audience.viewer_id is None:
        return Pack.is_public == true()
    return or_(Pack.is_public == true(), Pack.owner_id == audience.viewer_id)


def in_pack(pack_id: int, audience: Audience) -> ColumnElement[bool]:
    """Return the condition on `images` that one is in a pack that the viewer may see.

    Nothing is in a pack of somebody else's, or in none at all: the two look alike.
    """
    member = (
        select(PackImage.image_id)
        .join(Pack, Pack.id == PackImage.pack_id)
        .where(PackImage.pack_id == pack_id, PackImage.image_id == Image.id, may_see_pack(audience))
    )
    return member.correlate(Image).exists()


def in_group(group_id: int, audience: Audience) -> ColumnElement[bool]:
    """Return the condition on `images` that one is in a group, as the viewer sees that group.

    Nothing is in a group of an older run, in none at all, in one of somebody else's own, or in one of
    which the viewer sees too little: they look alike.
    """
    run_of = ClusterRun.id == Cluster.run_id
    shown = (stands_in(group_id), ClusterRun.id.in_(shown_runs(audience)), was_there(ClusterRun))
    member = (
        select(ClusterMember.content_id)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .join(ClusterRun, run_of)
        .where(*shown, ClusterMember.content_id == Image.content_id)
    )
    seen = (
        select(func.count(Image.id))
        .join(ClusterMember, ClusterMember.content_id == Image.content_id)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .join(ClusterRun, run_of)
        .where(*shown, may_see(Audience(audience.viewer_id)))
        .correlate(None)
        .scalar_subquery()
    )
    kind_of = (
        select(ClusterRun.kind).join(Cluster, run_of).where(Cluster.id == group_id).correlate(None)
    )
    least = case(LEAST_SEEN, value=kind_of.scalar_subquery(), else_=1)
    return and_(member.correlate(Image).exists(), seen >= least)
