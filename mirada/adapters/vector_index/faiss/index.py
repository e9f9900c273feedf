"""The FAISS index of one process: a checked snapshot, what changed since, and a swap between views."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mirada.adapters.vector_index.faiss import costs
from mirada.adapters.vector_index.faiss.drafts import disk_errors
from mirada.adapters.vector_index.faiss.following import (
    Following,
    load,
    open_or_set_aside,
    wait_until,
)
from mirada.adapters.vector_index.faiss.planning import EXACT_ROWS, Costs
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings, Rebuild
from mirada.adapters.vector_index.faiss.selection import PermittedByScope
from mirada.adapters.vector_index.faiss.snapshot import fingerprint_of
from mirada.adapters.vector_index.faiss.status import status_of, with_trust
from mirada.adapters.vector_index.faiss.view import Asked, View, check_queries
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import Matrix
from mirada.kernel.errors import Unavailable
from mirada.kernel.similarity import QueryForm
from mirada.kernel.ways import MEASURED, Trust
from mirada.ports import (
    IndexStatus,
    RebuildProgress,
    SearchAnswer,
    SnapshotRecord,
    VectorSource,
)

logger = logging.getLogger(__name__)

SNAPSHOT_POLL_S = 1.0
"""How often the database is asked for a newer snapshot, or another identity after a restore."""


class FaissIndex:
    """A VectorIndex over FAISS. Searches take no lock; one refresh runs at a time.

    The first search or refresh loads the newest good snapshot, or without one every live row.
    """

    def __init__(
        self,
        source: VectorSource,
        directory: Path,
        settings: BuildSettings,
        *,
        exact_rows: int = EXACT_ROWS,
    ) -> None:
        """Keep what is needed; nothing is read yet.

        Args:
            source: one space's rows.
            directory: the folder of all snapshots, shared by every process of this database.
            settings: of rebuilds.
            exact_rows: up to how many permitted rows are always scanned.
        """
        self._source = source
        self._directory = directory
        self._exact_rows = exact_rows
        self._build_settings = settings
        self._refreshing = threading.RLock()
        self._following: Following | None = None
        self._view: View | None = None
        self._snapshots_checked_at = 0.0
        self._trust = MEASURED
        self._costs: Costs | None = None

    def search(
        self,
        queries: Matrix,
        k: int,
        scope: Scope,
        *,
        form: QueryForm = QueryForm.PICTURE,
        scan_rows: int | None = None,
    ) -> list[SearchAnswer]:
        """Return one answer per query row. Raises InvalidInput."""
        queries = check_queries(queries, k, self._source.space.dimension)
        among = None if scope.filter.is_everything else self._source.passing(scope)
        asked = Asked(k, scope.audience, among, form, scan_rows or 0)
        return self._loaded().search(queries, asked)

    def refresh(self) -> int:
        """Catch up with the database; adopt a newer snapshot. Raises Unavailable."""
        with self._refreshing:
            following = self._following or self._load()
            self._check_files(following)
            following = self._following or self._load()
            current_seq = self._source.current_seq()
            if current_seq < following.change_seq:
                logger.warning("The database went back in time; the index starts afresh.")
                following = self._load()
            elif current_seq > following.change_seq or following.unchecked_since is not None:
                if not following.catch_up(self._source, current_seq):
                    following = self._load()
                self._show(following)
            if time.monotonic() - self._snapshots_checked_at >= SNAPSHOT_POLL_S:
                following = self._look_for_snapshot(following)
            return following.change_seq

    def wait_for(self, change_seq: int, timeout_s: float = 2.0) -> None:
        """Return as soon as searches reflect that change number. Raises Unavailable."""

        def reached() -> bool:
            view = self._view
            return view is not None and view.change_seq >= change_seq

        def refresh_unless_somebody_does() -> None:
            # Waiting for the lock would outlast the time-out while a large set is being loaded.
            if self._refreshing.acquire(blocking=False):
                try:
                    self.refresh()
                finally:
                    self._refreshing.release()

        wait_until(reached, refresh_unless_somebody_does, timeout_s)

    def rebuild(self, fencing_token: int, progress: RebuildProgress) -> SnapshotRecord | None:
        """Build and publish a snapshot of everything committed; None when there is nothing.

        Searches go on meanwhile; this and every other process adopt the snapshot when they see it.

        Raises:
            LeaseLost: another builder took over.
            StorageFull: no room; nothing was published.
            SnapshotInvalid: the disk did not give back what was written; nothing was published.
        """
        rebuild = Rebuild(
            self._source, self._directory, self._build_settings, fencing_token, progress
        )
        record = rebuild.run()
        self._purge()
        self._snapshots_checked_at = 0.0
        return record

    def _purge(self) -> None:
        try:
            self._source.purge_tombstones()
        except Unavailable as error:
            # Housekeeping: what was published stays published, and the next rebuild purges.
            logger.warning("Tombstones were not purged: %s", error)

    def set_trust(self, trust: Trust) -> None:
        """Search as far as serving has shown the ways to be right; see `VectorIndex.set_trust`."""
        with self._refreshing:
            self._trust = trust
            if self._view is not None:
                self._view = with_trust(self._view, trust, None)

    def tune(self) -> IndexStatus:
        """Measure what searches cost on this machine, and keep it for all its processes.

        It wins over what builds measure, on other machines perhaps, and changes which way is tried
        first, never what is found. Other processes take it with the next snapshot or start.

        Raises:
            Unavailable: nothing is loaded and the database cannot be reached, or the folder cannot
                be written.
        """
        base = self._loaded().base
        if base is not None and (quantised := base.base.quantised) is not None:
            snapshot = base.base
            queries = snapshot.vectors.take(snapshot.sample)
            measured = costs.measured(snapshot.vectors, quantised, snapshot.graph, queries)
            with disk_errors(), self._refreshing:
                costs.keep(snapshot.directory.parent, self._source.space.dimension, measured)
                self._costs = measured
                if self._following is not None:
                    self._show(self._following)
        return self.status()

    def status(self) -> IndexStatus:
        """Return what this process serves from; see `VectorIndex.status`. Raises Unavailable."""
        return status_of(self._loaded())

    def known_status(self) -> IndexStatus | None:
        """Return the same without loading anything; None while nothing is loaded."""
        view = self._view
        return None if view is None else status_of(view)

    def close(self) -> None:
        """Let go of files and memory."""
        with self._refreshing:
            self._following = self._view = None

    def _loaded(self) -> View:
        while (view := self._view) is None:
            self.refresh()
        return view

    def _load(self) -> Following:
        following = load(self._source, self._directory)
        self._show(following)
        return following

    def _look_for_snapshot(self, following: Following) -> Following:
        """Adopt a newer snapshot, keeping what the delta knows beyond it."""
        if self._source.db_epoch() != following.db_epoch:
            logger.warning("The database was restored from a backup; the index starts afresh.")
            following = self._load()
        newest = next(iter(self._source.snapshots()), None)
        if newest is not None and self._is_worth_adopting(newest, following):
            if newest.change_seq < following.complete_since:
                self._snapshots_checked_at = time.monotonic()
                return self._load()
            opened = open_or_set_aside(self._source, self._directory, newest, following.db_epoch)
            if opened is not None:
                following = following.adopt(opened)
                self._show(following)
        self._snapshots_checked_at = time.monotonic()
        return following

    @staticmethod
    def _is_worth_adopting(newest: SnapshotRecord, following: Following) -> bool:
        base = following.base
        if newest.change_seq > following.change_seq or newest.db_epoch != following.db_epoch:
            return False
        if base is None:
            return True
        return newest.name != base.record.name and newest.change_seq >= base.record.change_seq

    def _check_files(self, following: Following) -> None:
        """Stop serving a snapshot whose files were written to; one that was deleted serves on."""
        base = following.base
        if base is None:
            return
        try:
            fingerprint = fingerprint_of(base.directory, base.record)
        except OSError:
            # The mapping outlives the names, so answers stay right; but nobody else can open it.
            if not following.is_missing_reported:
                self._source.set_aside(base.record.name, "Its files are gone.")
                following.is_missing_reported = True
            return
        if fingerprint == base.fingerprint:
            return
        reopened = None
        try:
            reopened = open_or_set_aside(
                self._source, self._directory, base.record, following.db_epoch
            )
        finally:
            if reopened is None:
                self._following = self._view = None
        if reopened is not None:
            following.base = replace(base, fingerprint=reopened.fingerprint)

    def _show(self, following: Following) -> None:
        self._following = following
        base, before = following.base, self._view
        permitted = planner = None
        if base is not None:
            permitted = before.base if before is not None else None
            if permitted is None or permitted.base.vectors is not base.vectors:
                # What was learnt is about another snapshot.
                self._trust = MEASURED
                self._costs = costs.kept(base.directory.parent, self._source.space.dimension)
                permitted = None
            if permitted is None or permitted.visible is not following.visible:
                permitted = PermittedByScope(base, following.visible)
            planner = replace(base.planner, costs=self._costs or base.planner.costs)
        view = View(
            change_seq=following.change_seq,
            base=permitted,
            visible_count=int(np.count_nonzero(following.visible)),
            delta=following.delta.view(),
            planner=planner,
            exact_rows=self._exact_rows,
        )
        self._view = with_trust(view, self._trust, before)
