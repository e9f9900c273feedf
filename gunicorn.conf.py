"""The configuration of Gunicorn for Mirada: numbers from Settings, and the order of start and stop."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys

from gunicorn import sock
from gunicorn.glogging import Logger

from mirada.config import SETTINGS_EXIT_CODE, InvalidSettings, Settings
from mirada.kernel.errors import DatabaseRefused, Unavailable
from mirada.kernel.heap import give_memory_back
from mirada.metrics import multiprocess
from mirada.runtime import Runtime
from workers import logs

give_memory_back()
try:
    _settings = Settings.from_env()
except InvalidSettings as fault:
    sys.stderr.write(f"{fault}\n")
    sys.exit(SETTINGS_EXIT_CODE)

# Without Redis, jobs run inside the web process, so there is only one, with one encoder.
workers = _settings.web_processes if _settings.redis_url is not None else 1
if workers > 1:
    # Read by ONNX Runtime's sessions and when torch is imported. Processes that each compute with every core
    # wait for one another: alone a picture takes a little less, and two of them several times as long.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // workers)))
    # This precedes the import below, which imports the metrics.
    multiprocess.share()

from webapp.api.metrics import measurements_of  # noqa: E402
from webapp.front import balance  # noqa: E402
from webapp.serving import Serving  # noqa: E402

if workers > 1:
    balance.share()
bind = (
    f"[{_settings.host}]:{_settings.port}"
    if ":" in _settings.host
    else f"{_settings.host}:{_settings.port}"
)
# gthread, but slow clients hold no thread.
worker_class = "webapp.front.worker.FrontWorker"
threads = _settings.web_threads
# A child of a process that has used OpenMP (torch, FAISS) hangs, so each child loads the app.
preload_app = False
# The main thread sends the heartbeat, and loading weights can hold the interpreter for a while.
timeout = 120
graceful_timeout = 30
keepalive = 5
# Searches have addresses, and letters beyond ASCII take six to twelve bytes there. It is the most that
# Gunicorn takes.
limit_request_line = 8190
control_socket_disable = True
# A heartbeat file on a slow disk makes Gunicorn kill healthy workers.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
# The app logs requests, with their ids.
accesslog = None


class _Lines(Logger):
    """Gunicorn's own lines in the format of ours, from the first one on."""

    def setup(self, cfg):
        super().setup(cfg)
        logs.configure(_settings)
        for name in ("gunicorn.error", "gunicorn.access"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True


logger_class = _Lines

# Less than what the arbiter waits before it kills.
_STOP_WITHIN_S = 25

# The line that a person typed to start this, who is told when it is ready.
_typed = os.environ.get("MIRADA_ANNOUNCE")
_is_migrated = False
_serving: Serving | None = None


def on_starting(server):
    """Migrate once, before any worker is forked; the server starts even if the database is down."""
    global _is_migrated
    runtime = Runtime(_settings)
    try:
        runtime.migrate()
        _is_migrated = True
    except DatabaseRefused as error:
        # Waiting does not help: the operator has to change something, and reads it here.
        sys.stderr.write(f"{error.for_operator}\n")
        sys.exit(SETTINGS_EXIT_CODE)
    except Unavailable as error:
        server.log.warning("%s It is tried again in the background.", error)
    finally:
        runtime.close()
    if _typed is not None:
        _listen(server, _typed)


def _listen(server, line):
    """Take the address now, and end where somebody else has: Gunicorn would try for 5 s and log ten lines.

    `mirada run` has looked at the port already; another server may have been started beside it.
    """
    try:
        server.LISTENERS = [
            sock._sock_type(address)(address, server.cfg, server.log)
            for address in server.cfg.address
        ]
    except OSError as error:
        from console.servers import why_not_listening

        sys.stderr.write(f"Error: {why_not_listening(_settings, error, line)}\n")
        sys.exit(1)


def post_fork(server, worker):
    """Let the new process share its metrics with the others."""
    multiprocess.begin_child()


def post_worker_init(worker):
    """Start the background work of this process."""
    global _serving
    # A terminal sends Ctrl-C to every process, but only the arbiter decides how workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, lambda _number, _frame: _leave_at_once(worker))
    # Read by the settings; Gunicorn itself refuses requests from which a proxy took the prefix off.
    os.environ.pop("SCRIPT_NAME", None)
    runtime = worker.wsgi.extensions["mirada_runtime"]
    _serving = Serving(
        runtime,
        is_migrated=_is_migrated,
        is_first=worker.age == 1,
        announce=None if _typed is None else _print,
        publish=measurements_of(runtime).publish if multiprocess.is_shared() else None,
    )
    _serving.start()


def _leave_at_once(worker):
    """End the worker's loop without waiting for requests.

    Gunicorn's own handler takes the lock of its thread pool. The main thread that it interrupts may
    hold that lock, because a connection has just come, and then it waits for itself for ever.
    """
    worker.cfg.set("graceful_timeout", 0)
    worker.handle_exit(signal.SIGQUIT, None)


def worker_exit(server, worker):
    """Stop the background work, ignore further signals, and end the process."""
    if _serving is None or worker.pid != os.getpid():
        return
    # Whatever does not end: the log gets the stack of every thread, and the process ends anyhow.
    faulthandler.dump_traceback_later(_STOP_WITHIN_S, exit=True)
    for name in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    _serving.stop()
    logging.shutdown()
    # Everything is closed. A normal exit takes seconds with torch, and aborts with a core dump
    # while a thread loads weights.
    os._exit(0)


def child_exit(server, worker):
    """Drop the gauges of a process that has ended, and what it has told of its connections."""
    balance.place_of(worker.age).leave()
    multiprocess.end_child(worker.pid)


def on_exit(server):
    """Remove the folder of shared metrics."""
    multiprocess.end()


def _print(line: str) -> None:
    sys.stdout.write(f"\n{line}\n\n")
    sys.stdout.flush()
