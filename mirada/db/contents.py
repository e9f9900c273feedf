"""Find a content by its bytes' hash, or insert it, or let go of it; always under its row's lock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, bindparam, delete, false, select, true, update
from sqlalchemy.orm import Session, defer

from mirada.db import files_to_remove
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.inserts import inserting_unless_there
from mirada.db.memory_models import Caption
from mirada.db.models import Content, Embedding, Image
from mirada.db.verdicts import forget_unseen
from mirada.kernel.errors import Unavailable

ATTEMPTS = 3
"""A row can only vanish between insert and lock when its last image is deleted that very moment."""


# Built once: putting a statement together takes SQLAlchemy longer than SQLite takes to run it, and these
# run for every picture.
_LOCK = (
    select(Content)
    .where(Content.id == bindparam("content"))
    # Read with every lock, and nobody who locks asks when it came in.
    .options(defer(Content.created_at))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_SUMS: BindParameter[list[str]] = bindparam("sums", expanding=True)
_OF_BYTES = select(Content.sha256, Content.id).where(Content.sha256.in_(_SUMS))
_INSERTED = select(Content).where(Content.sha256.in_(_SUMS)).options(defer(Content.created_at))


def lock_content(session: Session, content_id: int) -> Content | None:
    """Return the content with its row locked until the transaction ends, None when it is gone."""
    return session.execute(_LOCK, {"content": content_id}).scalar_one_or_none()


def lock_or_insert_content(session: Session, sha256: str, **values: Any) -> Content:
    """Return the content of these bytes, locked: the one that is there, or a new one.

    Whether it is new is told by its `storage_key`, which is unique per row unless it is empty.

    Args:
        session: a transaction.
        sha256: of the picture's bytes.
        **values: the other columns of a new row; ignored when there is one already.

    Raises:
        Unavailable: the row appeared and vanished again several times.
    """
    return lock_or_insert_contents(session, {sha256: values})[sha256]


def lock_or_insert_contents(
    session: Session, wanted: Mapping[str, Mapping[str, Any]]
) -> dict[str, Content]:
    """Return the contents of these bytes as `lock_or_insert_content` does, with few statements.

    Those that are there are locked first, and then the new ones come in, both in the order of their
    hashes. So two callers never wait for each other in a circle.

    Args:
        session: a transaction.
        wanted: the other columns of a new row by hash, the same ones for all.

    Raises:
        Unavailable: a row appeared and vanished again several times.
    """
    found: dict[str, Content] = {}
    left = sorted(wanted)
    for _ in range(ATTEMPTS):
        # Found without a lock, then locked by its id: InnoDB would lock the entry of the hash's
        # index before the row, which is the wrong way round for whoever deletes the row, and kill
        # one of the two for the deadlock.
        known = {row.sha256: row.id for row in session.execute(_OF_BYTES, {"sums": left})}
        for sha256 in sorted(known):
            content = lock_content(session, known[sha256])
            if content is not None:
                found[sha256] = content
        new = [sha256 for sha256 in left if sha256 not in known]
        if new:
            found |= _inserted(session, {sha256: wanted[sha256] for sha256 in new})
        left = [sha256 for sha256 in left if sha256 not in found]
        if not left:
            return found
    raise Unavailable("This picture is being added and deleted at once; try again shortly.")


def _inserted(session: Session, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, Content]:
    """Insert rows and return those that are ours, which nobody else can have locked.

    The others came in meanwhile, or are told from one by no key of their own: they are to be locked.
    """
    rows = [{"sha256": sha256, **values} for sha256, values in wanted.items()]
    session.execute(inserting_unless_there(session, Content), rows)
    there = session.execute(_INSERTED, {"sums": list(wanted)}).scalars()
    return {
        content.sha256: content
        for content in there
        if content.storage_key and content.storage_key == wanted[content.sha256]["storage_key"]
    }


def release_content(session: Session, content: Content) -> str | None:
    """Delete the bytes, or the content with its vectors, once nobody has a right to them.

    An image needs both. Who had the picture classified by sending its bytes needs the vector alone.
    Who had a stored image classified goes with the last image, and verdicts go with their giver's
    right to see the picture. The caller holds the content's lock and notes the change with
    `changes.touch`.

    Returns:
        The storage key to remove after the commit; None when no file is to be removed. It is noted
        in `files_to_remove`, for whoever does not live to do it.
    """
    forget_unseen(session, content.id)
    if session.execute(select(Image.id).where(Image.content_id == content.id).limit(1)).first():
        return None
    # What a model wrote of a picture goes with it.
    session.execute(delete(Caption).where(Caption.content_id == content.id))
    storage_key = content.storage_key or None
    if storage_key is not None:
        files_to_remove.note(session, storage_key)
    of_content = ClassifiedPicture.content_id == content.id
    session.execute(
        delete(ClassifiedPicture).where(of_content, ClassifiedPicture.sent_bytes == false())
    )
    remembered = select(ClassifiedPicture.id).where(
        of_content, ClassifiedPicture.sent_bytes == true()
    )
    if session.execute(remembered.limit(1)).first():
        content.storage_key = ""
        session.flush()
        return storage_key
    # A tombstone stays until every index has seen it.
    session.execute(
        update(Embedding)
        .where(Embedding.content_id == content.id)
        .values(is_deleted=True, vector=b"", crc32=0)
        .execution_options(synchronize_session=False)
    )
    session.delete(content)
    session.flush()
    return storage_key
