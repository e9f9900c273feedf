"""Claim batches of jobs: one thread of a process after the other, and full ones in a rush."""

from __future__ import annotations

import threading
import time

from mirada.db.models import Job
from mirada.jobs import batches
from mirada.runtime import Runtime
from workers import lease_holder
from workers.lanes import Lanes

GATHER_S, GATHER_STEP_S = 0.15, 0.03
"""How long a batch waits in a rush until it is full, and between two looks. A batch of three pictures takes
as many statements and commits as one of sixteen."""


class Claiming:
    """Claims batches for the threads of a process. Thread-safe."""

    def __init__(self, runtime: Runtime, lease_s: int, stopping: threading.Event) -> None:
        """Prepare.

        Args:
            runtime: with the ledger.
            lease_s: how long a claim stands without renewal.
            stopping: ends what waits.
        """
        self._runtime = runtime
        self._lease_s = lease_s
        self._stopping = stopping
        self._turn = threading.Lock()

    def claim(self, kind_name: str, lane: Lanes) -> list[Job] | None:
        """Claim what is due; None where it is left to those who work already.

        Raises:
            Unavailable: the database cannot be reached.
        """
        # One thread after the other: two would choose the same jobs, and one of them would get none.
        with self._turn:
            due = self._gathered(kind_name, lane)
            if due and len(due) < batches.BATCH and lane.leave_to_others():
                return None
            lane.began(len(due))
            if not due:
                return []
            with self._runtime.transaction() as session:
                return batches.claim(
                    session, due, self._lease_s, holder=lease_holder.this_process()
                )

    def _gathered(self, kind_name: str, lane: Lanes) -> list[int]:
        """Return what is due; in a rush a full batch, or what there is once no more come."""
        until_s = time.monotonic() + (GATHER_S if lane.is_rush() else 0.0)
        before = 0
        while True:
            with self._runtime.reading() as session:
                due = batches.due(session, kind_name)
            has_grown = before < len(due) < batches.BATCH
            if not has_grown or time.monotonic() >= until_s:
                return due
            before = len(due)
            self._stopping.wait(GATHER_STEP_S)
