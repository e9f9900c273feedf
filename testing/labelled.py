"""Images that a model called something, without a model."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mirada.db.classifier_models import ImageLabels
from mirada.db.models import utc_now


def show_label(session: Session, image_id: int, space_id: int, label: str | None) -> None:
    """Write that an image was judged in a space, and called by a label; None for no label."""
    session.merge(
        ImageLabels(
            image_id=image_id,
            space_id=space_id,
            judged_by="test",
            label=label,
            score=0.9,
            logits=b"",
            is_far=label is None,
            computed_at=utc_now(),
        )
    )
