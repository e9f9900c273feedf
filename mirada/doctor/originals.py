"""Originals and the rows that name them: files without rows, rows without files, and damaged files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Row, or_, select, update
from sqlalchemy.orm import Session

from mirada import kept_folders
from mirada.db import changes
from mirada.db.chunks import rows_in
from mirada.db.contents import lock_content
from mirada.db.deadlocks import in_transaction
from mirada.db.files_to_remove import FileToRemove
from mirada.db.models import Content, Image
from mirada.db.session import count_changed
from mirada.db.spaces import pinned_space_id
from mirada.doctor import kinds
from mirada.doctor.visit import TOGETHER, Finding, Unreadable, Visit, batches, shown
from mirada.embedding import embed
from mirada.embedding.job import queue_embedding
from mirada.kept_folders import FoundFile
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.kernel.images import ImageStatus
from mirada.runtime import Runtime

STAGING = ".staging"
"""Where uploads lie until they are complete; see `adapters.image_store.local`."""
OF_KEY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/([0-9a-f]{64})-[0-9a-f]{8}\.[a-z]{2,5}")
"""A storage key as `pictures.register.storage_key` makes it, with the hash of the bytes."""
LOST = "The picture's file is lost. Whoever runs this server may restore it from a backup."
"""What the owner is told; also how a repaired picture is known again."""
READ_BYTES = 1024 * 1024

Stored = Row[int, str, int, str]


def named_keys(session: Session, keys: Collection[str]) -> set[str]:
    """Return which of these storage keys a row names: a picture's, or a note that it is to be removed."""
    by_sum = {found[1]: key for key in keys if (found := OF_KEY.fullmatch(key)) is not None}
    # The hash has an index, and the key has none.
    query = select(Content.storage_key)
    named = {row.storage_key for row in rows_in(session, query, Content.sha256, by_sum)}
    others = [key for key in keys if OF_KEY.fullmatch(key) is None]
    named |= {row.storage_key for row in rows_in(session, query, Content.storage_key, others)}
    noted = select(FileToRemove.storage_key)
    named |= {row.storage_key for row in rows_in(session, noted, FileToRemove.storage_key, keys)}
    return named & set(keys)


def files_without_rows(visit: Visit) -> Iterator[Finding]:
    """Yield findings on files in the folder of originals that no row names."""
    root = visit.runtime.settings.image_dir
    unreadable = Unreadable(root)
    for page in batches(kept_folders.files_of(root, unreadable=unreadable)):
        named = _named(visit.runtime, page)
        nameless = [each for each in page if each.name not in named]
        for each in nameless:
            if OF_KEY.fullmatch(each.name) is None:
                yield Finding(kinds.FOREIGN, shown(root, each.name))
        orphans = [each for each in nameless if OF_KEY.fullmatch(each.name) and visit.is_old(each)]
        yield from visit.set_aside(
            root, kinds.ORPHAN, orphans, lambda files: _named(visit.runtime, files)
        )
    yield from unreadable.findings


def _named(runtime: Runtime, files: Sequence[FoundFile]) -> set[str]:
    with runtime.reading() as session:
        return named_keys(session, [each.name for each in files])


def broken_off_uploads(visit: Visit) -> Iterator[Finding]:
    """Yield findings on parts of uploads that did not end."""
    root = visit.runtime.settings.image_dir
    unreadable = Unreadable(root)
    parts = kept_folders.files_of(root, STAGING, unreadable)
    for page in batches(each for each in parts if visit.is_old(each)):
        yield from visit.set_aside(root, kinds.BROKEN_OFF, page, lambda _: set())
    yield from unreadable.findings


def rows_without_files(visit: Visit) -> Iterator[Finding]:
    """Yield findings on pictures whose file is not there, damaged, or there again.

    Raises:
        Unavailable: the whole store is not there.
    """
    runtime, last = visit.runtime, 0
    query = select(Content.id, Content.storage_key, Content.byte_size, Content.sha256)
    query = query.where(Content.storage_key != "").order_by(Content.id).limit(TOGETHER)
    while True:
        with runtime.reading() as session:
            page = session.execute(query.where(Content.id > last)).all()
            failed = marked_lost(session, [row.id for row in page])
        for row in page:
            yield from _of_row(visit, row, is_marked=row.id in failed)
        if len(page) < TOGETHER:
            return
        last = page[-1].id


