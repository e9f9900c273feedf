"""Compute the groups of a space's pictures from its vectors, page by page. Knows no tables.

Only pictures that somebody uploaded are grouped: what was merely classified is nobody's image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mirada.groups.near_duplicates import near_pairs
from mirada.kernel.clustering import (
    MOST_CHOSEN,
    Components,
    Ids,
    best_k,
    coarse_ks,
    fine_ks,
    nearest_centres,
    silhouette,
)
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.similarity import Floats, sampling_order
from mirada.ports import Grouping, RebuildProgress, VectorSource

SEED = 0
"""The same library is grouped the same way twice."""
TRAINING_ROWS_PER_GROUP = 100
"""Between the 39 that FAISS asks for and the 256 from which on it draws a sample itself."""
CHOOSING_ROWS = 5_000
"""Rows that values of k are tried on: 39 for each of 128 groups."""
EVERY_CHANGE = 2**62
"""Above every change number: what changes while this runs is grouped as it is then."""
PAGE_ROWS = 5_000
Place = tuple[int | None, int | None]
Flags = npt.NDArray[np.bool_]
"""x and y on a map; both None where the groups are of no map."""


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some rows with the group each belongs to.

    Attributes:
        embedding_ids: (m,) int64.
        groups: (m,) int64 from 0; a group may go on in the next page.
        similarities: (m,) float64 cosine with the group's centre.
        places: (m, 2) int64 x and y on a map, 0 to 65,535; None where the groups are of no map.
    """

    embedding_ids: Ids
    groups: Ids
    similarities: Floats
    places: Ids | None = None

    def present(self, contents: Mapping[int, int]) -> list[tuple[int, int, float, Place]]:
        """Return the content id, group, cosine and place of each row whose embedding id has a content."""
        count = len(self.groups)
        places = [(None, None)] * count if self.places is None else self.places.tolist()
        columns = (self.embedding_ids.tolist(), self.groups.tolist(), self.similarities.tolist())
        return [
            (contents[embedding_id], group, similarity, (x, y))
            for embedding_id, group, similarity, (x, y) in zip(*columns, places, strict=True)
            if embedding_id in contents
        ]

    def parts(self, row_count: int) -> Iterator[GroupPage]:
        """Yield the rows again, at most `row_count` at a time."""
        for start in range(0, len(self.groups), row_count):
            part = slice(start, start + row_count)
            places = None if self.places is None else self.places[part]
            yield GroupPage(
                self.embedding_ids[part], self.groups[part], self.similarities[part], places
            )


class Uploaded(NamedTuple):
    """Rows of pictures that somebody uploaded.

    Attributes:
        ids: (n,) int64 embedding ids, ascending.
        vectors: (n, d) float32.
        copies: (n,) int64, how many images show each.
        is_public: (n,) bool, whether one of those is public.
        rows, owners: (m,) int64, for each image the row that it shows, and its owner's id.
    """

    ids: Ids
    vectors: Matrix
    copies: Ids
    is_public: Flags
    rows: Ids
    owners: Ids


def theme_centres(
    source: VectorSource, grouping: Grouping, k: int | None, progress: RebuildProgress
) -> Matrix:
    """Return (<= k, d) centres of the library's themes, (0, d) for an empty one.

    Args:
        source: the space's rows; a fixed random sample of them is held in memory.
        grouping: finds centres.
        k: how many; None tries several and takes the one with the greatest silhouette.
        progress: called with rows read of twice the rows; `theme_pages` goes on from there.
    """
    total = source.count_live()
    wanted = TRAINING_ROWS_PER_GROUP * (k or MOST_CHOSEN)
    part = min(1.0, wanted / max(1, total))
    sample: list[Matrix] = []
    read = 0
    for page in _uploaded_rows(source):
        ids, vectors = page.ids, page.vectors
        read += len(ids)
        sample.append(vectors[sampling_order(ids) <= np.uint64(part * (2**64 - 2**11))])
        progress(min(read, total), 2 * total)
    if not sample or not (rows := np.concatenate(sample)).size:
        return np.empty((0, source.space.dimension), np.float32)
    if k is None:
        k = _chosen_k(rows, read, grouping, lambda: progress(min(read, total), 2 * total))
    return grouping.centres(rows, k, SEED)


def theme_pages(
    source: VectorSource, centres: Matrix, progress: RebuildProgress
) -> Iterator[GroupPage]:
    """Yield every picture of the library with its nearest centre; none without centres."""
    total = source.count_live()
    done = 0
    for page in _uploaded_rows(source) if len(centres) else ():
        ids, vectors = page.ids, page.vectors
        groups, similarities = nearest_centres(vectors, centres)
        yield GroupPage(ids, groups, similarities)
        done += len(ids)
        progress(total + min(done, total), 2 * total)
    progress(2 * total, 2 * total)


