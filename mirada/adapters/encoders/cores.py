"""How many cores a process may compute with."""

from __future__ import annotations

import os


def own_threads() -> int:
    """Return this process's share of the cores, >= 1.

    It is OMP_NUM_THREADS where that is set, as the server does where several processes share a
    machine. It is no more than the cores that the process may use, and all of them otherwise.
    """
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if named.isascii() and named.isdigit() and int(named) > 0:
        return min(int(named), available_cores())
    return available_cores()


def available_cores() -> int:
    """Return the number of cores that this process may use, >= 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
