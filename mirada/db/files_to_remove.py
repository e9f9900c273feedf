"""Files whose rows are gone: noted with the deletion of the rows, so that no crash leaves a file behind."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from mirada.db.models import Base, Dated, utc_now
from mirada.db.names import PREFIX
from mirada.db.session import count_changed

OTHERS_AFTER = timedelta(minutes=1)
"""So old, whoever deleted the rows has removed the file, or did not live to do it."""
TOGETHER = 500


class FileToRemove(Dated, Base):
    """The key of an original that no row names any more, until it is removed with its copies."""

    __tablename__ = f"{PREFIX}files_to_remove"

    storage_key: Mapped[str] = mapped_column(String(191), primary_key=True)


def note(session: Session, storage_key: str) -> None:
    """Note, in the transaction that deletes the row, that its file is to be removed."""
    session.add(FileToRemove(storage_key=storage_key))


def removed(session: Session, storage_key: str) -> None:
    """Note that a file is gone; harmless where nothing was noted."""
    count_changed(session, delete(FileToRemove).where(FileToRemove.storage_key == storage_key))


def left_behind(session: Session, after: str = "") -> list[str]:
    """Return TOGETHER keys at most, in their order, of files that whoever deleted the rows has left."""
    query = select(FileToRemove.storage_key).where(
        FileToRemove.storage_key > after, FileToRemove.created_at < utc_now() - OTHERS_AFTER
    )
    return list(session.execute(query.order_by(FileToRemove.storage_key).limit(TOGETHER)).scalars())
