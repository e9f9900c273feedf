"""Pictures that are only asked with: kept for a day, for their sender alone, so that a query has an address.

What is kept is the vector and a small copy. They are no images: no list, search or classification
finds them, and nobody learns that the server has seen the bytes before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session, defer

from mirada.db.deadlocks import in_transaction, retried
from mirada.db.idempotency import Once, once
from mirada.db.models import User, utc_now
from mirada.db.query_models import QueryPicture
from mirada.db.session import count_changed
from mirada.db.stored_vectors import intact
from mirada.kernel.copies import THUMBNAIL_SIDE_PX
from mirada.kernel.embeddings import EmbeddingSpace, Vector, to_blob
from mirada.kernel.errors import Conflict, NotFound
from mirada.kernel.ids import in_range
from mirada.runtime import Runtime
from mirada.search import queries
from mirada.search.queries import Query, QueryKind
from mirada.search.request import SentPicture

KEPT_FOR = timedelta(hours=24)
MOST_KEPT, MOST_BYTES = 200, 8 * 1024 * 1024
"""Of one person at a time. A small copy has about 20 KB."""
PURGE_ROWS = 500
"""Rows deleted per transaction."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A query picture; `was_replayed`: an earlier request with the same Idempotency-Key sent it."""

    picture: QueryPicture
    was_replayed: bool = False


def keep_query_picture(
    runtime: Runtime, sent: SentPicture, sha256: str, owner_id: int, *, key: str | None = None
) -> Kept:
    """Keep a received picture to ask with, and compute its vector now.

    Args:
        runtime: with the encoder and decoder.
        sent: the picture; its file is not kept.
        sha256: of its bytes.
        owner_id: its sender, and nobody else's.
        key: the request's Idempotency-Key; one key keeps one picture.

    Raises:
        UnsupportedImage, CorruptImage, ImageTooLarge: it is no picture that we accept.
        Conflict: the sender keeps as many as one person may, the key's picture is gone since, or
            embeddings are switched off.
        InvalidInput: the key is no key, or another request's.
        Unavailable: the weights take long to load.
    """
    request = once(owner_id, key, "query picture", {"sha256": sha256})
    with runtime.reading() as session:
        earlier = _earlier(session, request, owner_id)
    if earlier is not None:
        return Kept(earlier, was_replayed=True)
    query = queries.of_picture(runtime, sent.path, sent.declared_media_type)
    thumbnail = runtime.decoder.thumbnail(sent.path, THUMBNAIL_SIDE_PX)
    blob, crc32 = to_blob(query.vector)

    def store(session: Session) -> Kept:
        # One sender's requests come one after the other, so that none gets past the bounds.
        session.get(User, owner_id, with_for_update=True)
        twin = _earlier(session, request, owner_id)
        if twin is not None:
            return Kept(twin, was_replayed=True)
        _require_room(session, owner_id, len(thumbnail))
        now = utc_now()
        picture = QueryPicture(
            owner_id=owner_id,
            space_id=query.space_id,
            vector=blob,
            crc32=crc32,
            sha256=sha256,
            thumbnail=thumbnail,
            byte_size=len(thumbnail),
            created_at=now,
            expires_at=now + KEPT_FOR,
        )
        session.add(picture)
        session.flush()
        request.keep(session, picture.id)
        return Kept(picture)

    return in_transaction(runtime.database, store)


def list_query_pictures(
    session: Session, owner_id: int, *, cursor: int | None, limit: int
) -> Sequence[QueryPicture]:
    """Return a person's query pictures that are kept now, newest first, without their bytes."""
    query = _kept(owner_id).options(defer(QueryPicture.vector), defer(QueryPicture.thumbnail))
    if cursor is not None:
        query = query.where(QueryPicture.id < cursor)
    return session.execute(query.order_by(QueryPicture.id.desc()).limit(limit)).scalars().all()


def get_query_picture(session: Session, picture_id: int, owner_id: int | None) -> QueryPicture:
    """Return a person's query picture. Raises NotFound: there is none, it is not theirs, or expired."""
    found = None
    if owner_id is not None:
        query = _kept(owner_id).where(QueryPicture.id == in_range(picture_id))
        found = session.execute(query).scalar_one_or_none()
    if found is None:
        raise _absent(picture_id)
    return found


def forget_query_picture(session: Session, picture_id: int, owner_id: int) -> None:
    """Delete a person's query picture; raises as `get_query_picture` does."""
    statement = delete(QueryPicture).where(
        QueryPicture.id == in_range(picture_id), QueryPicture.owner_id == owner_id
    )
    if not count_changed(session, statement):
        raise _absent(picture_id)


remove_query_picture = retried(forget_query_picture)


def forget_all_of(session: Session, owner_id: int) -> None:
    """Delete what somebody keeps, such as a user who was ended."""
    count_changed(session, delete(QueryPicture).where(QueryPicture.owner_id == owner_id))


def forget_expired(session: Session) -> int:
    """Delete the oldest query pictures whose day is over, and return how many."""
    expired = select(QueryPicture.id).where(QueryPicture.expires_at <= utc_now())
    ids = session.execute(expired.order_by(QueryPicture.expires_at).limit(PURGE_ROWS)).scalars()
    # Read first: most sweeps find nothing, and then lock nothing.
    found = list(ids)
    if not found:
        return 0
    return count_changed(session, delete(QueryPicture).where(QueryPicture.id.in_(found)))


def query_of_kept(
    session: Session, picture_id: int, owner_id: int | None, space: tuple[int, EmbeddingSpace]
) -> Query:
    """Return a kept picture as a query.

    Raises:
        NotFound: there is no such picture of this person.
        Conflict: it was embedded in another space, before a change of the model.
    """
    picture = get_query_picture(session, picture_id, owner_id)
    space_id, value = space
    vector: Vector | None = intact(picture.vector, picture.crc32, value.dimension)
    if picture.space_id != space_id or vector is None:
        raise Conflict(
            f"Query picture {picture_id} was read by another model than the one in use; send it again."
        )
    return Query(vector, space_id, value, QueryKind.PICTURE)


def _kept(owner_id: int) -> Select[QueryPicture]:
    return select(QueryPicture).where(
        QueryPicture.owner_id == owner_id, QueryPicture.expires_at > utc_now()
    )


def _earlier(session: Session, request: Once, owner_id: int) -> QueryPicture | None:
    earlier = request.earlier(session)
    if earlier is None:
        return None
    try:
        return get_query_picture(session, earlier, owner_id)
    except NotFound as error:
        raise Conflict(
            "The query picture of this Idempotency-Key is gone since. Send a new key to keep it again."
        ) from error


def _require_room(session: Session, owner_id: int, byte_size: int) -> None:
    count, total, oldest = session.execute(
        select(
            func.count(QueryPicture.id),
            func.coalesce(func.sum(QueryPicture.byte_size), 0),
            func.min(QueryPicture.expires_at),
        ).where(QueryPicture.owner_id == owner_id, QueryPicture.expires_at > utc_now())
    ).one()
    if count and (count >= MOST_KEPT or int(total) + byte_size > MOST_BYTES):
        raise Conflict(
            f"You keep {count} query pictures, as many as one person may. The oldest goes at "
            f"{oldest:%H:%M} UTC; delete one, or send the picture with the search itself."
        )


def _absent(picture_id: int) -> NotFound:
    return NotFound(f"There is no query picture {picture_id}, or its 24 hours are over.")