def near_duplicate_pages(
    source: VectorSource, threshold: float, progress: RebuildProgress
) -> Iterator[GroupPage]:
    """Yield the pictures that are near another one, a page of whole groups at a time.

    Pictures are in one group when a chain of pairs reaching the threshold connects them. The same
    bytes uploaded twice are a group too.

    Args:
        source: the space's rows; all vectors are held in memory, 4 x d bytes each.
        threshold: least cosine of a pair.
        progress: called with steps done of three per row.
    """
    library = everything(source, progress)
    ids, vectors, copies = library.ids, library.vectors, library.copies
    total = len(ids)
    joined = Components(total)
    for pairs in near_pairs(vectors, threshold):
        joined.join(pairs.some, pairs.others)
        progress(total + pairs.rows_done, 3 * total)
    labels = joined.labels()
    grouped = np.flatnonzero((np.bincount(labels, minlength=1)[labels] > 1) | (copies > 1))
    order = grouped[np.argsort(labels[grouped], kind="stable")]
    _, groups = np.unique(labels[order], return_inverse=True)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    first = 0
    while first < len(order):
        # To the end of the group that the page's last row belongs to.
        after = np.searchsorted(starts, first + PAGE_ROWS)
        end = int(starts[after]) if after < len(starts) else len(order)
        rows = order[first:end]
        yield GroupPage(
            ids[rows], groups[first:end], _with_own_mean(vectors[rows], groups[first:end])
        )
        first = end
        progress(2 * total + end, 3 * total)
    progress(3 * total, 3 * total)


def _chosen_k(rows: Matrix, row_count: int, grouping: Grouping, check: Callable[[], None]) -> int:
    """Return the k of the greatest silhouette for a library of `row_count` pictures.

    `rows` is a sample of it; `check` is called between tries and may raise.
    """
    if len(rows) > CHOOSING_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, CHOOSING_ROWS).astype(np.int64)]
    silhouettes: dict[int, float] = {}

    def attempt(values: tuple[int, ...]) -> None:
        for k in values:
            check()
            silhouettes[k] = silhouette(rows, grouping.centres(rows, k, SEED))

    attempt(coarse_ks(row_count))
    attempt(fine_ks(silhouettes))
    return best_k(silhouettes)


def _with_own_mean(vectors: Matrix, groups: Ids) -> Floats:
    """Return (m,) each row's cosine with the mean of its group; groups come one after another."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    means = np.add.reduceat(vectors, starts, axis=0)
    # A long chain can go all the way round; then its first picture counts as the centre.
    cancelled = np.linalg.norm(means, axis=1) < 1e-3
    means[cancelled] = vectors[starts[cancelled]]
    means = l2_normalise(means)
    place = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(groups)))
    similarities: Floats = np.einsum("nd,nd->n", vectors, means[place]).astype(np.float64)
    return np.clip(similarities, -1.0, 1.0)


def everything(source: VectorSource, progress: RebuildProgress) -> Uploaded:
    """Return all rows that somebody uploaded; `progress` is called with rows read of three times the rows."""
    total = source.count_live()
    # Made in one piece: joining pages would hold every vector twice. What comes in meanwhile and
    # finds no room is grouped by the next run.
    vectors = np.empty((total, source.space.dimension), np.float32)
    ids, copies = np.empty(total, np.int64), np.empty(total, np.int64)
    is_public = np.empty(total, np.bool_)
    pairs: list[tuple[Ids, Ids]] = []
    end = 0
    for page in _uploaded_rows(source):
        count = min(len(page.ids), total - end)
        vectors[end : end + count] = page.vectors[:count]
        ids[end : end + count] = page.ids[:count]
        copies[end : end + count] = page.copies[:count]
        is_public[end : end + count] = page.is_public[:count]
        there = page.rows < count
        pairs.append((page.rows[there] + end, page.owners[there]))
        end += count
        progress(end, 3 * total)
    rows, owners = (
        np.concatenate([pair[side] for pair in pairs]) if pairs else np.empty(0, np.int64)
        for side in (0, 1)
    )
    return Uploaded(ids[:end], vectors[:end], copies[:end], is_public[:end], rows, owners)


def _uploaded_rows(source: VectorSource) -> Iterator[Uploaded]:
    for page in source.live_rows_through(EVERY_CHANGE, PAGE_ROWS):
        # Negative owners are people who had a picture classified that nobody may list.
        by_images = page.access_owners > 0
        shown_by, owners = page.access_rows[by_images], page.access_owners[by_images]
        is_public = np.zeros(page.ids.size, np.bool_)
        is_public[shown_by[page.access_public[by_images]]] = True
        copies = np.bincount(shown_by, minlength=page.ids.size).astype(np.int64)
        kept = (copies > 0) & ~page.dead
        place = np.cumsum(kept) - 1
        there = kept[shown_by]
        yield Uploaded(
            page.ids[kept],
            page.vectors[kept],
            copies[kept],
            is_public[kept],
            place[shown_by[there]],
            owners[there],
        )
