"""The sweeper: every few seconds it rings for due jobs and frees the leases of dead processes."""

from __future__ import annotations

import logging
import time
from itertools import takewhile

import redis

from mirada.background import JOIN_TIMEOUT_S, Loop
from mirada.batches import batches
from mirada.classify.labelling import queue_lacking
from mirada.doctor import examination
from mirada.duplicates.finding import queue_waiting
from mirada.embedding.index_advice import keep_sizes
from mirada.embedding.index_rebuild import queue_due_rebuilds
from mirada.embedding.live_recall import queue_measurements
from mirada.groups.map_rows import queue_due_map
from mirada.jobs import leases, sweep
from mirada.kernel.errors import MiradaError
from mirada.model_switch.evening import queue_due_evening
from mirada.people import audit
from mirada.pictures.derivatives import remove_left_behind
from mirada.pictures.thumbnails import queue_backlog
from mirada.pictures.trash import queue_due_erasing
from mirada.runtime import Runtime
from mirada.search import kept
from mirada.search.calibrating import queue_due_calibrations
from mirada.search.query_pictures import forget_expired
from mirada.suggestions import recent
from mirada.webhooks import deliveries, telling
from workers import lease_holder

logger = logging.getLogger(__name__)

SWEEP_EVERY_S = 10.0
"""JOBS: the sweeper rings again every 10 s."""
LOOK_EVERY_S = 60.0
SIZES_EVERY_S = 3_600.0
HOUSEKEEPING_EVERY_S = 86_400.0


class Sweeper(Loop):
    """Sweeps in the background; of several processes' sweepers one works at a time."""

    def __init__(self, runtime: Runtime, every_s: float = SWEEP_EVERY_S) -> None:
        """Prepare; `start` begins with a sweep at once."""
        super().__init__("sweeper", self._sweep_next, every_s, "A sweep was left out")
        self._runtime = runtime
        self._has_swept = False
        self._holder = lease_holder.this_process()
        self._next_look = 0.0
        self._next_sizes = 0.0
        # A restart must not be followed by a day's cleaning while people wait for their pictures.
        self._next_housekeeping = time.monotonic() + 600.0

    def stop(self, timeout_s: float = JOIN_TIMEOUT_S) -> bool:
        """End after the sweep under way, and let another process sweep."""
        has_ended = super().stop(timeout_s)
        try:
            with self._runtime.transaction() as session:
                leases.free_holders(session, leases.SWEEPER, [self._holder])
        except MiradaError as error:
            logger.info("The right to sweep was not given back: %s", error)
        return has_ended

    def _sweep_next(self) -> None:
        self.sweep(is_first=not self._has_swept)
        self._has_swept = True

    def sweep(self, *, is_first: bool = False) -> int:
        """Sweep once, if no other process does, and return how many jobs were rung for.

        Args:
            is_first: this process has just started. The worker that had been rung for may be dead,
                so it rings for all due jobs, also while another process sweeps.
        """
        with self._runtime.transaction() as session:
            token = leases.acquire(session, leases.SWEEPER, self._holder, leases.SWEEPER_LEASE_S)
        if token is None and not is_first:
            return 0
        with self._runtime.transaction() as session:
            freed = sweep.free_dead_attempts(session, lease_holder.is_dead)
        if freed:
            logger.warning("%s jobs were left by a process that died", freed)
        if token is not None:
            self._tell_webhooks()
        rung = self._ring_due(ring_all=is_first or self._messages_were_lost())
        if token is not None:
            self._give_up_lost_calls()
            self._delete_old_rankings()
            self._look_after_a_minute()
            self._forget_what_was_asked()
            queue_measurements(self._runtime)
            queue_backlog(self._runtime)
            queue_lacking(self._runtime)
            queue_waiting(self._runtime)
            self._runtime.handed.forget_old()
            self._keep_sizes()
            self._keep_house()
        return rung

    def _ring_due(self, *, ring_all: bool) -> int:
        again_after_s = 0 if ring_all else sweep.RING_AGAIN_AFTER_S
        with self._runtime.transaction() as session:
            due = sweep.due_jobs_to_ring(session, ring_again_after_s=again_after_s)
        ring = self._runtime.doorbell.ring
        rung = sum(1 for _ in takewhile(lambda job: ring(job.id, job.kind), due))
        if rung < len(due):
            # Not rung after all: the next sweep must not take them for rung.
            with self._runtime.transaction() as session:
                sweep.forget_rings(session, [job.id for job in due[rung:]])
        return rung

    def _messages_were_lost(self) -> bool:
        """Return whether Redis holds no message at all; then due jobs have lost theirs, or are at work."""
        try:
            return self._runtime.doorbell.waiting() == 0
        except (redis.RedisError, OSError):
            return False

    def _give_up_lost_calls(self) -> None:
        with self._runtime.transaction() as session:
            lost = sweep.give_up_lost_calls(session)
        if lost:
            logger.warning(
                "%s calls of the language model ended unseen and count at their most", lost
            )

    def _tell_webhooks(self) -> None:
        with self._runtime.transaction() as session:
            telling.notice(session)

    def _delete_old_rankings(self) -> None:
        with self._runtime.transaction() as session:
            kept.sweep(session)

    def _look_after_a_minute(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_EVERY_S
        queue_due_rebuilds(self._runtime)
        queue_due_calibrations(self._runtime)
        queue_due_evening(self._runtime)
        queue_due_map(self._runtime)
        queue_due_erasing(self._runtime)
        remove_left_behind(self._runtime)
        self._runtime.exports.forget_old()
        self._runtime.complete_rows()
        batches.forget_old(self._runtime)

    def _forget_what_was_asked(self) -> None:
        with self._runtime.transaction() as session:
            forget_expired(session)
            recent.forget_expired(session)

    def _keep_sizes(self) -> None:
        if time.monotonic() < self._next_sizes:
            return
        self._next_sizes = time.monotonic() + SIZES_EVERY_S
        keep_sizes(self._runtime)

    def _keep_house(self) -> None:
        if time.monotonic() < self._next_housekeeping:
            return
        self._next_housekeeping = time.monotonic() + HOUSEKEEPING_EVERY_S
        with self._runtime.transaction() as session:
            forgotten = sweep.purge_idempotency_keys(session)
            told = deliveries.forget_old(session)
        try:
            examination.forget_expired(self._runtime)
        except OSError as error:
            logger.warning("What a repair has set aside is not erased: %s", error)
        logger.info("Kept house: %s old keys and %s messages forgotten", forgotten, told)
        self._forget_what_was_done()

    def _forget_what_was_done(self) -> None:
        days, is_left = self._runtime.settings.audit_days, True
        while is_left:
            with self._runtime.transaction() as session:
                is_left = audit.forget_old(session, days) == audit.PURGE_ROWS
