"""The choice among the hits of a ranking: one of those that count as one, and what is new first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from mirada.db import spaces
from mirada.db.chunks import rows_in
from mirada.db.filters import in_scope
from mirada.db.models import Image
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import PICTURE_VECTORS
from mirada.db.visibility import is_looked_at
from mirada.duplicates.alike import near_among
from mirada.duplicates.seen import denied_pairs
from mirada.groups.near_duplicates import DEFAULT_THRESHOLD, near_pairs
from mirada.kernel.audience import Scope
from mirada.kernel.diversity import marginal_relevance_order
from mirada.kernel.embeddings import Vector
from mirada.kernel.images import ImageStatus
from mirada.search.choice import Choice, Collapse
from mirada.search.found import Hit
from mirada.search.safety import Safety

DIVERSE_POOL = 256
"""Hits of which the diverse ones are chosen; what comes after them keeps its order."""


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses among hits, as one viewer sees them.

    Attributes:
        session: for reading.
        scope: the viewer, and what they ask to see.
        safety: when not None, others' images that it calls unsafe do not count.
    """

    session: Session
    scope: Scope
    safety: Safety | None
    _contents: dict[int, int] = field(default_factory=dict)
    _is_ready: dict[int, bool] = field(default_factory=lambda: defaultdict(bool))
    _compared: set[int] = field(default_factory=set)
    _vectors: dict[int, Vector] = field(default_factory=dict)

    def chosen(self, hits: Sequence[Hit], choice: Choice) -> list[Hit]:
        """Return the hits that are shown, in their order; all of them, and not those of a page alone."""
        if choice.is_plain:
            return list(hits)
        self._read_contents(hits)
        if choice.collapse is not None:
            hits = self._collapsed(hits, choice.collapse)
        if choice.diversify is not None:
            hits = self._diverse(hits, choice.diversify)
        if choice.newest_first:
            # As lists have it: the higher id is the newer image.
            hits = sorted(
                hits, key=lambda hit: (not hit.is_relevant, -hit.image_id * hit.is_relevant)
            )
        return list(hits)

    def with_counts(self, hits: Sequence[Hit], choice: Choice) -> list[Hit]:
        """Return hits that are shown, each with the number of images that it stands for.

        Of one file these are all others in scope, ranked or not; of the further tiers also those that
        were ranked.
        """
        if choice.collapse is None:
            return list(hits)
        self._read_contents(hits)
        others = self._others_of(hits)
        return [
            replace(hit, collapsed_count=(hit.collapsed_count or 0) + others[hit.image_id])
            for hit in hits
        ]

    def _collapsed(self, hits: Sequence[Hit], collapse: Collapse) -> list[Hit]:
        neighbours = self._neighbours(hits, collapse)
        denied: Collection[tuple[int, int]] = ()
        if neighbours and self.scope.viewer_id is not None:
            denied = denied_pairs(self.session, self.scope.viewer_id)
        shown: dict[int, Hit] = {}
        hidden: Counter[int] = Counter()
        for hit in hits:
            content_id = self._content_of(hit)
            if content_id in shown:
                # Images of one file are counted in the database, whether they are ranked or not.
                continue
            near = neighbours.get(content_id, ())
            leaders = (each for each in shown if each in near) if near else iter(())
            leader = next((each for each in leaders if _pair(hit, shown[each]) not in denied), None)
            if leader is None:
                shown[content_id] = hit
            else:
                hidden[leader] += 1
        return [replace(hit, collapsed_count=hidden[each]) for each, hit in shown.items()]

    def _neighbours(self, hits: Sequence[Hit], collapse: Collapse) -> Mapping[int, set[int]]:
        """Return what counts as one with each picture among the hits, by content, beside the same file."""
        if collapse is Collapse.SAME_FILE:
            return {}
        # One that was not compared yet is like nothing, or its owner would learn of others' copies.
        compared = {self._content_of(hit) for hit in hits if hit.image_id in self._compared}
        found = defaultdict(set, near_among(self.session, compared))
        if collapse is Collapse.SAME_SUBJECT:
            self._add_by_vectors(hits, found)
        return found

    def _add_by_vectors(self, hits: Sequence[Hit], found: dict[int, set[int]]) -> None:
        self._read_vectors(hits)
        contents = [each for each in map(self._content_of, hits) if each in self._vectors]
        contents = list(dict.fromkeys(contents))
        if contents:
            vectors = np.stack([self._vectors[each] for each in contents])
            space = spaces.pinned_space(self.session)
            least = space and space.near_duplicate_cosine
            for pairs in near_pairs(vectors, least or DEFAULT_THRESHOLD):
                for one, other in zip(pairs.some.tolist(), pairs.others.tolist(), strict=True):
                    found[contents[one]].add(contents[other])
                    found[contents[other]].add(contents[one])

    def _diverse(self, hits: Sequence[Hit], relevance_share: float) -> list[Hit]:
        pool, rest = hits[:DIVERSE_POOL], hits[DIVERSE_POOL:]
        self._read_vectors(pool)
        found = [self._vectors.get(self._content_of(hit)) for hit in pool]
        known = next((vector for vector in found if vector is not None), None)
        if known is None:
            return list(hits)
        nothing = np.zeros_like(known)
        vectors = np.stack([nothing if vector is None else vector for vector in found])
        scores = [hit.score if hit.score is not None else hit.similarity or 0.0 for hit in pool]
        order = marginal_relevance_order(scores, vectors, relevance_share)
        return [*(pool[place] for place in order), *rest]

    def _others_of(self, hits: Sequence[Hit]) -> Mapping[int, int]:
        """Return by image id how many others in scope have the same file, as far as they may be shown."""
        contents = {self._content_of(hit) for hit in hits}
        unsafe: set[int] = set()
        if self.safety is not None:
            unsafe = self.safety.unsafe_contents(self.session, contents)
        is_own = case((Image.owner_id == (self.scope.viewer_id or 0), 1), else_=0)
        counted = (
            select(Image.content_id, func.count(), func.sum(is_own))
            .where(in_scope(self.scope), PICTURE_VECTORS.is_through)
            .group_by(Image.content_id)
        )
        counts: Counter[int] = Counter()
        for content_id, count, own in rows_in(self.session, counted, Image.content_id, contents):
            counts[content_id] = int(own) if content_id in unsafe else count
        return {
            hit.image_id: max(0, counts[self._content_of(hit)] - self._is_ready[hit.image_id])
            for hit in hits
        }

    def _content_of(self, hit: Hit) -> int:
        return self._contents.get(hit.image_id, -hit.image_id)

    def _read_contents(self, hits: Sequence[Hit]) -> None:
        missing = [hit.image_id for hit in hits if hit.image_id not in self._contents]
        compared = case((is_looked_at(), 1), else_=0)
        query = select(Image.id, Image.content_id, Image.status, compared)
        for row in rows_in(self.session, query, Image.id, missing):
            image_id, content_id, status, is_compared = row
            self._contents[image_id] = content_id
            self._is_ready[image_id] = status == ImageStatus.READY
            if is_compared:
                self._compared.add(image_id)

    def _read_vectors(self, hits: Sequence[Hit]) -> None:
        contents = {self._content_of(hit) for hit in hits} - self._vectors.keys()
        space_id = spaces.pinned_space_id(self.session)
        self._vectors.update(vectors_of(self.session, PICTURE_VECTORS, space_id, contents))


def _pair(one: Hit, other: Hit) -> tuple[int, int]:
    return min(one.image_id, other.image_id), max(one.image_id, other.image_id)
