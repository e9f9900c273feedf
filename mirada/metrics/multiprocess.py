"""The folder through which several web processes share their metrics.

Prometheus's client library keeps metrics in files there if PROMETHEUS_MULTIPROC_DIR is set when it is
imported. So `share` precedes every import of it, and this module imports it only inside functions.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The client library's environment variable; it reads the name in lower case too."""
PREFIX = "mirada-metrics-"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a name nobody can guess, for us alone
"""The preferred parent folder. On a full disk the kernel kills a process that writes to a mapped file."""
YOUNG_S = 60.0
"""A folder younger than this is not removed: its process may not have locked it yet."""

_shared: Path | None = None


def share() -> None:
    """Make a new folder for this process and its children; a second call changes nothing.

    It also removes the folders of servers that were killed.
    """
    global _shared
    if _shared is not None:
        # Gunicorn reads its configuration again on SIGHUP.
        return
    parent = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    _sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    # Every child inherits the lock, so it is held until the last process ends.
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    os.environ[VARIABLE] = str(folder)
    _shared = folder


def forget_others() -> None:
    """Unset a folder that the environment names for other programs, unless `share` made one."""
    if _shared is None:
        os.environ.pop(VARIABLE, None)
        os.environ.pop(VARIABLE.lower(), None)


def is_shared() -> bool:
    """Return whether several processes share their metrics."""
    return _shared is not None


def begin_child() -> None:
    """Make the folder again if somebody removed it; call it in each child."""
    if _shared is not None:
        _shared.mkdir(mode=0o700, exist_ok=True)


def end_child(pid: int) -> None:
    """Drop the gauges of a child that has ended, and keep its counters; call it in the parent."""
    if _shared is not None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, str(_shared))  # type: ignore[no-untyped-call]


def end() -> None:
    """Remove the shared folder, if there is one."""
    if _shared is not None:
        shutil.rmtree(_shared, ignore_errors=True)


def gather() -> Iterable[Metric]:
    """Return the merged metrics of all processes."""
    from prometheus_client.multiprocess import MultiProcessCollector

    assert _shared is not None
    # A file that was created a moment ago is still empty, and the library fails on it.
    files = [str(file) for file in _shared.glob("*.db") if _has_begun(file)]
    merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
    return merged


def _has_begun(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < YOUNG_S:
                continue
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
