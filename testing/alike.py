"""Images that are said to be the same picture in other bytes, where no comparison is to be run."""

from __future__ import annotations

from itertools import combinations

from sqlalchemy import select, update

from mirada.db.duplicate_models import SamePicture
from mirada.db.models import Image
from mirada.db.visibility import DUPLICATES_EDITION
from testing.gallery import Gallery


def alike(gallery: Gallery, *ids: int, is_mirrored: bool = False) -> None:
    """Say that all images were compared, and that these are the same picture."""
    with gallery.runtime.transaction() as session:
        session.execute(update(Image).values(duplicates_edition=DUPLICATES_EDITION))
        query = select(Image.content_id).where(Image.id.in_(ids))
        contents = sorted(set(session.execute(query).scalars()))
        for one, other in combinations(contents, 2):
            row = SamePicture(one_id=one, other_id=other, bits=3, is_mirrored=is_mirrored)
            session.add(row)
