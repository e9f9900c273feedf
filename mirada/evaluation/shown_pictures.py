"""Contents behind vectors, and images as they stand for their viewer now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, func, select, union
from sqlalchemy.orm import Session

from mirada.db import packed
from mirada.db.chunks import chunks, rows_in
from mirada.db.filters import in_scope
from mirada.db.models import Image
from mirada.db.vector_tables import VectorTable
from mirada.kernel.audience import Scope


@dataclass(frozen=True, slots=True)
class Findable:
    """An image that its viewer sees and a search can find.

    Attributes:
        content_id: what it shows.
        vectors: ids of its vectors in the space, one or two.
    """

    content_id: int
    vectors: frozenset[int]


def seen_images(session: Session, scope: Scope, image_ids: Iterable[int]) -> set[int]:
    """Return those of these images that are in scope; one that is gone is like a hidden one."""
    shown = select(Image.id).where(in_scope(scope))
    return {image_id for (image_id,) in rows_in(session, shown, Image.id, image_ids)}


def findable_images(
    session: Session, table: VectorTable, space_id: int, scope: Scope, image_ids: Collection[int]
) -> dict[int, Findable]:
    """Return by id the images of these that are in scope and have a live vector in a space."""
    vectors: dict[int, set[int]] = defaultdict(set)
    contents: dict[int, int] = {}
    # Two statements: joined in one, SQLite reads every vector of the space.
    for way in table.ways:
        images = select(Image.id, Image.content_id, way.shown_by.label("subject")).where(
            way.is_through, way.shown_by.is_not(None), in_scope(scope)
        )
        shown = list(rows_in(session, images, Image.id, image_ids))
        live = select(way.subject, way.entity.id).where(
            way.entity.space_id == space_id, way.entity.is_deleted.is_(False)
        )
        by_subject: dict[int, int] = dict(
            rows_in(session, live, way.subject, {row.subject for row in shown})
        )
        for row in shown:
            if row.subject in by_subject:
                contents[row.id] = row.content_id
                vectors[row.id].add(by_subject[row.subject])
    return {
        image_id: Findable(content_id, frozenset(vectors[image_id]))
        for image_id, content_id in contents.items()
    }


def contents_behind(
    session: Session,
    table: VectorTable,
    space_id: int,
    scope: Scope,
    vector_ids: Collection[int],
    most: int,
) -> dict[int, list[int]]:
    """Return by vector id the contents of images in scope that show it, the lowest first.

    Args:
        session: for reading.
        table: of the vectors.
        space_id: whose vectors.
        scope: which images.
        vector_ids: which vectors.
        most: contents of one vector; many images may have the very same prompt.
    """
    found: dict[int, list[int]] = defaultdict(list)
    # The chunk's condition is within the numbering of rows: around it every image would be numbered.
    for chunk in chunks(sorted(vector_ids)):
        pairs = [
            select(way.entity.id.label("vector_id"), Image.content_id.label("content_id"))
            .join(Image, way.subject == way.shown_by)
            .where(way.entity.id.in_(chunk), *_through(way, space_id, scope))
            for way in table.ways
        ]
        shown = union(*pairs).subquery()
        place = func.row_number().over(partition_by=shown.c.vector_id, order_by=shown.c.content_id)
        placed = select(shown, place.label("place")).subquery()
        for row in session.execute(select(placed).where(placed.c.place <= most)):
            found[row.vector_id].append(row.content_id)
    return {vector_id: sorted(contents) for vector_id, contents in found.items()}


def common_vectors(
    session: Session, table: VectorTable, space_id: int, other: VectorTable, other_id: int
) -> npt.NDArray[np.int64]:
    """Return (n,) ascending ids of a space's live vectors of what has one in another space as well."""
    pairs, subjects = (
        packed.numbers(
            session,
            select(each.entity.id, each.subject).where(
                each.entity.space_id == number, each.entity.is_deleted.is_(False)
            ),
        )
        for each, number in ((table, space_id), (other, other_id))
    )
    common: npt.NDArray[np.int64] = pairs[np.isin(pairs[:, 1], subjects[:, 1]), 0].copy()
    return common


def _through(way: VectorTable, space_id: int, scope: Scope) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that an image in scope shows a live vector of a space in this way."""
    vectors = way.entity
    is_live = vectors.is_deleted.is_(False)
    return vectors.space_id == space_id, is_live, way.is_through, in_scope(scope)
