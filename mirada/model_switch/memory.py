"""Memory of this process and of its machine: whether a second model has room beside the first."""

from __future__ import annotations

from pathlib import Path

PAGE_BYTES = 4096
KILOBYTE = 1024
CGROUP = Path("/sys/fs/cgroup")
"""Of a container: its own limit, which the machine's figures do not show."""


def resident_bytes() -> int | None:
    """Return the resident memory of this process; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * PAGE_BYTES


def free_bytes() -> int | None:
    """Return how many bytes could be taken without swapping; None where the system does not tell."""
    known = [
        each for each in (_free_on_the_machine(), _free_in_the_container()) if each is not None
    ]
    return min(known, default=None)


def _free_on_the_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return int(rest.split()[0]) * KILOBYTE
    except (OSError, ValueError, IndexError):
        pass
    return None


def _free_in_the_container() -> int | None:
    """Return what is left below the limit, files that can be read again not counted as taken."""
    try:
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        taken = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        counts = (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        cached = next(int(line.split()[1]) for line in counts if line.startswith("inactive_file "))
    except (OSError, ValueError, IndexError, StopIteration):
        # Without a limit the file says "max".
        return None
    return max(0, limit - taken + cached)
