"""The pictures that somebody has already, by the hash of their bytes: asked before they are sent."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.models import Content, Image
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience

MOST_HASHES = 1_000
"""That one question may ask for; chosen here: 65 KB."""


def known_images(session: Session, owner_id: int, hashes: Sequence[str]) -> dict[str, int]:
    """Return the owner's image of each hash, the first where there are several; others are left out.

    Only the owner's own count: that somebody else has a picture is theirs to know. One in the trash is
    not there.

    Args:
        session: for reading.
        owner_id: who asks.
        hashes: SHA-256 sums as 64 lower-case hex digits.
    """
    query = (
        select(Content.sha256, func.min(Image.id).label("image_id"))
        .join(Image, Image.content_id == Content.id)
        .where(may_see(Audience(owner_id).own_alone()))
        .group_by(Content.sha256)
    )
    return {row.sha256: row.image_id for row in rows_in(session, query, Content.sha256, hashes)}
