"""Who may see what: the one answer, used by every query that lets an image out."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, false, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute

from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.models import Image


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
    viewer_id: int | None, content_id: InstrumentedAttribute[int]
) -> ColumnElement[bool]:
    """Return the condition that a viewer knows a content: an image of it they may see, or its bytes.

    Whoever sent a picture to be classified had its bytes. One classified by its image id is seen
    as long as that image is.

    Args:
        viewer_id: None for an anonymous caller.
        content_id: the column of the enclosing query that holds it.
    """
    shown = select(Image.id).where(Image.content_id == content_id, may_see(viewer_id))
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

    That somebody else has judged the same private picture is theirs to know, even where both have it.
    """
    public = select(Image.id).where(
        Image.content_id == Feedback.content_id, Image.is_public == true()
    )
    return and_(
        may_see_content(viewer_id, Feedback.content_id),
        or_(Feedback.user_id == viewer_id, public.correlate_except(Image).exists()),
    )
