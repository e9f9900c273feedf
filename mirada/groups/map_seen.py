"""The newest map as a viewer sees it: images with their places, and groups.

The images that somebody sees are read once for each number of the change counter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from mirada.db import packed, spaces
from mirada.db.by_change import KnownByChange
from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember, ClusterRun
from mirada.db.filters import in_scope
from mirada.db.models import Image, Space
from mirada.db.visibility import shown_runs
from mirada.groups.as_seen import SeenCluster, described
from mirada.groups.mapping import MOST_GROUPS
from mirada.groups.rows import samples_among, shown_in
from mirada.kernel.audience import Scope
from mirada.kernel.errors import NotFound
from mirada.kernel.images import ImageStatus
from mirada.kernel.projecting import apart
from mirada.runtime import Runtime

SAMPLE_ROWS = 16
"""Members that stand for a group of the map: their vectors are read for each view of the page."""
MEMORY_BYTES = 64 << 20
"""Of all viewers in one process: those of 25 viewers who see 100,000 images."""
RANKS = 1_000_000
"""Steps of a similarity as a whole number, in which members are ordered."""


@dataclass(frozen=True, slots=True)
class MapGroup:
    """A group of the map as one viewer sees it.

    Attributes:
        number: by which the viewer's points name it, from 0 without a gap: one would tell of a group of
            which others alone see something.
        x, y: the mean place of what the viewer sees of it, 0 to 65,535.
        seen: its id, size, examples and centre.
    """

    number: int
    x: float
    y: float
    seen: SeenCluster


@dataclass(frozen=True, slots=True)
class SeenMap:
    """The newest map as one viewer sees it.

    Attributes:
        version: grows when anything about it is new to this viewer; None before the first one.
        computed_at: when that was; None before the first one.
        method: of the projection; None before the first one.
        count: images that the viewer sees on it.
        stale_count: images that they see, with a vector, that are not on it yet.
        groups: those with most images first.
    """

    version: int | None
    computed_at: datetime | None
    method: str | None
    count: int
    stale_count: int
    groups: list[MapGroup]


@dataclass(frozen=True, slots=True)
class Points:
    """The images on a map that one viewer sees, as columns by ascending image id.

    Attributes:
        image_ids: (n,) uint64.
        x, y: (n,) uint16.
        groups: (n,) uint8, `MapGroup.number`.
        group_ids: (k,) int64, the id of the group of each number.
        content_ids: (n,) int64.
        ranks: (n,) int32, higher is nearer to the centre of the group.
    """

    image_ids: npt.NDArray[np.uint64]
    x: npt.NDArray[np.uint16]
    y: npt.NDArray[np.uint16]
    groups: npt.NDArray[np.uint8]
    group_ids: npt.NDArray[np.int64]
    content_ids: npt.NDArray[np.int64]
    ranks: npt.NDArray[np.int32]

    def packed(self) -> bytes:
        """Return the first four columns one after another, little-endian: 13 bytes for each image."""
        columns = (("<u8", self.image_ids), ("<u2", self.x), ("<u2", self.y), ("u1", self.groups))
        return b"".join(column.astype(kind).tobytes() for kind, column in columns)

    @property
    def nbytes(self) -> int:
        """The memory that they take, roughly."""
        return 25 * len(self.image_ids) + 2_000

    def nearest_of(self, number: int) -> list[int]:
        """Return the contents of a group that are nearest to its centre, at most SAMPLE_ROWS."""
        own = np.flatnonzero(self.groups == number)
        order = np.lexsort((self.content_ids[own], -self.ranks[own]))
        # Several images may show one content: as many again are looked at.
        nearest = self.content_ids[own[order[: 4 * SAMPLE_ROWS]]]
        return list(dict.fromkeys(nearest.tolist()))[:SAMPLE_ROWS]


def see_map(runtime: Runtime, scope: Scope) -> SeenMap:
    """Return the newest map as a viewer sees it.

    Args:
        runtime: of the library.
        scope: who asks, and which images count.
    """
    with runtime.reading() as session:
        space, runs = _newest(session, scope)
        ready = select(func.count(Image.id)).where(
            in_scope(scope), Image.status == ImageStatus.READY
        )
        all_ready = session.execute(ready).scalar_one()
        if space is None or not runs:
            return SeenMap(None, None, None, 0, all_ready, [])
        points = _points(runtime, session, runs, scope)
        numbers, sizes = np.unique(points.groups, return_counts=True)
        order = np.lexsort((numbers, -sizes))[:MOST_GROUPS]
        ids = points.group_ids.tolist()
        members = {ids[number]: points.nearest_of(number) for number in numbers[order].tolist()}
        samples = samples_among(session, members, space)
        counted = {ids[numbers[at]]: int(sizes[at]) for at in order.tolist()}
        seen = described(session, runs[-1], counted, samples, scope)
        groups = [
            MapGroup(number, *_middle(points, number), cluster)
            for number, cluster in zip(numbers[order].tolist(), seen, strict=True)
        ]
    count = len(points.image_ids)
    return SeenMap(
        _version(runs),
        max(run.finished_at for run in runs if run.finished_at is not None),
        runs[0].parameters.get("method"),
        count,
        max(0, all_ready - count),
        groups,
    )


def see_points(runtime: Runtime, version: int, scope: Scope) -> Points:
    """Return the images on a map that a viewer sees.

    Raises:
        NotFound: the version is not that of the newest map.
    """
    with runtime.reading() as session:
        _, runs = _newest(session, scope)
        if not runs or _version(runs) != version:
            raise NotFound(f"There is no version {version} of the map; GET /api/v1/map names it.")
        return _points(runtime, session, runs, scope)


def _version(runs: Sequence[ClusterRun]) -> int:
    return sum(int(run.parameters.get("version", 0)) for run in runs)


def _newest(session: Session, scope: Scope) -> tuple[Space | None, Sequence[ClusterRun]]:
    """Return the space, and the runs that the viewer is shown: everybody's first, then their own."""
    space = spaces.pinned_space(session)
    if space is None:
        return None, []
    query = (
        select(ClusterRun)
        .where(
            ClusterRun.kind == ClusterKind.MAP,
            ClusterRun.id.in_(shown_runs(scope.audience, space.id)),
        )
        .order_by(ClusterRun.id)
    )
    return space, session.execute(query).scalars().all()


