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
    is_asked = scope.audience.with_remembered and scope.filter.is_everything
    if is_asked and viewer_id is not None and table is PICTURE_VECTORS:
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


def passing_vectors(
    table: VectorTable, space_id: int, scope: Scope, after_seq: int | None = None
) -> Select[int]:
    """Return the SELECT of the ids of vectors that an image in scope shows, dead ones among them.

    It is made for an index in memory, which knows what is dead: so the database answers from its
    indexes alone, without a look at the vectors' own rows. DISTINCT keeps MySQL from melting the
    query into one around it, such as one that packs its rows: there it would look at every vector
    to find the forty that somebody likes.

    Args:
        table: of the vectors.
        space_id: whose vectors.
        scope: which images; those that the audience leaves out count too.
        after_seq: only of vectors with a higher change number.
    """
    numbered = true() if after_seq is None else table.entity.change_seq > after_seq
    shown = [
        select(way.entity.id.label("id"))
        .join(Image, way.subject == way.shown_by)
        .where(
            way.entity.space_id == space_id,
            numbered,
            way.is_through,
            in_scope(scope.with_none_left_out()),
        )
        for way in table.ways
    ]
    return shown[0].distinct() if len(shown) == 1 else select(union(*shown).subquery().c.id)
