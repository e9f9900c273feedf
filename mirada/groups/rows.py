"""Members of groups in the tables: their contents locked while written, sampled while read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, joinedload

from mirada.db.chunks import chunks, rows_in
from mirada.db.classifier_models import Cluster, ClusterMember, ClusterRun
from mirada.db.filters import in_scope
from mirada.db.models import Content, Embedding, Image, Space
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import PICTURE_VECTORS
from mirada.db.visibility import shown_runs, was_there
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import Matrix, Vector, l2_normalise

SAMPLE_ROWS = 64
"""Members that stand for a group, those nearest to its centre: a page of 100 groups then reads 13 MB
of 512-d vectors, however large they are."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Contents that stand for a group, with their vectors (m, d) and the unit mean of those (d,)."""

    content_ids: list[int]
    vectors: Matrix
    centre: Vector


def contents_locked(session: Session, embedding_ids: Sequence[int]) -> dict[int, int]:
    """Return content ids by embedding id, of those that are there and stay until the commit."""
    live = select(Embedding.id, Embedding.content_id).where(Embedding.is_deleted.is_(False))
    found = {row.id: row.content_id for row in rows_in(session, live, Embedding.id, embedding_ids)}
    locking = select(Content.id).order_by(Content.id).with_for_update(read=True)
    there = {row.id for row in rows_in(session, locking, Content.id, found.values())}
    return {embedding: content for embedding, content in found.items() if content in there}


def shown_in(run: ClusterRun, scope: Scope) -> ColumnElement[bool]:
    """Return the condition on `images` for one viewer of a run: what is in scope, if it was there."""
    return and_(in_scope(scope), was_there(run))


def samples_of(
    session: Session, cluster_ids: Sequence[int], scope: Scope, space: Space
) -> dict[int, Sample]:
    """Return what stands for each group; none for one of which nothing is visible any more."""
    group = func.coalesce(Cluster.of_id, Cluster.id)
    place = func.row_number().over(
        partition_by=group,
        order_by=(ClusterMember.similarity.desc(), ClusterMember.content_id),
    )
    image = select(Image.id).where(
        Image.content_id == ClusterMember.content_id, in_scope(scope), was_there(ClusterRun)
    )
    shown = (
        select(group.label("cluster_id"), ClusterMember.content_id, place.label("place"))
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .join(ClusterRun, ClusterRun.id == Cluster.run_id)
        .where(
            or_(Cluster.id.in_(cluster_ids), Cluster.of_id.in_(cluster_ids)),
            ClusterRun.id.in_(shown_runs(scope.audience, space.id)),
            image.correlate(ClusterMember, ClusterRun).exists(),
        )
        .subquery()
    )
    members: dict[int, list[int]] = {}
    for cluster_id, content_id in session.execute(
        select(shown.c.cluster_id, shown.c.content_id)
        .where(shown.c.place <= SAMPLE_ROWS)
        .order_by(shown.c.cluster_id, shown.c.place)
    ):
        members.setdefault(cluster_id, []).append(content_id)
    return samples_among(session, members, space)


def samples_among(
    session: Session, members: Mapping[int, Sequence[int]], space: Space
) -> dict[int, Sample]:
    """Return what stands for each group, of contents that the viewer sees, by the group's id."""
    shown_ids = {id_ for ids in members.values() for id_ in ids}
    vectors = vectors_of(session, PICTURE_VECTORS, space.id, shown_ids, space.dimension)
    samples = {}
    for cluster_id, content_ids in members.items():
        known = [id_ for id_ in content_ids if id_ in vectors]
        if known:
            rows = np.array([vectors[id_] for id_ in known])
            samples[cluster_id] = Sample(known, rows, _centre(rows))
    return samples


def _centre(rows: Matrix) -> Vector:
    mean = rows.mean(axis=0, dtype=np.float64)
    # Vectors that cancel out have no direction; then the one nearest to the group's centre counts.
    return l2_normalise(mean) if np.linalg.norm(mean) > 1e-3 else rows[0]


def first_images(
    session: Session, run: ClusterRun, content_ids: Iterable[int], scope: Scope
) -> dict[int, Image]:
    """Return the first image of each content that is in scope in a run, by content id."""
    images: dict[int, Image] = {}
    for chunk in chunks(sorted(content_ids)):
        first = (
            select(func.min(Image.id))
            .where(shown_in(run, scope), Image.content_id.in_(chunk))
            .group_by(Image.content_id)
        )
        found = session.execute(
            select(Image)
            .where(in_scope(scope), Image.id.in_(first))
            .options(joinedload(Image.content), joinedload(Image.owner))
        ).scalars()
        images |= {image.content_id: image for image in found}
    return images
