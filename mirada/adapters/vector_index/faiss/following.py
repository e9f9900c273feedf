"""Follow one space's rows from a good snapshot, or from nothing, to the newest change."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from mirada.adapters.vector_index.access import Mask
from mirada.adapters.vector_index.faiss.delta import Delta
from mirada.adapters.vector_index.faiss.snapshot import OpenSnapshot, open_snapshot
from mirada.background import Loop
from mirada.kernel.errors import SnapshotInvalid, Unavailable
from mirada.ports import SnapshotRecord, VectorIndex, VectorRows, VectorSource

logger = logging.getLogger(__name__)

PAGE_ROWS = 2_000
"""Rows per page of changes: 4 MB of 512-d vectors."""
LOAD_ATTEMPTS = 5
"""Loads that a purge of tombstones may overtake before we say so; one is already rare."""
POLL_S = 0.25
"""SEARCH, the change counter: at most 0.5 s between polls keeps a commit within 1 s of searchable."""
OUTAGE_POLL_S = 1.0
WAIT_POLL_S = 0.02
"""Seconds between two looks of a caller who waits for a change."""


@dataclass
class Following:
    """State of the rows as the change numbers tell it. Used by one thread at a time.

    Attributes:
        base: the snapshot, None where there is none.
        db_epoch: the database's identity when this began.
        change_seq: everything up to it is known.
        complete_since: the delta knows of every deletion with a higher number. What began without
            a snapshot has only seen rows that were alive.
        visible: (rows of base,) bool.
        delta: what is not in the base.
        unchecked_since: where reading began, while it is not known whether a purge overtook it: the
            database may go away in the middle.
        is_missing_reported: the database knows that the base's files are gone.
    """

    base: OpenSnapshot | None
    db_epoch: str
    change_seq: int
    complete_since: int
    visible: Mask
    delta: Delta
    unchecked_since: int | None = None
    is_missing_reported: bool = False

    def apply(self, rows: VectorRows) -> None:
        """Let the delta win over the snapshot."""
        self.delta.apply(rows)
        if self.base is None or not rows.ids.size or not self.base.ids.size:
            return
        ids = self.base.ids
        places = np.minimum(np.searchsorted(ids, rows.ids), ids.size - 1)
        replaced = places[ids[places] == rows.ids]
        if replaced.size:
            # Views hold the old mask.
            self.visible = self.visible.copy()
            self.visible[replaced] = False

    @classmethod
    def start(cls, base: OpenSnapshot | None, db_epoch: str, dimension: int) -> Self:
        """Know what the snapshot knows, and nothing newer."""
        change_seq = base.record.change_seq if base else 0
        return cls(
            base=base,
            db_epoch=db_epoch,
            change_seq=change_seq,
            complete_since=change_seq,
            visible=np.ones(base.ids.size if base else 0, bool),
            delta=Delta(dimension),
        )

    def adopt(self, newer: OpenSnapshot) -> Self:
        """Return the same knowledge on a newer snapshot, without asking the database again.

        Its number lies between `complete_since` and `change_seq`.
        """
        adopted = self.start(newer, self.db_epoch, int(newer.record.manifest["dimension"]))
        adopted.apply(self.delta.newer_than(newer.record.change_seq))
        adopted.change_seq = self.change_seq
        return adopted

    def catch_up(self, source: VectorSource, current_seq: int) -> bool:
        """Apply everything newer; False when tombstones it needed may have been purged.

        Args:
            source: the rows.
            current_seq: the counter, read before this call: all its numbers are committed.
        """
        if self.unchecked_since is None:
            self.unchecked_since = self.change_seq
        while True:
            rows = source.changes_since(self.change_seq, PAGE_ROWS)
            self.apply(rows)
            if rows.ids.size:
                self.change_seq = int(rows.change_seqs[-1])
            if rows.ids.size < PAGE_ROWS:
                break
        self.change_seq = max(self.change_seq, current_seq)
        # Asked after reading: a purge in between has raised the floor by now.
        is_complete = source.tombstone_floor() <= self.unchecked_since
        self.unchecked_since = None
        return is_complete


def load(source: VectorSource, root: Path) -> Following:
    """Start from the newest good snapshot, or from every live row, and read what is newer.

    Raises:
        Unavailable: the database cannot be reached, or purged five times while we read.
    """
    for _ in range(LOAD_ATTEMPTS):
        db_epoch = source.db_epoch()
        base = _newest_good(source, root, db_epoch)
        following = Following.start(base, db_epoch, source.space.dimension)
        if base is None:
            following.change_seq = following.complete_since = source.current_seq()
            for page in source.live_rows_through(following.change_seq):
                following.apply(page)
        if following.catch_up(source, source.current_seq()):
            return following
    raise Unavailable("The search index cannot be loaded while it is being rebuilt; try again.")


def open_or_set_aside(
    source: VectorSource, root: Path, record: SnapshotRecord, db_epoch: str
) -> OpenSnapshot | None:
    """Open a snapshot; None when it failed a check, which the database then knows."""
    try:
        return open_snapshot(
            root / db_epoch / record.name, record, space=source.space, db_epoch=db_epoch
        )
    except SnapshotInvalid as error:
        logger.warning("A snapshot is set aside: %s", error)
        source.set_aside(record.name, str(error))
        return None
    except Unavailable as error:
        logger.warning("A snapshot is left to others: %s", error)
        return None


def _newest_good(source: VectorSource, root: Path, db_epoch: str) -> OpenSnapshot | None:
    floor = source.tombstone_floor()
    complete = (record for record in source.snapshots() if record.change_seq >= floor)
    opened = (open_or_set_aside(source, root, record, db_epoch) for record in complete)
    return next((snapshot for snapshot in opened if snapshot is not None), None)


def follower(index: VectorIndex, poll_s: float = POLL_S) -> Loop:
    """Return the loop that calls the index's `refresh()`."""
    return Loop(
        "index-follower",
        lambda: index.refresh(),
        poll_s,
        "The index cannot follow the database",
        retry_s=OUTAGE_POLL_S,
    )


def wait_until(
    reached: Callable[[], bool], catch_up: Callable[[], object], timeout_s: float
) -> None:
    """Call `catch_up` until `reached`.

    Raises:
        Unavailable: not within `timeout_s`: the number is not committed, or the database is slow.
    """
    deadline = time.monotonic() + timeout_s
    while not reached():
        catch_up()
        if reached():
            return
        if time.monotonic() + WAIT_POLL_S > deadline:
            raise Unavailable(
                "The search index has not caught up with that change yet; try again shortly.",
                retry_after_s=1,
            )
        time.sleep(WAIT_POLL_S)
