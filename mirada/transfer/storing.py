"""Store a batch of an import in one transaction: images under their old ids, with all that came along."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.classifier_models import Feedback
from mirada.db.memory_models import Comment, Like
from mirada.db.models import Content, Image, utc_now
from mirada.db.texts import lock_texts_of
from mirada.embedding import embed
from mirada.kernel.embeddings import EmbeddingSpace, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.prompts import normalised_prompt
from mirada.kernel.themes import theme_key
from mirada.pictures.comments import comment_text
from mirada.pictures.images import add_to_counts
from mirada.pictures.new_image import NewImage, Processing, Texts
from mirada.pictures.register import (
    Begun,
    NewPicture,
    Registered,
    begin_image,
    end_image,
    locked_contents,
)
from mirada.transfer import ours
from mirada.transfer.pictures import name_of
from mirada.transfer.records import Mark, Record


@dataclass(frozen=True, slots=True)
class Item:
    """One record with its received picture.

    Attributes:
        record: what the source says.
        picture: its bytes, in the store.
        vector: (d,) unit vector in the space of the batch; None: the picture is embedded by a job.
    """

    record: Record
    picture: NewPicture
    vector: Vector | None = None


@dataclass(slots=True)
class Stored:
    """The outcome of one record.

    Attributes:
        registered: None where an earlier try had stored it.
        is_new_content: whether the store's file of this picture is in use.
        marks: how many likes, comments and verdicts came along.
        lost_marks: how many did not: their people are not here, or their texts cannot be kept.
    """

    registered: Registered | None
    is_new_content: bool
    marks: int = 0
    lost_marks: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What all records of a batch have in common.

    Attributes:
        source: of `images.external_source`.
        owner_id: of whoever gets what names no owner.
        is_public: for what does not say.
        processing: as of every new image.
        space: of the vectors that come along; None where none do.
        people: our ids by what the source calls people.
        keeps_names: whether old clients ask for the files by name.
    """

    source: str
    owner_id: int
    is_public: bool
    processing: Processing
    space: tuple[int, EmbeddingSpace] | None
    people: Mapping[str, int]
    keeps_names: bool = True


def known_ids(session: Session, source: str, ids: Collection[str]) -> set[str]:
    """Return which of these external ids a source has brought already."""
    query = select(Image.external_id).where(Image.external_source == source)
    return {row.external_id for row in rows_in(session, query, Image.external_id, ids)}


def store(session: Session, items: Sequence[Item], batch: Batch) -> list[Stored]:
    """Write a batch, in the order of its items, and return what became of each; safe to run again."""
    contents = locked_contents(session, (item.picture for item in reversed(items)))
    there = set()
    for source in {ours.source_of(item.record, batch.source) for item in items}:
        of_source = [i for i in items if ours.source_of(i.record, batch.source) == source]
        known = known_ids(session, source, [ours.id_of(i.record) for i in of_source])
        there |= {(source, each) for each in known}
    new = [i for i in items if _key(i, batch) not in there]
    lock_texts_of(session, {text for item in new for text in _texts(item)})
    begun = {id(item): _begin(session, item, batch, contents[item.picture.sha256]) for item in new}
    session.flush()
    return [
        _end(session, item, batch, begun[id(item)])
        if id(item) in begun
        else Stored(None, contents[item.picture.sha256].storage_key == item.picture.storage_key)
        for item in items
    ]


def _key(item: Item, batch: Batch) -> tuple[str, str]:
    return ours.source_of(item.record, batch.source), ours.id_of(item.record)


def _texts(item: Item) -> list[str]:
    record, told = item.record, item.picture.facts.file_metadata
    prompt = record.prompt or (told.prompt if told is not None else None)
    written = (prompt, record.caption, record.more.get("description"))
    return [normalised_prompt(text) for text in written if text]


