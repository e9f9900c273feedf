"""The in-process worker: threads of the web process that work on jobs where there is no Redis.

The runner, the ledger and the sweeper are those of a worker process; only the doorbell is another.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable

from mirada.background import Loop
from mirada.jobs import batches, sweep
from mirada.runtime import Runtime
from workers.doorbell import InProcessDoorbell
from workers.runner import JobRunner
from workers.sweeper import Sweeper

POLL_EVERY_S = 0.5
"""How soon a job is noticed that another process queued, such as the import command."""
REST_S = 2.0
"""How long a due job that could not be claimed is left alone: somebody else has it, or it waits for
a moment alone."""
RETRY_S = 2.0
"""How soon a database or an encoder that is away is tried again."""
STOP_GRACE_S = 15.0


class InProcessWorker:
    """Threads that claim due jobs by themselves."""

    def __init__(
        self, runtime: Runtime, *, threads: int | None = None, runner: JobRunner | None = None
    ) -> None:
        """Prepare.

        Args:
            runtime: what the jobs work with.
            threads: how many jobs run at once; the setting WORKER_THREADS by default.
            runner: for tests that bring their own.
        """
        self._runtime = runtime
        self._runner = runner or JobRunner(runtime)
        self._sweeper = Sweeper(runtime)
        count = threads or runtime.settings.worker_threads
        # A job's id, or the name of a kind of which batches are due.
        self._due: queue.SimpleQueue[int | str | None] = queue.SimpleQueue()
        self._capacity = 4 * count
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        self._resting: dict[int, float] = {}
        self._called: Counter[str] = Counter()
        self._former_doorbell = runtime.doorbell
        self._has_encoder = False
        self._dispatcher = Loop(
            "jobs", self._hand_out, POLL_EVERY_S, "Due jobs wait", retry_s=RETRY_S
        )
        self._threads = [
            threading.Thread(target=self._work, name=f"job-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin to work on what is due."""
        self._runtime.doorbell = InProcessDoorbell(self._wake_for)
        self._sweeper.start()
        self._dispatcher.start()
        for thread in self._threads:
            thread.start()

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Take no more jobs, let those under way end for `grace_s`, and give back the rest."""
        if self._dispatcher.is_stopping():
            return
        self._runtime.doorbell = self._former_doorbell
        self._dispatcher.stop(timeout_s=0)
        self._runner.stop(grace_s)
        self._sweeper.stop()
        for _ in self._threads:
            self._due.put(None)
        self._dispatcher.stop(timeout_s=2)
        for thread in self._threads:
            thread.join(timeout=2)

    def _wake_for(self, kind: str) -> None:
        """Have somebody look for due jobs of a kind; quick, because uploads call it."""
        if not self._has_encoder or kind not in self._runner.batched:
            self._dispatcher.wake()
            return
        # Whoever works batches finds the job in the database: the dispatcher need not look there too.
        with self._lock:
            is_called = self._called[kind] > 0
            self._called[kind] += not is_called
        if not is_called:
            self._due.put(kind)

    def _require_encoder(self) -> None:
        # Jobs that were begun without an encoder would use up their attempts for nothing.
        if self._runtime.settings.embeddings_enabled and not self._has_encoder:
            self._runtime.space()
            self._runtime.encoder  # noqa: B018 - the first use loads the weights
            self._has_encoder = True

    def _hand_out(self) -> None:
        self._require_encoder()
        with self._lock:
            room = self._capacity - len(self._taken)
            busy = len(self._taken) + len(self._resting)
        batched = self._runner.batched
        with self._runtime.reading() as session:
            due = sweep.due_jobs(session, limit=room + busy, batched=batched) if room > 0 else []
            batch_kinds = [kind for kind in batched if batches.due(session, kind, 1)]
        now = time.monotonic()
        with self._lock:
            for kind in batch_kinds:
                # Where no place is free, whoever works there is told to look again.
                wanted = max(1, self._runner.free_lanes(kind)) - self._called[kind]
                for _ in range(wanted):
                    self._called[kind] += 1
                    self._due.put(kind)
            self._resting = {job: until for job, until in self._resting.items() if until > now}
            for job in due:
                if len(self._taken) >= self._capacity:
                    break
                if job.id not in self._taken and job.id not in self._resting:
                    self._taken.add(job.id)
                    self._due.put(job.id)

    def _work(self) -> None:
        # None is put once for each thread when the work is to end.
        while (due := self._due.get()) is not None:
            if isinstance(due, str):
                with self._lock:
                    self._called[due] -= 1
                self._runner.run_batches(due)
                continue
            was_run = self._runner.run(due)
            with self._lock:
                self._taken.discard(due)
                if not was_run:
                    self._resting[due] = time.monotonic() + REST_S
                is_low = len(self._taken) <= self._capacity // 2
            if is_low:
                self._dispatcher.wake()


def start(runtime: Runtime) -> Callable[[], None]:
    """Begin working jobs in this process and return the function that stops it cleanly.

    Call it after any fork, in one process: `runtime.migrate()` must have run.
    """
    workers = InProcessWorker(runtime)
    workers.start()
    return workers.stop
