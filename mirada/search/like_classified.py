"""Find pictures like a classified one, among images the viewer may see and what they had classified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, and_, false, func, or_, select, true
from sqlalchemy.orm import Session

from mirada.db.chunks import chunks
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.models import Content, Embedding, Image
from mirada.db.visibility import may_see, may_see_content
from mirada.embedding.interactive import known_space
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Vector
from mirada.kernel.similarity import Match
from mirada.ports import VectorIndex
from mirada.runtime import Runtime
from mirada.search.asked import Asked
from mirada.search.deepening import nearest
from mirada.search.queries import Query, QueryKind
from mirada.search.safety import Safety, safety_in_force

DEFAULT_THRESHOLD = 0.85
"""CONTRACT C, where SIMILARITY_THRESHOLD is unset: near-duplicates and variants, not relatives."""


@dataclass(frozen=True, slots=True)
class SimilarPicture:
    """One picture, whoever brought it, that the caller may know of.

    Attributes:
        sha256: of its bytes.
        asset_id: the viewer's own name for it: of its classification, else of their newest image of it
            that has one; None for none.
        similarity: cosine in [-1, 1], higher is nearer.
    """

    sha256: str
    asset_id: str | None
    similarity: float


def similar_pictures(
    runtime: Runtime,
    picture: Vector,
    asked: Asked,
    *,
    k: int,
    threshold: float | None = None,
    exclude_sha256: str | None = None,
) -> list[SimilarPicture]:
    """Return the k pictures nearest to a classified one; see `find_similar`.

    There are none where k is 0 or ENABLE_CLUSTERING is off; a threshold of None is DEFAULT_THRESHOLD.

    Raises:
        Conflict: the change number was never given, or nothing can be judged for NSFW_POLICY=hide.
        Unavailable: the index or an encoder is not ready.
    """
    if not runtime.settings.enable_clustering or k == 0:
        return []
    space_id, space = known_space(runtime)
    query = Query(picture, space_id, space, QueryKind.PICTURE)
    index = asked.fresh_index(runtime, space_id)
    safety = safety_in_force(runtime)
    with runtime.reading() as session:
        return find_similar(
            session,
            index,
            query,
            asked.audience,
            k=k,
            threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
            exclude_sha256=exclude_sha256,
            safety=safety,
        )


def find_similar(
    session: Session,
    index: VectorIndex,
    query: Query,
    audience: Audience,
    *,
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
        query: in the index's space.
        audience: the viewer; what they had classified is searched beside the images they may see.
        k: >= 1.
        threshold: least cosine similarity.
        exclude_sha256: the picture searched with.
        safety: when not None, what it calls unsafe is found only by those who brought it.
    """
    audience = replace(audience, with_remembered=True)
    found, _ = nearest(
        session,
        index,
        query,
        Scope(audience),
        k=k,
        threshold=threshold,
        shown=lambda near: _authorised(session, near, audience, exclude_sha256, safety),
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
    found: list[tuple[int, SimilarPicture]] = []
    for some in chunks(list(by_embedding)):
        rows = session.execute(_contents_of(some, audience)).all()
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


def _contents_of(
    embedding_ids: Sequence[int], audience: Audience
) -> Select[int, int, str, str | None, bool]:
    own = may_see(audience.own_alone())
    own_image = select(Image.id).where(Image.content_id == Content.id, own)
    own_name = (
        select(Image.asset_id)
        .where(Image.content_id == Content.id, own, Image.asset_id.is_not(None))
        .order_by(Image.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    has_sent = func.coalesce(ClassifiedPicture.sent_bytes, false()) == true()
    return (
        select(
            Embedding.id.label("embedding_id"),
            Content.id.label("content_id"),
            Content.sha256,
            func.coalesce(ClassifiedPicture.asset_id, own_name).label("asset_id"),
            or_(has_sent, own_image.exists()).label("is_own"),
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
            Embedding.id.in_(embedding_ids),
            Embedding.is_deleted.is_(False),
            may_see_content(audience, Content.id, has_vector=True),
        )
    )
