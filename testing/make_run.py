"""`make run` as a person types it, in a process group of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from testing.deployment import ROOT, free_port, wait_until

READY_WITHIN_S = 90
"""Loading torch on two busy cores takes up to half of this."""
KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "UV_CACHE_DIR",
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "SSL_CERT_FILE",
)
"""What a person's environment has that an installation needs."""


class Terminal:
    """`make run` in a process group of its own, as a shell would start it.

    Attributes:
        port, url: where it serves.
        output: everything that it has said.
    """

    def __init__(self, folder: Path, root: Path = ROOT, **settings: str) -> None:
        """Start it in the checkout `root`; data and log are in `folder`; `settings` are in capitals."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"terminal-{self.port}.log"
        self.environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environment |= {
            "MIRADA_ENV_FILE": os.devnull,
            "DATA_DIR": str(folder / "data"),
            "FAISS_INDEX_DIR": str(folder / "faiss_indexes"),
            "PORT": str(self.port),
            "CLIP_MODEL": "bundled",
            # The test's own environment is installed already, wherever it lies.
            "VIRTUAL_ENV": sys.prefix,
        }
        self.environment = {k: v for k, v in (self.environment | settings).items() if v}
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                ["make", "--no-print-directory", "run"],
                cwd=root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self, timeout_s: float = READY_WITHIN_S) -> float:
        """Return how many seconds it took."""
        started = time.monotonic()
        wait_until(
            lambda: re.search(r"^Ready: ", self.output, re.MULTILINE) or self.has_ended,
            timeout_s=timeout_s,
            every_s=0.05,
            what=f"a line that says Ready:\n{self.output[-3000:]}",
        )
        assert not self.has_ended, self.output[-3000:]
        return time.monotonic() - started

    def press_ctrl_c(self) -> int:
        """Signal the whole group, as a terminal does; return make's exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(30)

    def kill(self) -> None:
        if self.group:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def group(self) -> list[str]:
        """The processes that are still in the group."""
        found = subprocess.run(
            ["ps", "-o", "args=", "-g", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [line for line in found.stdout.splitlines() if "defunct" not in line]
