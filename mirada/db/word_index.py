"""The words of images: written with their texts, carried over after an upgrade, and searched.

Words are cut and weighed by `kernel.keywords` and stored as numbers, so every engine finds the same
images in the same order. No engine's own full text is used.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    false,
    insert,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.orm import Session, aliased

from mirada.db.chunks import rows_in
from mirada.db.deadlocks import in_transaction
from mirada.db.models import Image
from mirada.db.pack_models import Pack, PackImage
from mirada.db.session import Database
from mirada.db.word_models import WordWeight
from mirada.kernel.keywords import CUT_VERSION, number_of, word_weights

IMAGES_TOGETHER, CHARACTERS_TOGETHER = 500, 300_000
"""Images whose words are written in one transaction after an upgrade, and about how much text they may
have: half a second's work."""

log = logging.getLogger(__name__)
_WORDS = WordWeight.__table__
_IMAGES = Image.__table__
# Built once: these run for every picture. `updated_at` is set to itself, because it would otherwise
# take the clock, and the version stays: the words are no change of the image.
_INSERT = insert(_WORDS)  # type: ignore[arg-type]
_STAMP = (
    update(_IMAGES)  # type: ignore[arg-type]
    .where(_IMAGES.c.id.in_(bindparam("ids", expanding=True)))
    .values(words_version=CUT_VERSION, updated_at=_IMAGES.c.updated_at)
)
_TEXTS = select(Image.id, Image.prompt, Image.caption, Image.description, Image.tags)
_REMOVE = delete(_WORDS).where(  # type: ignore[arg-type]
    _WORDS.c.image_id.in_(bindparam("ids", expanding=True))
)


def write_new(session: Session, image: Image) -> None:
    """Write the words of an image that was just inserted with `words_version` CUT_VERSION."""
    texts = (image.prompt, image.caption, image.description, image.tags)
    _insert(session, [(image.id, *texts, None)])


def rewrite(session: Session, image_ids: Collection[int]) -> None:
    """Write the words of these images anew, from their texts as they are flushed.

    Call it in every transaction that changes a prompt, a caption, a description, tags, who may see an image,
    or its emojis in packs. The images' rows are locked.
    """
    _replace(session, list(rows_in(session, _TEXTS, Image.id, image_ids)))


def rewrite_marked(session: Session, image_ids: Collection[int]) -> None:
    """Write the words of those of these images anew that have emojis in packs; the rows are locked.

    Call it where who may see many images changes and no text of theirs does.
    """
    marked = select(PackImage.image_id, PackImage.emojis)
    found = rows_in(session, marked, PackImage.image_id, image_ids)
    ids = {image_id for image_id, emojis in found if emojis}
    if ids:
        rewrite(session, ids)


def write_missing(database: Database) -> int:
    """Write the words of images that have none of this version, and return how many images that were.

    Each batch is a transaction of its own, so what a stop interrupts goes on from there.
    """
    done = 0
    while batch := in_transaction(database, _write_batch):
        done += batch
        log.info("Words of %d images were written for search.", done)
    return done


def newest_with(
    session: Session, word: str, conditions: Sequence[ColumnElement[bool]], most: int
) -> dict[int, int]:
    """Return the newest images that have a word: its weight by image id, newest first.

    Args:
        session: for reading.
        word: from `kernel.keywords.words_of_query`.
        conditions: conditions on `images` that each meets, such as visibility.
        most: of them.
    """
    return dict(session.execute(_newest(word, conditions, most)).all())