def _begin(session: Session, item: Item, batch: Batch, content: Content) -> Begun:
    record = item.record
    owner_id = batch.owner_id if record.owner is None else batch.people[record.owner]
    is_public = batch.is_public if record.is_public is None else record.is_public
    image = NewImage(
        owner_id,
        Texts(record.filename or name_of(record.picture), record.prompt, record.caption),
        is_public=is_public,
        auto_caption=record.more.get("auto_caption", True) is True,
        asset_id=record.asset_id,
        tags=record.tags,
    )
    begun = begin_image(session, item.picture, image, batch.processing, content=content)
    row = begun.image
    row.external_source, row.external_id = _key(item, batch)
    if batch.keeps_names:
        row.external_name = name_of(record.picture)
    if record.created_at is not None:
        row.created_at = row.updated_at = record.created_at
    ours.complete_row(session, row, record)
    return begun


def _end(session: Session, item: Item, batch: Batch, begun: Begun) -> Stored:
    registered = end_image(session, begun, batch.processing)
    row = registered.image
    if item.vector is not None and batch.space is not None:
        embed.store_embedding(session, row.content_id, *batch.space, item.vector)
    ours.store_texts(session, row, item.record)
    stored = Stored(registered, registered.is_new_content)
    _like(session, row, item.record.likes, batch, stored)
    _comment(session, row, item.record.comments, batch, stored)
    _judge(session, row, item.record.verdicts, batch, stored)
    return stored


def _like(
    session: Session, row: Image, likes: Sequence[Mark], batch: Batch, stored: Stored
) -> None:
    given = {batch.people[mark.by]: mark.at for mark in likes if mark.by in batch.people}
    for user_id, at in given.items():
        session.execute(
            insert(Like).values(image_id=row.id, user_id=user_id, created_at=at or utc_now())
        )
    _count(stored, len(given), len(likes))
    if given:
        add_to_counts(session, row.id, likes=len(given))


def _comment(
    session: Session, row: Image, comments: Sequence[Mark], batch: Batch, stored: Stored
) -> None:
    kept = 0
    for mark in comments:
        if mark.by not in batch.people:
            continue
        try:
            body = comment_text(mark.text)
        except InvalidInput:
            continue
        at = mark.at or utc_now()
        values = {"image_id": row.id, "user_id": batch.people[mark.by], "body": body}
        session.execute(insert(Comment).values(**values, created_at=at))
        kept += 1
    _count(stored, kept, len(comments))
    if kept:
        add_to_counts(session, row.id, comments=kept)


def _judge(
    session: Session, row: Image, verdicts: Sequence[Mark], batch: Batch, stored: Stored
) -> None:
    given: dict[tuple[int, str], Mark] = {}
    for mark in verdicts:
        try:
            theme = theme_key(mark.text)
        except InvalidInput:
            continue
        if mark.by in batch.people:
            given[batch.people[mark.by], theme] = mark
    for (user_id, theme), mark in given.items():
        keep_verdict(session, user_id, row.content_id, theme, mark)
    _count(stored, len(given), len(verdicts))


def keep_verdict(session: Session, user_id: int, content_id: int, theme: str, mark: Mark) -> None:
    """Write a person's verdict on a picture, over an earlier one; the content is locked."""
    now = mark.at or utc_now()
    mine = (
        Feedback.user_id == user_id,
        Feedback.content_id == content_id,
        Feedback.theme == theme,
    )
    if session.execute(select(Feedback.id).where(*mine)).first() is not None:
        session.execute(update(Feedback).where(*mine).values(accepted=mark.accepted))
        return
    session.execute(
        insert(Feedback).values(
            user_id=user_id,
            content_id=content_id,
            theme=theme,
            accepted=mark.accepted,
            asset_id=mark.asset_id,
            created_at=now,
            updated_at=now,
        )
    )


def _count(stored: Stored, kept: int, given: int) -> None:
    stored.marks += kept
    stored.lost_marks += given - kept
