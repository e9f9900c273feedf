"""The in-process worker: threads of the web process that work on jobs where there is no Redis.

The runner, the ledger and the sweeper are those of a worker process; only the doorbell is another.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from mirada.background import Loop
from mirada.jobs import sweep
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
        self._due: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._capacity = 4 * count
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        self._resting: dict[int, float] = {}
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
        self._runtime.doorbell = InProcessDoorbell(self._dispatcher.wake)
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
        if room <= 0:
            return
        with self._runtime.reading() as session:
            due = sweep.due_jobs(session, limit=room + busy)
        now = time.monotonic()
        with self._lock:
            self._resting = {job: until for job, until in self._resting.items() if until > now}
            for job in due:
                if len(self._taken) >= self._capacity:
                    break
                if job.id not in self._taken and job.id not in self._resting:
                    self._taken.add(job.id)
                    self._due.put(job.id)

    def _work(self) -> None:
        # None is put once for each thread when the work is to end.
        for job_id in iter(self._due.get, None):
            was_run = self._runner.run(job_id)
            with self._lock:
                self._taken.discard(job_id)
                if not was_run:
                    self._resting[job_id] = time.monotonic() + REST_S
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
