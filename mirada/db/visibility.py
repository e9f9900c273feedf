"""Who may see what: the one answer, used by every query that lets an image out."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, false, not_, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute

from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.models import Image
from mirada.kernel.images import ImageStatus


def may_see(viewer_id: int | None) -> ColumnElement[bool]:
    """Return the condition on `images` for one viewer: public ones, and their own.

    Args:
        viewer_id: None for an anonymous caller.
    """
    own = Image.owner_id == viewer_id if viewer_id is not None else false()
    return or_(Image.is_public == true(), own)


def visible_images(viewer_id: int | None) -> Select[Image]:
    """Return the images a viewer may see; narrow it further, never build another."""
    return select(Image).where(may_see(viewer_id))


def may_see_content(
    viewer_id: int | None, content_id: InstrumentedAttribute[int], *, has_vector: bool = False
) -> ColumnElement[bool]:
    """Return the condition that a viewer knows a content: an image of it they may see, or its bytes.

    Whoever sent a picture to be classified had its bytes. One classified by its image id is seen
    as long as that image is.

    Args:
        viewer_id: None for an anonymous caller.
        content_id: the column of the enclosing query that holds it.
        has_vector: they also know that it has one: their image is READY. That somebody else's
            upload of the same bytes brought it before is not theirs to learn.
    """
    shown = select(Image.id).where(Image.content_id == content_id, may_see(viewer_id))
    if has_vector:
        shown = shown.where(Image.status == ImageStatus.READY)
    condition = shown.correlate_except(Image).exists()
    if viewer_id is None:
        return condition
    sent = select(ClassifiedPicture.id).where(
        ClassifiedPicture.content_id == content_id,
        ClassifiedPicture.owner_id == viewer_id,
        ClassifiedPicture.sent_bytes == true(),
    )
    return or_(condition, sent.correlate_except(ClassifiedPicture).exists())


def may_see_verdict(viewer_id: int) -> ColumnElement[bool]:
    """Return the condition on `feedback` for one viewer, who sees its picture: their own, or of a public one.

    Of a public one, if its giver had the picture from there alone. Who keeps a copy in private, or
    sent its bytes, judged that: a viewer who shows the same bytes would learn of the other.
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
        may_see_content(viewer_id, Feedback.content_id),
        or_(Feedback.user_id == viewer_id, on_public),
    )
