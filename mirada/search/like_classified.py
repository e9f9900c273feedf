"""Find pictures near a classified one: images the caller may see, and what they had classified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, false, func, or_, select, true
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.models import Content, Embedding, Image
from mirada.db.visibility import may_see_content
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import Vector
from mirada.kernel.similarity import Match
from mirada.ports import VectorIndex
from mirada.search.deepening import nearest
from mirada.search.safety import Safety


@dataclass(frozen=True, slots=True)
class SimilarPicture:
    """One picture, whoever brought it, that the caller may know of.

    Attributes:
        sha256: of its bytes.
        asset_id: what the caller called it when they had it classified; None otherwise.
        similarity: cosine in [-1, 1], higher is nearer.
    """

    sha256: str
    asset_id: str | None
    similarity: float


def find_similar(
    session: Session,
    index: VectorIndex,
    query: Vector,
    *,
    viewer_id: int,
    k: int,
    threshold: float,
    exclude_sha256: str | None = None,
    safety: Safety | None = None,
) -> list[SimilarPicture]:
    """Return the k pictures nearest to a vector, best first, ties by content; each content once.

    The index proposes and the database decides, as in `by_vector.find`.

    Args:
        session: for reading.
        index: of the query's space.
        query: (d,) float32, unit norm.
        viewer_id: whose remembered pictures are searched beside the images they may see.
        k: >= 1.
        threshold: least cosine similarity.
        exclude_sha256: the picture searched with.
        safety: when not None, what it calls unsafe is found only by those who brought it.
    """
    audience = Audience(viewer_id, with_remembered=True)

    def shown(near: Sequence[Match]) -> list[SimilarPicture]:
        return _authorised(session, near, audience, exclude_sha256, safety)

    found, _ = nearest(
        session,
        index,
        query,
        audience,
        k=k,
        threshold=threshold,
        shown=shown,
        spare=int(exclude_sha256 is not None),
    )
    return found


def _authorised(
    session: Session,
    matches: Sequence[Match],
    audience: Audience,
    exclude_sha256: str | None,
    safety: Safety | None,
) -> list[SimilarPicture]:
    """Return what the audience may see of these now, best first."""
    by_embedding = {match.id: match.similarity for match in matches}
    ids = list(by_embedding)
    own_image = select(Image.id).where(
        Image.content_id == Content.id, Image.owner_id == audience.viewer_id
    )
    found: list[tuple[int, SimilarPicture]] = []
    for start in range(0, len(ids), changes.IN_LIST_ROWS):
        rows = session.execute(
            select(
                Embedding.id.label("embedding_id"),
                Content.id.label("content_id"),
                Content.sha256,
                ClassifiedPicture.asset_id,
                or_(
                    func.coalesce(ClassifiedPicture.sent_bytes, false()) == true(),
                    own_image.exists(),
                ).label("is_own"),
            )
            .join(Content, Content.id == Embedding.content_id)
            .outerjoin(
                ClassifiedPicture,
                and_(
                    ClassifiedPicture.content_id == Content.id,
                    ClassifiedPicture.owner_id == audience.viewer_id,
                ),
            )
            .where(
                Embedding.id.in_(ids[start : start + changes.IN_LIST_ROWS]),
                Embedding.is_deleted.is_(False),
                may_see_content(audience, Content.id, has_vector=True),
            )
        ).all()
        others = {row.content_id for row in rows if not row.is_own}
        unsafe = set() if safety is None else safety.unsafe_contents(session, others)
        found += [
            (
                row.content_id,
                SimilarPicture(row.sha256, row.asset_id, by_embedding[row.embedding_id]),
            )
            for row in rows
            if row.sha256 != exclude_sha256 and row.content_id not in unsafe
        ]
    found.sort(key=lambda entry: (-entry[1].similarity, entry[0]))
    return [picture for _, picture in found]
