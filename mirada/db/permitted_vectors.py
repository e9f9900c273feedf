"""The vectors of one space that a search may return, as a SELECT that runs in a search's own statement."""

from __future__ import annotations

from sqlalchemy import Select, select, true, union

from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.filters import in_scope
from mirada.db.models import Image
from mirada.db.vector_tables import PICTURE_VECTORS, VectorTable
from mirada.kernel.audience import Scope


def permitted_vectors(table: VectorTable, space_id: int, scope: Scope) -> Select[int]:
    """Return the SELECT of the ids of live vectors, one for each that an image in scope shows.

    An image that is left out keeps its vector in, since others may show the same; whoever shows the
    images leaves it out. With `Audience.with_remembered` what the viewer had classified is there too.
    """
    shown = [
        select(way.entity.id)
        .join(Image, way.subject == way.shown_by)
        .where(
            way.entity.space_id == space_id,
            way.entity.is_deleted.is_(False),
            way.is_through,
            in_scope(scope.with_none_left_out()),
        )
        for way in table.ways
    ]
    viewer_id = scope.audience.viewer_id
    if scope.audience.with_remembered and viewer_id is not None and table is PICTURE_VECTORS:
        vectors = table.entity
        shown.append(
            select(vectors.id)
            .join(ClassifiedPicture, ClassifiedPicture.content_id == table.subject)
            .where(
                vectors.space_id == space_id,
                vectors.is_deleted.is_(False),
                ClassifiedPicture.owner_id == viewer_id,
                ClassifiedPicture.sent_bytes == true(),
            )
        )
    found = union(*shown).subquery()
    return select(found.c.id)
