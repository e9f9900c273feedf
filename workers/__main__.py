"""`python -m workers`: one process that works jobs until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType

import dramatiq

from mirada.config import SETTINGS_EXIT_CODE, InvalidSettings, Settings
from mirada.embedding.backfill import backfill_at_start
from mirada.jobs.waiting import wake_at_start
from mirada.kernel.errors import DatabaseRefused, EmbeddingSpaceMismatch, MiradaError
from mirada.kernel.heap import give_memory_back, settle
from mirada.memory.taste import StyleWarmUp
from mirada.model_switch.following import ModelFollower
from mirada.runtime import Runtime
from workers import broker, doorbell, in_process, logs, metrics_server
from workers.heartbeat import Heartbeat
from workers.runner import JobRunner
from workers.sweeper import Sweeper

logger = logging.getLogger("workers")

START_RETRY_S = 5.0
"""How long to wait before trying a database or an encoder again that is not there yet."""
STOP_GRACE_S = 15.0
"""Below the 20 s that process supervisors commonly grant: jobs under way may end, the rest is given back."""

STYLES_STOP_S = 3.0
"""How long texts that are being encoded hold up the end; what was encoded is kept."""


def main() -> int:
    """Run until SIGTERM or SIGINT; a second signal ends the process at once. Returns the exit code."""
    give_memory_back()
    try:
        settings = Settings.from_env()
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return SETTINGS_EXIT_CODE
    logs.configure(settings)
    for remark in settings.remarks:
        logger.warning("%s", remark)
    return serve(Runtime(settings))


def serve(runtime: Runtime) -> int:
    """Work on this runtime's jobs until SIGTERM or SIGINT, close it, and return the exit code."""
    doorbell.attach(runtime)
    stopping = threading.Event()
    _stop_on_signals(stopping)
    heartbeat = Heartbeat()
    heartbeat.start()
    stop_metrics = metrics_server.serve(runtime)
    styles = StyleWarmUp(runtime, may_encode=True)
    follower = ModelFollower(runtime, works=True)
    try:
        if not _prepare(runtime, stopping, follower):
            return 0
        follower.start()
        styles.start()
        if runtime.settings.redis_url is None:
            _work_without_redis(runtime, stopping)
        else:
            _work_with_redis(runtime, runtime.settings.redis_url.get_secret_value(), stopping)
    except DatabaseRefused as error:
        logger.error("%s", error.for_operator)
        return SETTINGS_EXIT_CODE
    except EmbeddingSpaceMismatch as error:
        logger.error("%s", error)
        return SETTINGS_EXIT_CODE
    finally:
        follower.stop()
        styles.stop(STYLES_STOP_S)
        stop_metrics()
        runtime.close()
        heartbeat.stop()
    logger.info("Stopped")
    return 0


def _prepare(
    runtime: Runtime, stopping: threading.Event, follower: ModelFollower | None = None
) -> bool:
    """Migrate, load the encoder and pin its space, however long that takes; False if told to stop.

    Jobs that were begun without an encoder would use up their attempts for nothing.
    """
    while not stopping.is_set():
        try:
            runtime.migrate()
            wake_at_start(runtime)
            if follower is not None:
                follower.look()
            if runtime.settings.embeddings_enabled:
                runtime.space()
                runtime.encoder  # noqa: B018 - the first use loads the weights
                backfill_at_start(runtime)
            settle()
            return True
        except (EmbeddingSpaceMismatch, DatabaseRefused):
            # Waiting does not help: the operator has to change something.
            raise
        except MiradaError as error:
            logger.warning("Not ready yet, trying again in %.0f s: %s", START_RETRY_S, error)
            stopping.wait(START_RETRY_S)
    return False


def _work_with_redis(runtime: Runtime, redis_url: str, stopping: threading.Event) -> None:
    runner = JobRunner(runtime)
    queue = broker.make_broker(redis_url, broker.WORKER_SOCKET_TIMEOUT_S)
    broker.declare(queue, runner)
    worker = dramatiq.Worker(
        queue,
        worker_threads=runtime.settings.worker_threads,
        worker_timeout=broker.WORKER_TIMEOUT_MS,
    )
    sweeper = Sweeper(runtime)
    worker.start()
    sweeper.start()
    logger.info("Working on jobs with %s threads", runtime.settings.worker_threads)
    stopping.wait()
    logger.info("Stopping: jobs under way may end within %.0f s", STOP_GRACE_S)
    runner.stop(STOP_GRACE_S)
    sweeper.stop()
    worker.stop(timeout=2_000)
    queue.close()


def _work_without_redis(runtime: Runtime, stopping: threading.Event) -> None:
    logger.info("REDIS_URL is not set: looking into the database for jobs")
    stop = in_process.start(runtime)
    stopping.wait()
    stop()


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # Taking an interpreter down under torch costs seconds, and a core dump when a thread is inside it.
    os._exit(code)
