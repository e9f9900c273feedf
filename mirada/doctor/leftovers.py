"""What processes leave lying beside pictures: unfinished files, deletions not carried out, index files."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import select

from mirada import kept_folders
from mirada.db.chunks import rows_in
from mirada.db.files_to_remove import TOGETHER, FileToRemove
from mirada.db.models import IndexSnapshot, Installation, utc_now
from mirada.doctor import kinds
from mirada.doctor.copies import UNFINISHED
from mirada.doctor.visit import Finding, Visit, shown
from mirada.kept_folders import FoundFile, found_entry
from mirada.kernel.exports import KEPT_FOR_S
from mirada.pictures.derivatives import remove_picture
from mirada.runtime import Runtime

NOTED_AFTER = timedelta(minutes=10)
"""The sweeper removes what is noted after a minute; so late, none does."""
EPOCH = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SNAPSHOT = "snap-"
HANDED = ".rgb"


def unfinished_files(visit: Visit) -> Iterator[Finding]:
    """Yield findings on files that processes write and take away again within a moment."""
    settings = visit.runtime.settings
    for root, is_ours in (
        (settings.handed_dir, lambda name: name.endswith(HANDED)),
        (settings.data_dir, lambda name: UNFINISHED.fullmatch(name) is not None),
        (settings.faiss_index_dir, lambda name: name.endswith(".tmp")),
    ):
        found = [
            each
            for name in _names(root)
            if is_ours(name)
            and (each := kept_folders.found_file(root, name)) is not None
            and visit.is_old(each)
        ]
        yield from visit.set_aside(root, kinds.TEMPORARY, found, lambda _: set())


def old_exports(visit: Visit) -> Iterator[Finding]:
    """Yield findings on exports whose time is over, and that no worker removes."""
    runtime, root = visit.runtime, visit.runtime.settings.exports_dir
    oldest = time.time() - KEPT_FOR_S - NOTED_AFTER.total_seconds()

    def is_late(name: str) -> bool:
        try:
            return (root / name).stat().st_mtime < oldest
        except OSError:
            return False

    def removed(name: str) -> bool:
        runtime.exports.forget_old()
        return not (root / name).exists()

    for name in filter(is_late, _names(root)):
        yield visit.mended(kinds.OLD_EXPORT, shown(root, name), partial(removed, name))


def departures(visit: Visit) -> Iterator[Finding]:
    """Yield findings on files that were to be removed, and are still noted."""
    runtime, last = visit.runtime, ""
    late = FileToRemove.created_at < utc_now() - NOTED_AFTER
    query = select(FileToRemove.storage_key).where(late).order_by(FileToRemove.storage_key)
    while True:
        after = query.where(FileToRemove.storage_key > last).limit(TOGETHER)
        with runtime.reading() as session:
            keys = session.execute(after).scalars().all()
        for key in keys:
            yield visit.mended(kinds.NOT_REMOVED, f"images/{key}", partial(_remove, runtime, key))
        if len(keys) < TOGETHER:
            return
        last = keys[-1]


def _remove(runtime: Runtime, key: str) -> bool:
    remove_picture(runtime, key)
    with runtime.reading() as session:
        return session.get(FileToRemove, key) is None


def index_files(visit: Visit) -> Iterator[Finding]:
    """Yield findings on folders of indexes that no row names, and on rows without their folder."""
    runtime, root = visit.runtime, visit.runtime.settings.faiss_index_dir
    with runtime.reading() as session:
        epoch = session.execute(select(Installation.db_epoch)).scalar_one()
        rows = select(IndexSnapshot.name).where(
            IndexSnapshot.db_epoch == epoch, IndexSnapshot.set_aside_at.is_(None)
        )
        named = list(session.execute(rows).scalars())
    for name in _names(root):
        if EPOCH.fullmatch(name) and name != epoch:
            yield Finding(kinds.OTHER_INDEXES, shown(root, name))
    folders = [
        each
        for name in _names(root / epoch)
        if name.startswith(SNAPSHOT) and (each := found_entry(root, f"{epoch}/{name}")) is not None
    ]
    known = _named_snapshots(runtime, folders)
    orphans = [each for each in folders if each.name not in known and visit.is_old(each)]
    yield from visit.set_aside(
        root, kinds.ORPHAN_SNAPSHOT, orphans, lambda files: _named_snapshots(runtime, files)
    )
    for name in named:
        if not (root / epoch / name).is_dir():
            yield Finding(kinds.NO_SNAPSHOT, shown(root, f"{epoch}/{name}"))


def _named_snapshots(runtime: Runtime, folders: Sequence[FoundFile]) -> set[str]:
    by_name = {Path(each.name).name: each.name for each in folders}
    query = select(IndexSnapshot.name)
    with runtime.reading() as session:
        found = rows_in(session, query, IndexSnapshot.name, by_name)
        return {by_name[row.name] for row in found}


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, in their order; none where it is not there or cannot be read."""
    try:
        return sorted(each.name for each in folder.iterdir())
    except OSError:
        return []
