"""Gives a space the vectors that another one has: of pictures from their originals, and of texts.

What is there is left alone, so filling can be stopped anywhere and begun again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, false, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from mirada.db import changes
from mirada.db.memory_models import TextContent, TextEmbedding
from mirada.db.model_switch_models import SwitchGap
from mirada.db.models import Content, Embedding
from mirada.db.texts import lock_texts
from mirada.embedding.embed import is_stored
from mirada.embedding.mirroring import store_beside
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector, to_blob
from mirada.kernel.errors import (
    CorruptImage,
    ImageTooLarge,
    InvalidInput,
    NotFound,
    UnsupportedImage,
)
from mirada.kernel.images import RgbImage
from mirada.runtime import Runtime

AT_ONCE = 16
"""Pictures of a batch: one forward pass, one transaction."""
TEXTS_AT_ONCE = 64
DECODERS = 2
"""Pictures decoded at once, each by a child process."""
NEVER_KEPT = "Its bytes were never kept: it was only classified."
Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Filling:
    """What is to be filled from where.

    Attributes:
        switch_id: of the change, which keeps the gaps.
        kind: of both spaces.
        from_id: the row of the space whose subjects get vectors.
        to_id: the row of `to`.
        to: the space to be filled; the thread's view has its encoder.
    """

    switch_id: int
    kind: SpaceKind
    from_id: int
    to_id: int
    to: EmbeddingSpace


def lacking(filling: Filling, *, after_seq: int | None = None) -> Select[int]:
    """Return the query for the contents, or texts, that lack a vector, ascending.

    Contents whose bytes were never kept are none of them, nor are gaps.

    Args:
        filling: the spaces.
        after_seq: only those whose vector has a higher change number.
    """
    if filling.kind is SpaceKind.IMAGE:
        subject = Embedding.content_id
        there = aliased(Embedding)
        is_there = exists(
            select(there.id).where(
                there.space_id == filling.to_id, there.content_id == Embedding.content_id
            )
        )
        conditions = [
            *_of_space(Embedding, filling.from_id, after_seq),
            ~is_there,
            ~exists(
                select(SwitchGap.id).where(
                    SwitchGap.switch_id == filling.switch_id,
                    SwitchGap.content_id == Embedding.content_id,
                )
            ),
            exists(
                select(Content.id).where(
                    Content.id == Embedding.content_id, Content.storage_key != ""
                )
            ),
        ]
        return select(subject).where(*conditions).order_by(subject)
    has_vector = aliased(TextEmbedding)
    is_embedded = exists(
        select(has_vector.id).where(
            has_vector.space_id == filling.to_id, has_vector.text_id == TextEmbedding.text_id
        )
    )
    return (
        select(TextEmbedding.text_id)
        .join(TextContent, TextContent.id == TextEmbedding.text_id)
        .where(*_of_space(TextEmbedding, filling.from_id, after_seq), ~is_embedded)
        .order_by(TextEmbedding.text_id)
    )


def _of_space(entity: Any, space_id: int, after_seq: int | None) -> list[ColumnElement[bool]]:
    conditions = [entity.space_id == space_id, entity.is_deleted == false()]
    if after_seq is not None:
        conditions.append(entity.change_seq > after_seq)
    return conditions


def is_any_lacking(session: Session, filling: Filling, *, after_seq: int | None = None) -> bool:
    """Return whether a vector is missing."""
    query = lacking(filling, after_seq=after_seq).limit(1)
    return session.execute(query).first() is not None


def count_lacking(session: Session, filling: Filling, *, after_seq: int | None = None) -> int:
    """Return how many vectors are missing."""
    pending = lacking(filling, after_seq=after_seq).order_by(None).subquery()
    return session.execute(select(func.count()).select_from(pending)).scalar_one()


def fill(
    runtime: Runtime,
    filling: Filling,
    report: Report,
    done: int,
    total: int,
    *,
    after_seq: int | None = None,
) -> int:
    """Embed what is lacking, batch by batch, and return how many are done then.

    Args:
        runtime: in a view that has the encoder of the space to be filled.
        filling: the spaces.
        report: called before each batch with vectors done and vectors in all.
        done: vectors done before.
        total: of this and everything else that is reported.
        after_seq: only what has a higher change number.

    Raises:
        Unavailable: the originals' folder, the encoder or the database is away.
    """
    step = _fill_pictures if filling.kind is SpaceKind.IMAGE else _fill_texts
    size = AT_ONCE if filling.kind is SpaceKind.IMAGE else TEXTS_AT_ONCE
    while True:
        report(done, max(total, done))
        with runtime.reading() as session:
            query = lacking(filling, after_seq=after_seq).limit(size)
            ids = list(session.execute(query).scalars())
        if not ids:
            return done
        step(runtime, filling, ids)
        done += len(ids)


def _fill_pictures(runtime: Runtime, filling: Filling, content_ids: Sequence[int]) -> None:
    with runtime.reading() as session:
        rows = select(Content.id, Content.storage_key).where(Content.id.in_(content_ids))
        keys = {row.id: row.storage_key for row in session.execute(rows.order_by(Content.id))}
    side_px = 2 * runtime.encoder.input_side_px
    with ThreadPoolExecutor(DECODERS, thread_name_prefix="switch") as decoders:
        tried = list(
            decoders.map(lambda content_id: _decoded(runtime, keys[content_id], side_px), keys)
        )
    pixels: dict[int, RgbImage] = {}
    gaps: dict[int, str] = {}
    for content_id, found in zip(keys, tried, strict=True):
        if isinstance(found, str):
            gaps[content_id] = found
        else:
            pixels[content_id] = found
    vectors = _encoded(runtime, pixels, gaps)
    with runtime.transaction() as session:
        # Ascending, as every transaction locks contents.
        for content_id, vector in vectors.items():
            store_beside(session, content_id, filling.to_id, filling.to, vector)
    for content_id, reason in gaps.items():
        _keep_gap(runtime, filling, content_id, keys[content_id], reason)


def _encoded(
    runtime: Runtime, pixels: Mapping[int, RgbImage], gaps: dict[int, str]
) -> dict[int, Vector]:
    """Return vectors by content; what the encoder refuses of a picture alone goes to the gaps."""
    try:
        vectors = runtime.encoder.encode_images(list(pixels.values()))
        return dict(zip(pixels, vectors, strict=True))
    except InvalidInput:
        found = {}
        for content_id, picture in pixels.items():
            try:
                found[content_id] = runtime.encoder.encode_images([picture])[0]
            except InvalidInput as error:
                gaps[content_id] = error.detail
        return found


def _decoded(runtime: Runtime, storage_key: str, side_px: int) -> RgbImage | str:
    """Return a stored picture as the encoder takes it, or why there is none."""
    try:
        path = runtime.image_store.path(storage_key)
        return runtime.decoder.decode(path, min_side_px=side_px)
    except NotFound:
        return "Its file is gone."
    except (CorruptImage, ImageTooLarge, UnsupportedImage) as error:
        return error.detail


def _keep_gap(
    runtime: Runtime, filling: Filling, content_id: int, storage_key: str, reason: str
) -> None:
    """List a content that cannot be embedded, unless it was deleted meanwhile."""
    try:
        with runtime.transaction() as session:
            if is_stored(session, content_id, storage_key):
                session.add(
                    SwitchGap(switch_id=filling.switch_id, content_id=content_id, reason=reason)
                )
    except IntegrityError:
        return


def list_unkept(session: Session, filling: Filling) -> None:
    """List the contents that have a vector and whose bytes were never kept."""
    listed = select(SwitchGap.content_id).where(SwitchGap.switch_id == filling.switch_id)
    unkept = (
        select(Content.id)
        .join(Embedding, Embedding.content_id == Content.id)
        .where(
            Embedding.space_id == filling.from_id,
            Embedding.is_deleted == false(),
            Content.storage_key == "",
            Content.id.not_in(listed),
        )
    )
    for content_id in session.execute(unkept).scalars().all():
        session.add(
            SwitchGap(switch_id=filling.switch_id, content_id=content_id, reason=NEVER_KEPT)
        )


def _fill_texts(runtime: Runtime, filling: Filling, text_ids: Sequence[int]) -> None:
    with runtime.reading() as session:
        rows = select(TextContent.id, TextContent.body).where(TextContent.id.in_(text_ids))
        bodies = {row.id: row.body for row in session.execute(rows)}
    vectors: Sequence[Vector] = list(runtime.encoder.encode_texts(list(bodies.values())))
    found = dict(zip(bodies, vectors, strict=True))
    with runtime.transaction() as session:
        for text_id in sorted(lock_texts(session, list(found))):
            known = select(TextEmbedding.id).where(
                TextEmbedding.space_id == filling.to_id, TextEmbedding.text_id == text_id
            )
            if session.execute(known).first() is None:
                blob, crc32 = to_blob(found[text_id])
                session.add(
                    TextEmbedding(space_id=filling.to_id, text_id=text_id, vector=blob, crc32=crc32)
                )
        session.flush()
        changes.touch_beside(session, filling.to_id, filling.kind, found)
