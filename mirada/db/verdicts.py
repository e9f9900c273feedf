"""Verdicts as evidence: which rows count, and which go with a picture that their givers lost."""

from __future__ import annotations

from sqlalchemy import delete, select, true
from sqlalchemy.orm import Session

from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.models import Image


def forget_unseen(session: Session, content_id: int) -> None:
    """Delete the verdicts on a content of those who may no longer see it; lock the content first.

    For whoever deletes an image, or what was remembered of a picture, while the content stays.
    """
    public = select(Image.id).where(Image.content_id == content_id, Image.is_public == true())
    if session.execute(public.limit(1)).first() is not None:
        return
    owners = select(Image.owner_id).where(Image.content_id == content_id)
    senders = select(ClassifiedPicture.owner_id).where(
        ClassifiedPicture.content_id == content_id, ClassifiedPicture.sent_bytes == true()
    )
    session.execute(
        delete(Feedback)
        .where(
            Feedback.content_id == content_id,
            Feedback.user_id.not_in(owners),
            Feedback.user_id.not_in(senders),
        )
        .execution_options(synchronize_session=False)
    )
