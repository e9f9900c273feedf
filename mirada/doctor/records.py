"""Rows that nobody needs: pictures and texts without images, and rows whose owner is gone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Row,
    Table,
    and_,
    delete,
    exists,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import Session

from mirada import private_files
from mirada.db import changes, files_to_remove
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.contents import lock_content, release_content
from mirada.db.deadlocks import in_transaction
from mirada.db.memory_models import TextContent
from mirada.db.models import Base, Content, Image
from mirada.db.session import count_changed
from mirada.db.texts import release_text
from mirada.doctor import kinds
from mirada.doctor.visit import Finding, Visit, ids_of
from mirada.kept_folders import QUARANTINE, found_file, set_aside
from mirada.pictures.derivatives import drop_derivatives

ROWS_FILE = "rows.jsonl"
ROWS_TOGETHER = 100
_HAS_IMAGE = exists().where(Image.content_id == Content.id)
_WAS_SENT = exists().where(
    ClassifiedPicture.content_id == Content.id, ClassifiedPicture.sent_bytes == true()
)
_IS_NOBODYS = and_(~_HAS_IMAGE, or_(Content.storage_key != "", ~_WAS_SENT))
_NAMED_BY_IMAGE = or_(
    exists().where(Image.prompt_text_id == TextContent.id),
    exists().where(Image.caption_text_id == TextContent.id),
    exists().where(Image.description_text_id == TextContent.id),
)


def nobodys_pictures(visit: Visit) -> Iterator[Finding]:
    """Yield findings on contents without an image that nobody had classified either."""
    query = select(Content.id).where(_IS_NOBODYS, Content.created_at <= _old_before(visit))
    for content_id in ids_of(visit.runtime, query, Content.id):
        yield visit.mended(
            kinds.NOBODYS, f"content {content_id}", partial(_let_go, visit, content_id)
        )


def _old_before(visit: Visit) -> datetime:
    return datetime.fromtimestamp(visit.old_before_s, UTC)


def _let_go(visit: Visit, content_id: int) -> bool:
    """Take a content out as its last image would have, and set its file aside."""
    runtime = visit.runtime

    def released(session: Session) -> str | None:
        content = lock_content(session, content_id)
        still = select(Content.id).where(Content.id == content_id, _IS_NOBODYS)
        if content is None or session.execute(still).first() is None:
            return None
        changes.touch(session, [content_id])
        key = release_content(session, content)
        if key is not None:
            # The file is kept for a while, so the sweeper must not remove it.
            session.flush()
            files_to_remove.removed(session, key)
        return key

    key = in_transaction(runtime.database, released)
    if key is not None:
        drop_derivatives(runtime, key)
        root = runtime.settings.image_dir
        found = found_file(root, key)
        if found is not None:
            set_aside(root, found, visit.today)
    return True


def nobodys_texts(visit: Visit) -> Iterator[Finding]:
    """Yield findings on texts that no image names."""
    runtime = visit.runtime
    query = select(TextContent.id).where(
        ~_NAMED_BY_IMAGE, TextContent.created_at <= _old_before(visit)
    )

    def let_go(text_id: int) -> bool:
        def released(session: Session) -> None:
            changes.touch_texts(session, [text_id])
            release_text(session, text_id)

        in_transaction(runtime.database, released)
        return True

    for text_id in ids_of(runtime, query, TextContent.id):
        yield visit.mended(kinds.NOBODYS_TEXT, f"text {text_id}", partial(let_go, text_id))


def dangling_rows(visit: Visit) -> Iterator[Finding]:
    """Yield findings on rows whose foreign key names no row.

    Databases that check foreign keys have none; a dump that was loaded with the check switched off, or
    tables of an engine without them, may have some.
    """
    for table in Base.metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda each: each.parent.name):
            yield from _dangling(visit, table, key)


def _dangling(visit: Visit, table: Table, key: ForeignKey) -> Iterator[Finding]:
    owner = key.column.table.alias("owner_of_row")
    condition = and_(
        key.parent.is_not(None), ~exists().where(owner.c[key.column.name] == key.parent)
    )
    identity = list(table.primary_key.columns)
    last: Row[Any] | None = None
    is_removable = key.ondelete == "CASCADE"
    while True:
        query = select(table).where(condition).order_by(*identity).limit(ROWS_TOGETHER)
        if last is not None:
            query = query.where(tuple_(*identity) > _identity_of(last, identity))
        with visit.runtime.reading() as session:
            page = session.execute(query).all()
        if page and is_removable and visit.repairs:
            _take_out(visit, table, condition, page)
        for row in page:
            named = ", ".join(f"{column.name} {row._mapping[column]}" for column in identity)
            yield Finding(
                kinds.DANGLING if is_removable else kinds.BROKEN_REFERENCE,
                f"{table.name}: {named}",
                f"Its {key.parent.name} is {row._mapping[key.parent]}.",
                is_removable and visit.repairs,
            )
        if len(page) < ROWS_TOGETHER:
            return
        last = page[-1]


def _identity_of(row: Row[Any], identity: Sequence[Any]) -> Any:
    return tuple_(*(row._mapping[column] for column in identity))


def _take_out(
    visit: Visit, table: Table, condition: ColumnElement[bool], rows: Sequence[Row[Any]]
) -> None:
    """Write rows down in the quarantine, then delete those that still belong to nothing."""
    folder = visit.runtime.settings.data_dir / QUARANTINE / visit.today.isoformat()
    private_files.make_folder(folder)
    with private_files.open_file(folder / ROWS_FILE, "ab") as file:
        for row in rows:
            written = {"table": table.name, "row": dict(row._mapping)}
            file.write(json.dumps(written, default=_as_text).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    these = or_(
        *(
            and_(*(column == row._mapping[column] for column in table.primary_key.columns))
            for row in rows
        )
    )
    doomed = delete(table).where(these, condition)
    in_transaction(visit.runtime.database, lambda session: count_changed(session, doomed))


def _as_text(value: Any) -> str:
    """Return what JSON has no form for: bytes in hexadecimal digits, times as ISO 8601."""
    return value.hex() if isinstance(value, bytes) else str(value)
