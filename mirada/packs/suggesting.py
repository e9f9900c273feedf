"""Suggestions for a pack: pictures like those in it, and titles.

Only what its owner sees moves it: the pictures of the pack, their own verdicts for its theme and those on
public pictures.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.classify.expansions import look_up_all
from mirada.db.classifier_models import ImageLabels
from mirada.db.models import Image
from mirada.db.pack_models import Pack, PackImage
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import PICTURE_VECTORS
from mirada.db.visibility import may_see
from mirada.embedding.interactive import known_space
from mirada.feedback.theme_verdicts import verdicts_on
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Vector, l2_normalise
from mirada.kernel.images import ImageStatus
from mirada.packs.choices import decided
from mirada.packs.member_rows import require_by_hand
from mirada.runtime import Runtime
from mirada.search.asked import Asked
from mirada.search.found import Found
from mirada.search.queries import QueryKind
from mirada.search.request import Part, SearchRequest
from mirada.search.run import run

MOST_LOOKED_AT = 500
"""Pictures of a pack, and verdicts, that its centre is made of: the last that came."""
ACCEPTED_WEIGHT, REJECTED_WEIGHT = 0.75, 0.15
"""Of the mean of what was accepted and rejected, beside the pack's own of 1.

Source: Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008, 9.1.1 (Rocchio)."""
MOST_LABELS = 8
"""The commonest labels of a pack's pictures, whose expansions give titles."""
MOST_TITLES = 8
NOTHING_TO_GO_BY = (
    "Nothing is known of what belongs in: add a picture that can be found, or accept one for the pack's "
    "theme."
)


@dataclass(frozen=True, slots=True)
class Suggested:
    """Suggestions for a pack.

    Attributes:
        titles: for it, the best first.
        found: pictures that would fit; None where there is nothing to go by.
        reason: why there are none; None where there are some.
    """

    titles: Sequence[str]
    found: Found | None
    reason: str | None


def suggestions_for(runtime: Runtime, pack_id: int, audience: Audience, limit: int) -> Suggested:
    """Return what would fit into a pack of the viewer's own; nothing is written, and nothing is paid.

    Args:
        runtime: with the database and the index of pictures.
        pack_id: one that is filled by hand.
        audience: its owner.
        limit: most pictures, >= 1.

    Raises:
        NotFound: there is no such pack of theirs.
        Conflict: it fills itself, or embeddings are switched off.
        Unavailable: the index is not ready.
    """
    with runtime.reading() as session:
        # Before anything else: who may not see it is not told what the server can do.
        require_by_hand(session, pack_id, audience)
    space_id, space = known_space(runtime)
    with runtime.reading() as session:
        pack = require_by_hand(session, pack_id, audience)
        titles = _titles(session, runtime, pack, audience, space_id)
        centre = _centre(session, pack, audience, space_id, space.dimension)
        left_out = _inside(session, pack) | decided(session, pack.id)
    if centre is None:
        return Suggested(titles, None, NOTHING_TO_GO_BY)
    asked = Asked(Scope(replace(audience, left_out_ids=frozenset(left_out))))
    part = Part(QueryKind.VECTOR, centre.tolist())
    found = run(runtime, SearchRequest((part,), asked, limit))
    return Suggested(titles, found, None if found.results else found.reason)


def _inside(session: Session, pack: Pack) -> set[int]:
    query = select(PackImage.image_id).where(PackImage.pack_id == pack.id)
    return set(session.execute(query).scalars())


def _centre(
    session: Session, pack: Pack, audience: Audience, space_id: int, dimension: int
) -> Vector | None:
    """Return the (d,) unit vector that what belongs in is near to; None where nothing is known."""
    query = (
        select(Image.content_id)
        .join(PackImage, PackImage.image_id == Image.id)
        .where(PackImage.pack_id == pack.id, Image.status == ImageStatus.READY, may_see(audience))
        .order_by(PackImage.position.desc())
        .limit(MOST_LOOKED_AT)
    )
    contents = set(session.execute(query).scalars())
    own = vectors_of(session, PICTURE_VECTORS, space_id, contents, dimension)
    accepted, rejected = _judged(session, pack, audience, space_id, dimension)
    centre = _mean(own.values(), dimension)
    if pack.theme is not None:
        centre = centre + ACCEPTED_WEIGHT * _mean(accepted, dimension)
        centre = centre - REJECTED_WEIGHT * _mean(rejected, dimension)
    if not (own or accepted) or not np.linalg.norm(centre):
        return None
    unit: Vector = l2_normalise(centre.astype(np.float32))
    return unit


def _judged(
    session: Session, pack: Pack, audience: Audience, space_id: int, dimension: int
) -> tuple[list[Vector], list[Vector]]:
    """Return the vectors of what was accepted, and rejected, for the pack's theme."""
    accepted: list[Vector] = []
    rejected: list[Vector] = []
    if pack.theme is not None:
        seen = verdicts_on(
            session,
            pack.theme,
            audience,
            space_id=space_id,
            dimension=dimension,
            limit=MOST_LOOKED_AT,
        ).seen
        for verdict in seen:
            if verdict.vector is not None:
                (accepted if verdict.feedback.accepted else rejected).append(verdict.vector)
    return accepted, rejected


def _mean(vectors: Collection[Vector], dimension: int) -> Vector:
    if not vectors:
        return np.zeros(dimension, np.float32)
    mean: Vector = np.mean(np.stack(list(vectors)), axis=0)
    return mean


def _titles(
    session: Session, runtime: Runtime, pack: Pack, audience: Audience, space_id: int
) -> list[str]:
    """Return what a language model called packs of the commonest labels, as far as it was asked."""
    count = func.count()
    query = (
        select(ImageLabels.label, count)
        .join(Image, Image.id == ImageLabels.image_id)
        .join(PackImage, PackImage.image_id == Image.id)
        .where(
            PackImage.pack_id == pack.id,
            ImageLabels.space_id == space_id,
            ImageLabels.label.is_not(None),
            may_see(audience),
        )
        .group_by(ImageLabels.label)
        .order_by(count.desc(), ImageLabels.label)
        .limit(MOST_LABELS)
    )
    labels = [label for label, _ in session.execute(query) if label is not None]
    names = labels if pack.theme is None else [pack.theme, *labels]
    known = look_up_all(session, names, runtime.settings.llm_label_expansion_model)
    found = [
        title
        for name in names
        if (expansion := known[name].expansion) is not None
        for title in expansion.pack_suggestions
    ]
    return list(dict.fromkeys(found))[:MOST_TITLES]
