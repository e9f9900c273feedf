"""Work the ledger with threads of the web process, where there is no Redis.

The same runner, state machine and sweeper as a worker process: only the bell is another one.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from mirada.jobs import sweep
from mirada.kernel.errors import MiradaError
from mirada.runtime import Runtime
from workers.doorbell import InProcessDoorbell
from workers.runner import JobRunner
from workers.sweeper import Sweeper

logger = logging.getLogger(__name__)

POLL_EVERY_S = 0.5
"""How soon a job is noticed that another process queued, such as the import command."""
REST_S = 2.0
"""How long a due job that could not be claimed is left alone: somebody else has it, or it waits for
its turn alone."""
ENCODER_RETRY_S = 5.0
STOP_GRACE_S = 15.0


class EmbeddedWorkers:
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
        self._wake = threading.Event()
        self._former_doorbell = runtime.doorbell
        self._stopped = threading.Event()
        self._dispatcher = threading.Thread(target=self._dispatch, name="jobs", daemon=True)
        self._threads = [
            threading.Thread(target=self._work, name=f"job-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin to work on what is due."""
        self._former_doorbell = self._runtime.doorbell
        self._runtime.doorbell = InProcessDoorbell(self._wake.set)
        self._sweeper.start()
        self._dispatcher.start()
        for thread in self._threads:
            thread.start()

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Take no more jobs, let those under way end for `grace_s`, and give back the rest."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._runtime.doorbell = self._former_doorbell
        self._wake.set()
        self._runner.stop(grace_s)
        self._sweeper.stop()
        for _ in self._threads:
            self._due.put(None)
        for thread in [self._dispatcher, *self._threads]:
            thread.join(timeout=2)

    def _dispatch(self) -> None:
        self._wait_for_encoder()
        is_told = False
        while not self._stopped.is_set():
            # Cleared before the look: a bell that rings during it is answered by another look.
            self._wake.clear()
            try:
                self._hand_out()
                is_told = False
            except MiradaError as error:
                if not is_told:
                    logger.warning("Due jobs cannot be looked up for now: %s", error)
                is_told = True
                self._stopped.wait(1.0)
            except Exception:
                # Without this thread nothing would be worked on any more.
                logger.exception("Due jobs could not be looked up")
                self._stopped.wait(1.0)
            self._wake.wait(POLL_EVERY_S)

    def _wait_for_encoder(self) -> None:
        # Jobs that were begun without an encoder would use up their attempts for nothing.
        while self._runtime.settings.embeddings_enabled and not self._stopped.is_set():
            try:
                self._runtime.space()
                self._runtime.encoder  # noqa: B018 - the first use loads the weights
                return
            except MiradaError as error:
                logger.warning("Jobs wait, because there is no encoder yet: %s", error)
            except Exception:
                logger.exception("Jobs wait, because the encoder could not be loaded")
            self._stopped.wait(ENCODER_RETRY_S)

    def _hand_out(self) -> None:
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
        while True:
            job_id = self._due.get()
            if job_id is None:
                return
            was_run = self._runner.run(job_id)
            with self._lock:
                self._taken.discard(job_id)
                if not was_run:
                    self._resting[job_id] = time.monotonic() + REST_S
                is_low = len(self._taken) <= self._capacity // 2
            if is_low:
                self._wake.set()


def start(runtime: Runtime) -> Callable[[], None]:
    """Begin working jobs in this process and return the function that stops it cleanly.

    Call it after any fork, in one process: `runtime.migrate()` must have run.
    """
    workers = EmbeddedWorkers(runtime)
    workers.start()
    return workers.stop
