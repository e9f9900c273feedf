"""Visibility as SQL: the only conditions that decide which images, contents and verdicts somebody sees."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, false, not_, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute

from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.models import Image
from mirada.kernel.audience import Audience
from mirada.kernel.images import ImageStatus


def may_see(audience: Audience) -> ColumnElement[bool]:
    """Return the condition on `images` for an audience: public ones and their own, as it narrows them."""
    own = Image.owner_id == audience.viewer_id if audience.viewer_id is not None else false()
    conditions = [or_(Image.is_public == true(), own)]
    if audience.owner_ids is not None:
        conditions.append(Image.owner_id.in_(audience.owner_ids))
    if audience.left_out_ids:
        conditions.append(Image.id.not_in(audience.left_out_ids))
    return and_(*conditions)


def may_change(user_id: int, *, is_administrator: bool = False) -> ColumnElement[bool]:
    """Return the condition on `images` for who may change or delete one: its owner.

    An administrator also may where everybody sees the image, or saw it until one was hidden.
    """
    own = Image.owner_id == user_id
    if not is_administrator:
        return own
    return or_(own, Image.is_public == true(), Image.is_hidden == true())


def visible_images(audience: Audience) -> Select[Image]:
    """Return the images an audience may see; narrow it further, never build another."""
    return select(Image).where(may_see(audience))


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
    """Return the condition on `feedback`: the viewer sees its picture and gave it, or it is of a public one.

    A verdict on a public picture is hidden when its giver keeps a private copy or sent the bytes.
    Otherwise a viewer with the same bytes would learn of that copy.
    """
    shown = select(Image.id).where(
        Image.content_id == Feedback.content_id, Image.is_public == true()
    )
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
    return and_(
        may_see_content(audience, Feedback.content_id),
        or_(Feedback.user_id == audience.viewer_id, on_public),
    )
