"""Copies of originals: those of pictures that are gone, those that are missing, and what a crash left."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from mirada import kept_folders
from mirada.db.deadlocks import in_transaction
from mirada.db.models import Content
from mirada.db.session import count_changed
from mirada.doctor import kinds
from mirada.doctor.originals import OF_KEY, named_keys
from mirada.doctor.visit import TOGETHER, Finding, Unreadable, Visit, batches, shown
from mirada.kept_folders import FoundFile
from mirada.kernel.copies import (
    ALL_MADE,
    FULL_SIDE_PX,
    MOVING,
    NONE,
    STILL,
    THUMBNAIL_SIDES_PX,
    all_tails,
    sides_for,
    tail_of,
)
from mirada.runtime import Runtime

_TAILS = "|".join(re.escape(tail) for tail in all_tails())
OF_COPY = re.compile(rf"({OF_KEY.pattern})\.({_TAILS})")
UNFINISHED = re.compile(r"(?:.*/)?tmp[a-z0-9_]{8}")
"""What `tempfile` calls a file; here one that was to become a copy."""
IN_USE = {*(tail_of(side) for side in (*THUMBNAIL_SIDES_PX, FULL_SIDE_PX)), MOVING, STILL, NONE}

Made = Row[int, str, int, int, bool]


def copies_without_pictures(visit: Visit) -> Iterator[Finding]:
    """Yield findings on files in the folder of copies that nothing needs."""
    root = visit.runtime.settings.copies_dir
    unreadable = Unreadable(root)

    def needed(files: Sequence[FoundFile]) -> set[str]:
        return _needed(visit.runtime, files)

    for page in batches(kept_folders.files_of(root, unreadable=unreadable)):
        copies = [each for each in page if OF_COPY.fullmatch(each.name)]
        there = needed(copies)
        old = [each for each in copies if visit.is_old(each)]
        orphans = [each for each in old if each.name not in there]
        yield from visit.set_aside(root, kinds.ORPHAN_COPY, orphans, needed)
        outdated = [each for each in old if each.name in there and _tail(each) not in IN_USE]
        yield from visit.set_aside(root, kinds.OLD_COPY, outdated, lambda _: set())
        others = [each for each in page if not OF_COPY.fullmatch(each.name)]
        unfinished = [each for each in others if UNFINISHED.fullmatch(each.name)]
        left = [each for each in unfinished if visit.is_old(each)]
        yield from visit.set_aside(root, kinds.TEMPORARY, left, lambda _: set())
        for each in others:
            if each not in unfinished:
                yield Finding(kinds.FOREIGN, shown(root, each.name))
    yield from unreadable.findings


def _tail(copy: FoundFile) -> str:
    found = OF_COPY.fullmatch(copy.name)
    assert found is not None
    return found.group(3)


def _needed(runtime: Runtime, files: Sequence[FoundFile]) -> set[str]:
    """Return the names of those copies whose original a row names."""
    keys = {each.name: each.name.removesuffix(f".{_tail(each)}") for each in files}
    with runtime.reading() as session:
        named = named_keys(session, set(keys.values()))
    return {name for name, key in keys.items() if key in named}


def pictures_without_copies(visit: Visit) -> Iterator[Finding]:
    """Yield findings on pictures whose copies were all made, and are not all there."""
    runtime, last = visit.runtime, 0
    query = (
        select(Content.id, Content.storage_key, Content.width, Content.height, Content.is_animated)
        .where(Content.storage_key != "", Content.thumbnails_edition >= ALL_MADE)
        .order_by(Content.id)
        .limit(TOGETHER)
    )
    while True:
        with runtime.reading() as session:
            page = session.execute(query.where(Content.id > last)).all()
        lacking = {row.id: tail for row in page if (tail := _lacking(runtime, row)) is not None}
        if visit.repairs and lacking:
            _make_again(runtime, lacking)
        for content_id, tail in lacking.items():
            told = f"Its {tail} is missing."
            yield Finding(kinds.MISSING_COPIES, f"content {content_id}", told, visit.repairs)
        if len(page) < TOGETHER:
            return
        last = page[-1].id


def _lacking(runtime: Runtime, row: Made) -> str | None:
    """Return the tail of a copy that a picture lacks; None where it lacks none, or cannot have any."""
    key, copies = row.storage_key, runtime.copies
    if kept_folders.found_file(runtime.settings.image_dir, key) is None or copies.has(key, NONE):
        return None
    for side in sides_for(row.width, row.height):
        if not copies.has(key, tail_of(side)):
            return tail_of(side)
    if row.is_animated and not copies.has(key, MOVING) and not copies.has(key, STILL):
        return MOVING
    return None


def _make_again(runtime: Runtime, content_ids: Collection[int]) -> None:
    """Say that these pictures lack copies, so that the sweeper has them made."""

    def say(session: Session) -> None:
        of_these = update(Content).where(Content.id.in_(list(content_ids)))
        count_changed(session, of_these.values(thumbnails_edition=0))

    in_transaction(runtime.database, say)
