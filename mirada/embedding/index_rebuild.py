"""The rule for when an index needs a new snapshot, and its rebuild under a lease."""

from __future__ import annotations

from mirada.ports import RebuildProgress, SnapshotRecord, VectorIndex, VectorSource

FIRST_SNAPSHOT_ROWS = 5_000
"""Fewer rows are read from the database in well under a second: no file is worth it."""
MAX_DELTA_ROWS = 20_000
"""SEARCH, snapshot + delta: scanning a delta of this size takes 3 to 4 ms."""
MAX_DEAD_SHARE = 0.1
"""SEARCH, snapshot + delta."""
LEAST_DEAD_ROWS = 500
"""In a small snapshot a tenth is a handful, and a rebuild after every few deletions a nuisance."""


def rebuild_is_due(source: VectorSource) -> str | None:
    """Return why a snapshot should be built now, None when it should not.

    Answered by the database's index on change numbers alone, cheaply enough to ask every minute.
    """
    newest = next(iter(source.snapshots()), None)
    if newest is None:
        count = source.count_changed_since(0)
        if count >= FIRST_SNAPSHOT_ROWS:
            # Those were the dead as well, which the database counts more cheaply.
            count = source.count_live()
        return f"{count} rows and no snapshot" if count >= FIRST_SNAPSHOT_ROWS else None
    delta = source.count_changed_since(newest.change_seq)
    if delta > MAX_DELTA_ROWS:
        return f"{delta} rows changed since the snapshot"
    # A changed row that is no newer than the snapshot's newest one replaces or removes one of it.
    dead = source.count_changed_since(newest.change_seq, through_id=newest.manifest["last_id"])
    if dead >= max(LEAST_DEAD_ROWS, MAX_DEAD_SHARE * newest.row_count):
        return f"{dead} of the snapshot's {newest.row_count} rows are dead"
    return None


def rebuild_index(
    index: VectorIndex, fencing_token: int, progress: RebuildProgress
) -> SnapshotRecord | None:
    """Build and publish a snapshot, and let this process serve from it.

    Args:
        index: of the space whose lease (`leases.rebuild_lease`) the caller holds.
        fencing_token: of that lease; a newer holder's token makes publishing fail.
        progress: called about once a second with rows done and rows in all; it renews the lease
            and raises LeaseLost when that fails.

    Returns:
        The snapshot, None when there was nothing to build.

    Raises:
        LeaseLost: another builder took over; nothing was published.
        StorageFull: no room; nothing was published.
    """
    record = index.rebuild(fencing_token, progress)
    index.refresh()
    return record
