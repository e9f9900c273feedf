"""Groups of the library as one viewer sees them, as if nobody else's private picture existed.

Sizes, examples, similarities and names come from the images that the viewer may see now, so one
deleted or hidden a moment ago is gone. What cannot be undone for each viewer is the grouping itself:
two near-duplicates may be connected only through a third that somebody else keeps private.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session, joinedload

from mirada.db import spaces
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember, ClusterRun
from mirada.db.filters import in_scope
from mirada.db.models import Image, Space
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import PICTURE_VECTORS
from mirada.db.visibility import LEAST_SEEN, shown_runs, stands_in, was_there
from mirada.groups.rows import Sample, first_images, samples_of, shown_in
from mirada.groups.runs import newest_run
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.errors import Conflict, NotFound
from mirada.kernel.similarity import cosines
from mirada.ports import single

EXAMPLES = 4
"""Images shown with a group in a list."""


@dataclass(frozen=True, slots=True)
class Member:
    """An image of a group, with content and owner loaded.

    Attributes:
        image: the viewer may see it.
        similarity: cosine with the centre of what the viewer sees of the group; None where the
            stored vector is damaged.
    """

    image: Image
    similarity: float | None


@dataclass(frozen=True, slots=True)
class SeenCluster:
    """A group as one viewer sees it.

    Attributes:
        id: the group's; it goes with the next run.
        kind: how it was made.
        size: how many images the viewer sees in it.
        members: in a list of groups the EXAMPLES nearest to the centre, nearest first; in a list of
            a group's images one page of them, newest first.
        centre: (d,) float32 unit mean of visible vectors, for its name; None where all of them are
            damaged.
    """

    id: int
    kind: ClusterKind
    size: int
    members: list[Member]
    centre: Vector | None


@dataclass(frozen=True, slots=True)
class SeenClusters:
    """One page of groups, those with most visible images first, ties by id.

    Attributes:
        run: what they came from; None before the first grouping.
        clusters: at most as many as asked for.
    """

    run: ClusterRun | None
    clusters: list[SeenCluster]


def list_clusters(
    session: Session,
    kind: ClusterKind,
    scope: Scope,
    *,
    cursor: int | None = None,
    limit: int = 20,
) -> SeenClusters:
    """Return the groups of the newest run of a kind that the viewer sees something of.

    Args:
        session: for reading.
        kind: which.
        scope: who asks, and which images count.
        cursor: the id of the last group of the page before; None for the first page.
        limit: >= 1.

    Raises:
        Conflict: the cursor's group is gone: the library was grouped anew since.
    """
    space = spaces.pinned_space(session)
    run = None if space is None else newest_run(session, kind, space.id)
    if space is None or run is None:
        return SeenClusters(None, [])
    sizes = _page_of_sizes(session, run, scope, cursor, limit)
    samples = samples_of(session, list(sizes), scope, space)
    return SeenClusters(run, described(session, run, sizes, samples, scope))


def described(
    session: Session,
    run: ClusterRun,
    sizes: Mapping[int, int],
    samples: Mapping[int, Sample],
    scope: Scope,
) -> list[SeenCluster]:
    """Return groups with their examples, in the order of their sizes.

    Args:
        session: for reading.
        run: whose groups.
        sizes: images that the viewer sees, by the group's id.
        samples: what stands for each; a group without one has no examples.
        scope: who asks, and which images count.
    """
    examples = {id_: _nearest(samples[id_]) if id_ in samples else [] for id_ in sizes}
    contents = {content for shown in examples.values() for content, _ in shown}
    images = first_images(session, run, contents, scope)
    return [
        SeenCluster(
            id=id_,
            kind=ClusterKind(run.kind),
            size=sizes[id_],
            # One that was deleted or hidden between the statements is left out.
            members=[
                Member(images[content], similarity)
                for content, similarity in shown
                if content in images
            ],
            centre=samples[id_].centre if id_ in samples else None,
        )
        for id_, shown in examples.items()
    ]


def get_cluster(
    session: Session,
    cluster_id: int,
    scope: Scope,
    *,
    cursor: int | None = None,
    limit: int = 20,
) -> SeenCluster:
    """Return a group with one page of its images, newest first.

    Args:
        session: for reading.
        cluster_id: of the newest run.
        scope: who asks, and which images count.
        cursor: the id of the last image of the page before; None for the first page.
        limit: >= 1.

    Raises:
        NotFound: there is no such group (any more), or nothing of it that the viewer may see.
    """
    space = spaces.pinned_space(session)
    run = None if space is None else _run_of(session, cluster_id, scope, space)
    if space is None or run is None or not _is_seen(session, run, cluster_id, scope, space):
        raise NotFound(
            f"There is no group {cluster_id}; grouping the library anew replaces all groups."
        )
    sample = samples_of(session, [cluster_id], scope, space).get(cluster_id)
    count = _images_in(cluster_id, select(func.count()), scope, space)
    query = (
        _images_in(cluster_id, select(Image), scope, space)
        .order_by(Image.id.desc())
        .limit(limit)
        .options(joinedload(Image.content), joinedload(Image.owner))
    )
    if cursor is not None:
        query = query.where(Image.id < cursor)
    images = list(session.execute(query).scalars())
    nearness = _nearness(session, space, images, sample)
    return SeenCluster(
        id=cluster_id,
        kind=ClusterKind(run.kind),
        size=session.execute(count).scalar_one(),
        members=[Member(image, nearness.get(image.content_id)) for image in images],
        centre=None if sample is None else sample.centre,
    )


def _nearness(
    session: Session, space: Space, images: Sequence[Image], sample: Sample | None
) -> dict[int, float]:
    """Return cosines with the sample's centre by content id; none of a damaged vector."""
    if sample is None:
        return {}
    contents = {image.content_id for image in images}
    vectors = vectors_of(session, PICTURE_VECTORS, space.id, contents, space.dimension)
    return {i: float(cosines(single(vector), sample.centre)[0]) for i, vector in vectors.items()}


