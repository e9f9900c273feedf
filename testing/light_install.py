"""A copy of the tree that `make run` fills with its own `.venv`, and what its processes take."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testing.deployment import ROOT

MB = 2**20
"""As `ps`, `top` and `du -m` count."""


@dataclass(frozen=True)
class Taken:
    """A running process.

    Attributes:
        command: as it was typed, with spaces.
        resident_mb: memory that it has in RAM, shared parts counted whole.
        own_mb: the same with shared parts divided among those who share them.
        has_torch: whether a library of PyTorch is mapped into it.
    """

    pid: int
    parent: int
    command: str
    resident_mb: float
    own_mb: float
    has_torch: bool


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """Yield a folder with what a clone of this tree would have, and what is not committed yet.

    It is on a disk, not in memory: half a gigabyte is installed there, by links where the disk is the
    installer's cache's.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    folder = Path(tempfile.mkdtemp(prefix="mirada-light-", dir="/var/tmp"))
    try:
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def typed(
    root: Path, environment: Mapping[str, str], line: str
) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in a checkout to its end."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=root,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def processes(group: int) -> list[Taken]:
    """Return the processes of a process group, in the order of their numbers."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "-g", str(group)], capture_output=True, text=True, check=False
    )
    found = []
    for pid in sorted(int(line) for line in listed.stdout.split()):
        try:
            found.append(_taken(pid))
        except (OSError, KeyError):
            continue  # It has ended, or has no memory of its own any more.
    return found


def disk_mb(folder: Path) -> float:
    """Return the blocks that a folder takes; a file with several names counts once."""
    done = subprocess.run(
        ["du", "-s", "--block-size=1", str(folder)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[0]) / MB


def _taken(pid: int) -> Taken:
    folder = Path(f"/proc/{pid}")
    status = _fields(folder / "status")
    return Taken(
        pid,
        int(status["PPid"]),
        (folder / "cmdline").read_text().replace("\0", " ").strip(),
        int(status["VmRSS"].split()[0]) * 1024 / MB,
        int(_fields(folder / "smaps_rollup")["Pss"].split()[0]) * 1024 / MB,
        "/torch/" in (folder / "maps").read_text(),
    )


def _fields(file: Path) -> dict[str, str]:
    """Return the values of a file of lines `name: value`."""
    pairs = (line.partition(":") for line in file.read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}