def newest_with_all(
    session: Session, words: Sequence[str], conditions: Sequence[ColumnElement[bool]], most: int
) -> dict[str, dict[int, int]]:
    """Return the newest images that have every one of the words: their weights by word and image id."""
    tables = [(aliased(WordWeight), word) for word in words]
    first = tables[0][0]
    query = select(first.image_id, *(table.weight for table, _ in tables))
    query = query.join(Image, Image.id == first.image_id).where(*conditions)
    for table, word in tables:
        if table is not first:
            query = query.join(table, table.image_id == first.image_id)
        query = query.where(table.word == number_of(word))
    if session.get_bind().dialect.name == "postgresql":
        # It would compile a query of many joins for a second, and run it for a few milliseconds.
        session.execute(text("SET LOCAL jit = off"))
    rows: Any = session.execute(query.order_by(first.image_id.desc()).limit(most)).all()
    return {word: {row[0]: row[place] for row in rows} for place, word in enumerate(words, 1)}


def has_all(words: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition on `images` that one has every word, of at least one."""
    conditions = []
    for word in words:
        held = aliased(WordWeight)
        conditions.append(exists().where(held.image_id == Image.id, held.word == number_of(word)))
    return and_(*conditions)


def weights_in(session: Session, word: str, image_ids: Collection[int]) -> dict[int, int]:
    """Return the weight of a word in those of the images that have it, by image id."""
    query = select(WordWeight.image_id, WordWeight.weight)
    query = query.where(WordWeight.word == number_of(word))
    return dict(rows_in(session, query, WordWeight.image_id, image_ids))


def _newest(word: str, conditions: Sequence[ColumnElement[bool]], most: int) -> Select[int, int]:
    return (
        select(WordWeight.image_id, WordWeight.weight)
        .join(Image, Image.id == WordWeight.image_id)
        .where(WordWeight.word == number_of(word), *conditions)
        .order_by(WordWeight.image_id.desc())
        .limit(most)
    )


def _replace(session: Session, texts: Collection[Any]) -> None:
    ids = [image_id for image_id, *_ in texts]
    session.execute(_REMOVE, {"ids": ids})
    emojis = _emojis_of(session, ids)
    _insert(session, [(*each, emojis.get(each[0])) for each in texts])
    session.execute(_STAMP, {"ids": ids})


def _insert(session: Session, texts: Collection[Any]) -> None:
    """Insert the words of (image id, prompt, caption, description, tags, emojis)."""
    rows = [
        {"word": number_of(word), "image_id": image_id, "weight": weight}
        for image_id, prompt, caption, description, tags, emojis in texts
        # A model's caption is its description, and is no more for being kept twice.
        for word, weight in word_weights(
            prompt, caption, None if description == caption else description, *(tags or ()), emojis
        ).items()
    ]
    # In the order of the primary key, so that two who write meet its pages in one order.
    rows.sort(key=lambda row: row["word"])
    if rows:
        session.execute(_INSERT, rows)


def _emojis_of(session: Session, image_ids: Collection[int]) -> dict[int, str]:
    """Return the emojis of images in packs, by image id.

    Only those of their owners' packs count, and of private packs only for private images: whoever sees the
    image may be told of the pack.
    """
    is_told = or_(Pack.is_public == true(), Image.is_public == false())
    query = (
        select(PackImage.image_id, PackImage.emojis)
        .join(Pack, Pack.id == PackImage.pack_id)
        .join(Image, Image.id == PackImage.image_id)
        .where(Pack.owner_id == Image.owner_id, is_told)
    )
    found: dict[int, set[str]] = {}
    for image_id, emojis in rows_in(session, query, PackImage.image_id, image_ids):
        found.setdefault(image_id, set()).update(emojis)
    return {image_id: " ".join(sorted(emojis)) for image_id, emojis in found.items() if emojis}


def _write_batch(session: Session) -> int:
    stale = _TEXTS.where(Image.words_version < CUT_VERSION)
    stale = stale.order_by(Image.words_version, Image.id).limit(IMAGES_TOGETHER)
    texts = session.execute(stale.with_for_update()).all()
    left = CHARACTERS_TOGETHER
    batch: list[tuple[Any, ...]] = []
    for image_id, *written, tags in texts:
        if batch and left < 0:
            break
        left -= sum(len(text or "") for text in (*written, *(tags or ())))
        batch.append((image_id, *written, tags))
    if batch:
        _replace(session, batch)
    return len(batch)