def nearest_names(
    clusters: Sequence[SeenCluster], names: Sequence[str], vectors: Matrix
) -> list[str | None]:
    """Return for each group the name whose vector is nearest to its centre, None without a centre.

    Args:
        clusters: (m,).
        names: (l,), l >= 1.
        vectors: (l, d) float32 unit rows of the names, in the groups' space.
    """
    return [
        None if cluster.centre is None else names[int(cosines(vectors, cluster.centre).argmax())]
        for cluster in clusters
    ]


def _run_of(session: Session, cluster_id: int, scope: Scope, space: Space) -> ClusterRun | None:
    """Return the run that a group came from, None unless the viewer is shown it now."""
    query = (
        select(ClusterRun)
        .join(Cluster, Cluster.run_id == ClusterRun.id)
        .where(
            Cluster.id == cluster_id,
            # Its members stand in a group of another run.
            Cluster.of_id.is_(None),
            ClusterRun.id.in_(shown_runs(scope.audience, space.id)),
        )
    )
    return session.execute(query).scalar_one_or_none()


def _is_seen(
    session: Session, run: ClusterRun, cluster_id: int, scope: Scope, space: Space
) -> bool:
    """Return whether the viewer sees enough of a group, whatever passes the filter."""
    count = _images_in(cluster_id, select(func.count()), Scope(scope.audience), space)
    return int(session.execute(count).scalar_one()) >= LEAST_SEEN[ClusterKind(run.kind)]


def _images_in(cluster_id: int, query: Select[Any], scope: Scope, space: Space) -> Select[Any]:
    """Return a query narrowed to the images of a group that are in scope."""
    return (
        query.select_from(Image)
        .join(ClusterMember, ClusterMember.content_id == Image.content_id)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .join(ClusterRun, ClusterRun.id == Cluster.run_id)
        .where(
            stands_in(cluster_id),
            ClusterRun.id.in_(shown_runs(scope.audience, space.id)),
            in_scope(scope),
            was_there(ClusterRun),
        )
    )


def _page_of_sizes(
    session: Session, run: ClusterRun, scope: Scope, cursor: int | None, limit: int
) -> dict[int, int]:
    """Return the sizes of one page of groups by their ids, in the order of the list."""
    seen = _sizes(run, scope).subquery()
    page = select(seen.c.id, seen.c.size).order_by(seen.c.size.desc(), seen.c.id).limit(limit)
    if cursor is not None:
        last = session.execute(select(seen.c.size).where(seen.c.id == cursor)).scalar_one_or_none()
        if last is None:
            raise Conflict("The groups were made anew since; start again without a cursor.")
        page = page.where(or_(seen.c.size < last, and_(seen.c.size == last, seen.c.id > cursor)))
    return {row.id: row.size for row in session.execute(page)}


def _sizes(run: ClusterRun, scope: Scope) -> Select[int, int]:
    size = func.count(Image.id)
    return (
        select(Cluster.id.label("id"), size.label("size"))
        .join(ClusterMember, ClusterMember.cluster_id == Cluster.id)
        .join(Image, Image.content_id == ClusterMember.content_id)
        .where(Cluster.run_id == run.id, shown_in(run, scope))
        .group_by(Cluster.id)
        .having(size >= LEAST_SEEN[ClusterKind(run.kind)])
    )


def _nearest(sample: Sample) -> list[tuple[int, float]]:
    similarities = cosines(sample.vectors, sample.centre)
    pairs = zip(sample.content_ids, similarities.tolist(), strict=True)
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:EXAMPLES]
