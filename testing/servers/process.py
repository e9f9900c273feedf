"""What every test server needs: a port, a folder, a child that dies with the tests, a rule for absence."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from testing.patience import Stopwatch

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 15
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 1024**3
"""What must be free there: two servers and the files of the tests that run beside them take half."""
PORTS = range(10_000, 32_000)
"""Below those that Linux gives to connections (ip_local_port_range begins at 32,768)."""
_ports = iter(random.SystemRandom().sample(PORTS, len(PORTS)))
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal a child gets when its parent dies, so that an aborted run leaves nothing."""


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test on a laptop; fail it where CI=true, so that nothing is silently untested."""
    reason = f"{what} is not here: {remedy}"
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def find_binary(names: Sequence[str], folders: Sequence[str] = ()) -> str | None:
    """Return the first of these programs on PATH, in sbin, or in the given folders."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *folders])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on just now; never the same twice.

    Drawn at random, because other test processes draw too, and not by the kernel, which may give
    such a port to a connection before the server binds it.
    """
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port is left")


def memory_folder() -> str | None:
    """Return a folder in memory for what tests write; None where there is too little of it.

    A disk that syncs every transaction is most of the wait of a test with a database.
    """
    if not os.access(MEMORY, os.W_OK):
        return None
    room = os.statvfs(MEMORY)
    is_enough = room.f_bavail * room.f_frsize >= MEMORY_BYTES
    return str(MEMORY) if is_enough and not room.f_flag & os.ST_NOEXEC else None


@contextmanager
def server_folder(prefix: str) -> Iterator[Path]:
    """Yield a folder other users may enter, with a path short enough for a unix socket (108 bytes)."""
    parent = memory_folder() or tempfile.gettempdir()
    _remove_left(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left(parent: str, prefix: str) -> None:
    """Remove the folders of runs that were killed; in memory they would stay until the next start."""
    for left in Path(parent).glob(f"{prefix}*-*"):
        pid = left.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def running(
    command: Sequence[str],
    *,
    log: Path,
    is_ready: Callable[[], bool],
    stop_signal: signal.Signals = signal.SIGTERM,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; its output is in the error when it does not come up."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
            user=user,
            start_new_session=True,
        )
    try:
        watch = Stopwatch()
        while not is_ready():
            if child.poll() is not None or watch.is_over(START_TIMEOUT_S):
                tail = log.read_text(errors="replace")[-2000:]
                pytest.fail(f"{command[0]} did not start:\n{tail}", pytrace=False)
            time.sleep(0.05)  # a server says nothing when it becomes ready; asking is the only way
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(stop_signal)
            try:
                child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