def _points(runtime: Runtime, session: Session, runs: Sequence[ClusterRun], scope: Scope) -> Points:
    # Conditions of a filter may rest on what takes no number.
    if not scope.filter.is_everything:
        return _read(session, runs, scope)
    memory: KnownByChange[tuple[tuple[int, ...], Scope], Points] = runtime.remembered(
        "points of viewers", lambda: KnownByChange(lambda points: points.nbytes, MEMORY_BYTES)
    )
    key = (tuple(run.id for run in runs), scope)
    return memory.value(session, key, lambda: _read(session, runs, scope))


def _middle(points: Points, number: int) -> tuple[float, float]:
    own = points.groups == number
    return float(points.x[own].mean()), float(points.y[own].mean())


# Columns of tables, sent by the connection: a statement for mapped rows takes twice as long.
_IMAGES, _MEMBERS = Image.__table__.c, ClusterMember.__table__.c


def _read(session: Session, runs: Sequence[ClusterRun], scope: Scope) -> Points:
    found = []
    for run in runs:
        clusters = session.execute(
            select(Cluster.id, Cluster.of_id).where(Cluster.run_id == run.id)
        ).all()
        if clusters:
            rows = _read_run(session, run, [row.id for row in clusters], scope)
            stands_in = {row.id: row.of_id or row.id for row in clusters}
            ids, at = np.unique(rows[:, 2], return_inverse=True)
            rows[:, 2] = np.array([stands_in[each] for each in ids.tolist()], np.int64)[at]
            found.append(rows)
    rows = np.concatenate(found) if found else np.empty((0, 6), np.int64)
    # By the image, each once.
    rows = rows[np.unique(rows[:, 0], return_index=True)[1]]
    group_ids, numbers = np.unique(rows[:, 2], return_inverse=True)
    # Of what this viewer sees: moved apart for all, places would tell of what lies there unseen.
    places = apart(rows[:, 3:5].astype(np.float32)).round().astype(np.uint16)
    return Points(
        rows[:, 0].astype(np.uint64),
        places[:, 0].copy(),
        places[:, 1].copy(),
        numbers.astype(np.uint8),
        group_ids,
        rows[:, 1].copy(),
        rows[:, 5].astype(np.int32),
    )


def _read_run(
    session: Session, run: ClusterRun, cluster_ids: Sequence[int], scope: Scope
) -> npt.NDArray[np.int64]:
    """Return (n, 6) image, content, cluster, x, y and similarity of what a viewer sees of a run."""
    query = (
        select(
            _IMAGES.id,
            _MEMBERS.content_id,
            _MEMBERS.cluster_id,
            _MEMBERS.x,
            _MEMBERS.y,
            cast(_MEMBERS.similarity * RANKS, Integer).label("similarity"),
        )
        .select_from(Image.__table__)
        .join(ClusterMember.__table__, _MEMBERS.content_id == _IMAGES.content_id)
        .where(_MEMBERS.cluster_id.in_(cluster_ids), shown_in(run, scope))
    )
    # A copy: what is read may be one of several columns' memory.
    return packed.numbers(session, query).copy()
