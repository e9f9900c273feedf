"""The worker as a process of its own, for tests that end one and start another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from mirada.config import PROJECT_ROOT
from mirada.runtime import Runtime
from testing.patience import PATIENCE_S


class WorkerProcess:
    """The worker as a process of its own, with its log."""

    def __init__(self, runtime: Runtime, folder: Path, **environment: str) -> None:
        """Start it beside a runtime with Redis; its log goes into the folder."""
        settings = runtime.settings
        assert settings.redis_url is not None
        self.log = folder / f"worker-{time.monotonic_ns()}.log"
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "testing.worker_process"],
                cwd=PROJECT_ROOT,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(PROJECT_ROOT),
                    "MIRADA_ENV_FILE": os.devnull,
                    "DATABASE_URL": settings.url.render_as_string(hide_password=False),
                    "DATA_DIR": str(settings.data_dir),
                    "REDIS_URL": settings.redis_url.get_secret_value(),
                    "WORKER_THREADS": "4",
                    **environment,
                },
                stdout=sink,
                stderr=sink,
            )

    def end(self, number: int) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)