def marked_lost(session: Session, content_ids: Collection[int]) -> set[int]:
    """Return which of these contents have an image that is marked as lost."""
    query = select(Image.content_id).where(
        Image.status == ImageStatus.FAILED, Image.failure == LOST
    )
    return {row.content_id for row in rows_in(session, query, Image.content_id, content_ids)}


def _of_row(visit: Visit, row: Stored, *, is_marked: bool) -> Iterator[Finding]:
    runtime = visit.runtime
    subject = f"content {row.id}"
    try:
        path = runtime.image_store.path(row.storage_key)
        byte_size = path.stat().st_size
    except (NotFound, FileNotFoundError):
        yield from _missing(visit, row, subject)
        return
    except (InvalidInput, OSError) as error:
        yield Finding(kinds.UNREADABLE, subject, f"{row.storage_key}: {error}")
        return
    if byte_size != row.byte_size:
        told = f"{row.storage_key} has {byte_size:,} bytes instead of {row.byte_size:,}."
        yield Finding(kinds.OTHER_SIZE, subject, told)
        return
    if visit.is_deep:
        damage = _damage(path, row, subject)
        if damage is not None:
            yield damage
            return
    if is_marked:
        yield visit.mended(
            kinds.FOUND_AGAIN, subject, lambda: _show_again(runtime, row.id), row.storage_key
        )


def _missing(visit: Visit, row: Stored, subject: str) -> Iterator[Finding]:
    runtime = visit.runtime
    with runtime.reading() as session:
        # Deleted since the page was read.
        if not embed.is_stored(session, row.id, row.storage_key):
            return
    found = visit.mended(
        kinds.MISSING,
        subject,
        lambda: _mark_lost(runtime, row.id, row.storage_key),
        row.storage_key,
    )
    # The owner is told; the operator still has to restore the file.
    yield Finding(found.kind, found.subject, found.detail)


def _mark_lost(runtime: Runtime, content_id: int, key: str) -> bool:
    """Mark a picture's images as failed, unless its file is there or it was deleted meanwhile."""

    def mark(session: Session) -> None:
        content = lock_content(session, content_id)
        if content is None or content.storage_key != key:
            return
        if kept_folders.found_file(runtime.settings.image_dir, key) is not None:
            return
        images = Image.__table__
        # The version is the owner's, as in `embed`.
        marked = count_changed(
            session,
            update(images)  # type: ignore[arg-type]
            .where(
                images.c.content_id == content_id,
                or_(images.c.failure.is_(None), images.c.failure != LOST),
            )
            .values(status=ImageStatus.FAILED, failure=LOST),
        )
        if marked:
            changes.touch(session, [content_id])

    in_transaction(runtime.database, mark)
    return True


def _show_again(runtime: Runtime, content_id: int) -> bool:
    """Let a job make a picture's images READY."""

    def wait(session: Session) -> tuple[int, str] | None:
        if lock_content(session, content_id) is None:
            return None
        embed.await_images(session, content_id, only_failed=True)
        job = queue_embedding(session, content_id, pinned_space_id(session))
        return job.id, job.kind

    queued = in_transaction(runtime.database, wait)
    if queued is not None:
        runtime.doorbell.ring(*queued)
    return True


def _damage(path: Path, row: Stored, subject: str) -> Finding | None:
    """Return a finding on a file whose bytes are not those that were received."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(READ_BYTES):
                digest.update(part)
    except FileNotFoundError:
        # Deleted meanwhile, or lost: the next visit says which.
        return None
    except OSError as error:
        return Finding(kinds.UNREADABLE, subject, f"{row.storage_key}: {error.strerror}.")
    if digest.hexdigest() == row.sha256:
        return None
    return Finding(kinds.OTHER_BYTES, subject, row.storage_key)
